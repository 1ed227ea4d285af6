//! The seam for whoever makes rollouts elsewhere than in this process.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::Example;
use promptopt_core::program::{CallContext, Evaluator};
use promptopt_core::trace::Trace;

/// Makes the rollouts of a run's program. Whatever makes them, their calls of language models go through the context, so
/// budgets, journal and the order of results are those of a run in one process.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs the program once on an example, under the prompts of the context, and judges its answer. It never fails: what
    /// goes wrong is part of the trace, as in [`run_once`](crate::run_once). A future that is dropped ends the rollout.
    async fn rollout(&self, program: &dyn Evaluator, context: &CallContext, example: Arc<Example>) -> Trace;

    /// What whoever makes them noticed of the program ([`Module::notes`](promptopt_core::program::Module::notes)).
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
