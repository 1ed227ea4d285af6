//! Running a program over examples and keeping everything that happened.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::program::ModuleExt as _;
use promptopt_core::trace::Trace;
use promptopt_run::{Halt, RolloutJob, Run};

/// Runs a run's program, under its own prompts, over all examples: concurrently within the run's bound, with the
/// traces in the order of the examples and failures kept as traces.
///
/// # Errors
///
/// [`Halt`] when the run ends before all of them are made.
pub async fn generate_traces(run: &mut Run<'_>, examples: &[Arc<Example>]) -> Result<Vec<Arc<Trace>>, Halt> {
    let prompts = Arc::new(run.program().candidate().prompts);
    let jobs: Vec<_> =
        examples.iter().map(|example| RolloutJob::new(Arc::clone(&prompts), Arc::clone(example))).collect();
    run.rollouts(&jobs).await
}
