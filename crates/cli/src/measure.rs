//! Measuring programs on the sealed test.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use promptopt_core::{
    Cancellation, Example, FailureKind, Observer, Prompts, RolloutJob, RolloutRunner, StopReason, Trace,
};
use promptopt_evaluator::statistics::detectable_gain;
use promptopt_evaluator::{Evaluation, MemoryStore, compare, evaluate};
use promptopt_report::{ErrorLine, ExampleRow, TestReport};

use crate::exit::Exit;
use crate::session::Session;

/// The most different errors that are kept.
const MAX_ERRORS: usize = 50;

/// A runner for the sealed test. What it ran once it knows.
pub(crate) fn runner<'a>(
    session: &'a Session,
    observer: Arc<dyn Observer>,
    cancellation: Cancellation,
) -> RolloutRunner<'a> {
    RolloutRunner::new(&*session.program, Arc::clone(&session.model.model))
        .concurrency(session.concurrency)
        .max_errors(Some(session.max_errors()))
        .store(Arc::new(MemoryStore::default()))
        .cancellation(cancellation)
        .observer(observer)
}

/// Some prompts on the sealed test; an error when the test could not be finished.
pub(crate) async fn measure(
    runner: &RolloutRunner<'_>,
    prompts: &Prompts,
    test: &[Arc<Example>],
) -> anyhow::Result<Evaluation> {
    checked(evaluate(runner, &Arc::new(prompts.clone()), test).await?)
}

/// Two sets of prompts on the sealed test, row by row, so that where the budget ends it both have the same
/// rows: the first ones.
pub(crate) async fn measure_both(
    runner: &RolloutRunner<'_>,
    prompts: [&Prompts; 2],
    test: &[Arc<Example>],
) -> anyhow::Result<[Evaluation; 2]> {
    let prompts = prompts.map(|prompts| Arc::new(prompts.clone()));
    let jobs: Vec<RolloutJob> = test
        .iter()
        .flat_map(|example| {
            prompts.each_ref().map(|one| RolloutJob::new(Arc::clone(one), Arc::clone(example)))
        })
        .collect();
    let mut batch = runner.run(&jobs).await?;
    if batch.stop == Some(StopReason::Budget) {
        let rows = batch.traces.chunks(2).take_while(|row| row.iter().all(Option::is_some)).count();
        if rows == 0 {
            return Err(Exit::Budget.with(anyhow!("the cap left nothing for it")));
        }
        batch.traces.truncate(2 * rows);
        batch.stop = None;
    }
    let of = |first: usize| batch.traces.iter().skip(first).step_by(2).cloned().collect();
    let [before, after] = [of(0), of(1)].map(|traces| Evaluation::of(traces, batch.stop.clone()));
    Ok([checked(before)?, checked(after)?])
}

/// An evaluation that was finished and says something.
fn checked(evaluation: Evaluation) -> anyhow::Result<Evaluation> {
    match &evaluation.stop {
        None => {}
        Some(StopReason::Cancelled) => return Err(Exit::Interrupted.with(anyhow!("interrupted"))),
        Some(stop @ StopReason::Provider { .. }) => return Err(Exit::Provider.with(anyhow!("{stop}"))),
        Some(stop) => bail!("{stop}"),
    }
    if evaluation.estimate.n == 0 {
        let first = evaluation.traces.iter().flatten().find_map(|trace| trace.error.as_ref());
        let said = first.map_or("none was recorded", |failure| failure.message.as_str());
        let error = anyhow!("no example of the sealed test got a score; the first error: {said}");
        return Err(match first.map(|failure| failure.kind) {
            Some(FailureKind::Provider) => Exit::Provider.with(error),
            // A metric that judges nothing at all is not set up rightly.
            Some(FailureKind::Metric) => Exit::Configuration.with(error),
            _ => error,
        });
    }
    Ok(evaluation)
}

/// Original against optimized, example by example.
pub(crate) fn test_report(
    test: &[Arc<Example>],
    baseline: &Evaluation,
    optimized: &Evaluation,
) -> TestReport {
    let examples = test.iter().zip(baseline.traces.iter().zip(&optimized.traces));
    let comparison = compare(&baseline.evidence(), &optimized.evidence(), 0.95);
    TestReport {
        split: "sealed test".to_owned(),
        baseline: baseline.estimate,
        optimized: optimized.estimate,
        detectable_gain: detectable_gain(&comparison),
        comparison,
        examples: examples
            .map(|(example, (before, after))| row(example, before.as_deref(), after.as_deref()))
            .collect(),
    }
}

fn row(example: &Example, before: Option<&Trace>, after: Option<&Trace>) -> ExampleRow {
    let answer =
        |trace: Option<&Trace>| trace?.prediction.as_ref().map(|prediction| prediction.fields().clone());
    let error = |trace: Option<&Trace>| trace?.error.as_ref().map(|failure| failure.message.clone());
    ExampleRow {
        inputs: example.inputs(),
        expected: example.labels(),
        before: answer(before),
        after: answer(after),
        score_before: before.and_then(Trace::evidence),
        score_after: after.and_then(Trace::evidence),
        error_before: error(before),
        error_after: error(after),
        feedback: after.and_then(|trace| trace.score.as_ref()?.feedback.clone()),
    }
}

/// What failed on the sealed test, in words, each once.
pub(crate) fn errors(evaluations: &[&Evaluation]) -> Vec<ErrorLine> {
    let mut counts: BTreeMap<(FailureKind, &str), u64> = BTreeMap::new();
    for trace in evaluations.iter().flat_map(|evaluation| evaluation.traces.iter().flatten()) {
        if let Some(failure) = &trace.error {
            *counts.entry((failure.kind, failure.message.as_str())).or_default() += 1;
        }
    }
    let line = |((kind, message), count): ((FailureKind, &str), u64)| ErrorLine {
        kind,
        message: promptopt_core::shorten(message, 500),
        count,
    };
    counts.into_iter().map(line).take(MAX_ERRORS).collect()
}
