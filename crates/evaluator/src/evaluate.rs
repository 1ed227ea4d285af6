//! Evaluating one set of prompts on a data set.

use std::sync::Arc;

use promptopt_core::{Estimate, Example, FailureKind, Prompts, RolloutJob, RolloutRunner, StopReason, Trace};

use crate::{Error, statistics};

/// How a program scored on a data set.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// One trace an example, in order; `None` where the run ended before it.
    pub traces: Vec<Option<Arc<Trace>>>,
    /// The mean score with its 95 % interval.
    pub estimate: Estimate,
    /// Why it is not complete.
    pub stop: Option<StopReason>,
}

impl Evaluation {
    /// The evaluation that some traces are, one an example.
    pub fn of(traces: Vec<Option<Arc<Trace>>>, stop: Option<StopReason>) -> Self {
        let scores: Vec<f64> = traces.iter().flatten().filter_map(|trace| trace.evidence()).collect();
        let mut estimate = statistics::estimate(&scores, 0.95);
        estimate.failed = traces.iter().flatten().filter(|trace| counts_as_zero(trace)).count();
        estimate.missing = traces.len() - scores.len();
        Self { traces, estimate, stop }
    }

    /// What each example says about the prompts, in order.
    pub fn evidence(&self) -> Vec<Option<f64>> {
        self.traces.iter().map(|trace| trace.as_ref().and_then(|trace| trace.evidence())).collect()
    }
}

/// Runs the runner's program over all examples under some prompts (empty: its own).
///
/// # Errors
///
/// [`Error::EmptySelection`] without examples, [`Error::Rollouts`] when the rollout store fails.
pub async fn evaluate(
    runner: &RolloutRunner<'_>,
    prompts: &Arc<Prompts>,
    examples: &[Arc<Example>],
) -> Result<Evaluation, Error> {
    if examples.is_empty() {
        return Err(Error::EmptySelection);
    }
    let jobs: Vec<_> =
        examples.iter().map(|example| RolloutJob::new(Arc::clone(prompts), Arc::clone(example))).collect();
    let batch = runner.run(&jobs).await.map_err(Error::Rollouts)?;
    Ok(Evaluation::of(batch.traces, batch.stop))
}

pub(crate) fn counts_as_zero(trace: &Trace) -> bool {
    let kind = trace.error.as_ref().map(|failure| failure.kind);
    matches!(kind, Some(FailureKind::Reply | FailureKind::Program))
}
