//! One set of prompts on a data set.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::prompt::Prompts;
use promptopt_core::trace::{FailureKind, Trace};
use promptopt_statistics::{Estimate, Scores, estimate};

use crate::{Error, Halt, RolloutJob, Run};

/// Confidence level of intervals.
pub(crate) const LEVEL: f64 = 0.95;

/// How a program scored on a data set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evaluation {
    /// One trace an example, in order; `None` where the run ended before it.
    pub traces: Vec<Option<Arc<Trace>>>,
    /// The mean score with its 95 % interval.
    pub estimate: Estimate,
}

impl Evaluation {
    /// The evaluation that some traces are, one an example.
    pub fn of(traces: Vec<Option<Arc<Trace>>>) -> Self {
        let mut estimate = estimate(&evidence(&traces), LEVEL);
        estimate.failed = traces.iter().flatten().filter(|trace| counts_as_zero(trace)).count();
        Self { traces, estimate }
    }

    /// What each example says about the prompts, in order.
    pub fn evidence(&self) -> Scores {
        evidence(&self.traces)
    }
}

fn evidence(traces: &[Option<Arc<Trace>>]) -> Scores {
    Scores::lossy(traces.iter().map(|trace| trace.as_ref().and_then(|trace| trace.evidence())))
}

/// Runs a run's program over all examples under some prompts (empty: its own).
///
/// # Errors
///
/// [`Halt`] when the run ends before all examples are done; [`Error::Data`] without examples.
pub async fn evaluate(
    run: &mut Run<'_>,
    prompts: &Arc<Prompts>,
    examples: &[Arc<Example>],
) -> Result<Evaluation, Halt> {
    if examples.is_empty() {
        let reason = "there are no examples to evaluate on; give at least one".to_owned();
        return Err(Error::Data { reason }.into());
    }
    let jobs: Vec<_> =
        examples.iter().map(|example| RolloutJob::new(Arc::clone(prompts), Arc::clone(example))).collect();
    let traces = run.rollouts(&jobs).await?;
    Ok(Evaluation::of(traces.into_iter().map(Some).collect()))
}

pub(crate) fn counts_as_zero(trace: &Trace) -> bool {
    let kind = trace.error.as_ref().map(|failure| failure.kind);
    matches!(kind, Some(FailureKind::Reply | FailureKind::Program))
}
