//! Programs: modules, their predictors, their metric, and the context that they call models through.

mod cancellation;
mod context;
mod drift;
mod function;
mod live_prompts;
mod metered;
mod metric;
mod module;
mod parts;
mod saved;
mod saved_signature;
mod text;

pub use crate::outage::Unavailable;
pub use cancellation::Cancellation;
pub use context::{CallContext, Layer, StepSlot};
pub use drift::Drift;
pub(crate) use drift::in_words;
pub use function::{ModuleFn, module_fn};
pub use live_prompts::LivePrompts;
pub use metric::{
    AsyncMetricFn, Evaluator, Metric, MetricFn, TypedMetric, WithMetric, async_metric_fn, metric_fn,
    metric_typed,
};
pub use module::{Module, ModuleExt, Predictor, check_program};
pub use parts::HasPredictors;
pub use saved::Program;
pub use saved_signature::{SavedField, SavedSignature, SavedSignatures};
pub use text::{Text, TextRules};
