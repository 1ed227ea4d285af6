//! Programs: modules, their predictors, their metric, and the context that they call models through.

mod cancellation;
mod context;
mod function;
mod metered;
mod metric;
mod module;
mod parts;
mod text;

pub use crate::outage::Unavailable;
pub use cancellation::Cancellation;
pub use context::{CallContext, Layer, StepSlot};
pub use function::{ModuleFn, module_fn};
pub use metric::{
    AsyncMetricFn, Evaluator, Metric, MetricFn, TypedMetric, WithMetric, async_metric_fn, metric_fn,
    metric_typed,
};
pub use module::{Module, ModuleExt, Predictor, check_program};
pub use parts::HasPredictors;
pub use text::Text;
