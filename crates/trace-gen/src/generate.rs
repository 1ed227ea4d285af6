//! Running a program over examples and keeping everything that happened.

use std::sync::Arc;

use promptopt_core::{Batch, Example, ModuleExt as _, Prompts, RolloutJob, RolloutRunner};

use crate::Error;

/// Runs the runner's program, under its own prompts, over all examples: concurrently within the
/// runner's bound, with the traces in the order of the examples and failures kept as traces.
///
/// # Errors
///
/// [`Error::Rollouts`] when the rollout store fails. A budget or a cancellation that ends the run
/// early is the batch's `stop`.
pub async fn generate_traces(runner: &RolloutRunner<'_>, examples: &[Arc<Example>]) -> Result<Batch, Error> {
    run_over(runner, &Arc::new(runner.program().candidate().prompts), examples).await
}

pub(crate) async fn run_over(
    runner: &RolloutRunner<'_>,
    prompts: &Arc<Prompts>,
    examples: &[Arc<Example>],
) -> Result<Batch, Error> {
    let jobs: Vec<_> =
        examples.iter().map(|example| RolloutJob::new(Arc::clone(prompts), Arc::clone(example))).collect();
    runner.run(&jobs).await.map_err(Error::Rollouts)
}
