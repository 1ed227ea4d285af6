//! Programs: modules, their predictors, their metric, and the context that they call models through.

mod cancellation;
mod context;
mod function;
mod metric;
mod module;
mod text;

pub use crate::outage::Unavailable;
pub use cancellation::Cancellation;
pub use context::{CallContext, Layer, StepSlot};
pub use function::{ModuleFn, module_fn};
pub use metric::{AsyncMetricFn, Evaluator, Metric, MetricFn, WithMetric, async_metric_fn, metric_fn};
pub use module::{Module, ModuleExt, Predictor, check_program};
pub use text::Text;
