//! Measuring programs on the sealed test.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use promptopt_core::data::Example;
use promptopt_core::money::Budget;
use promptopt_core::program::Cancellation;
use promptopt_core::prompt::Prompts;
use promptopt_core::trace::FailureKind;
use promptopt_report::ErrorLine;
use promptopt_run::{Evaluation, Halt, Observer, RolloutJob, Run, RunOptions, StopReason, evaluate};

use crate::exit::Exit;
use crate::session::Session;

/// A run for the sealed test, with a budget of its own. What it ran once it knows.
pub(crate) fn run(
    session: &Session,
    budget: Budget,
    observer: Arc<dyn Observer>,
    cancellation: Cancellation,
) -> anyhow::Result<Run<'_>> {
    let options = RunOptions::builder().max_errors(session.max_errors()).budget(budget).build();
    Ok(Run::of(&*session.program, session.run_options(options, observer, cancellation))?)
}

/// Some prompts on the sealed test; an error when the test could not be finished.
pub(crate) async fn measure(
    run: &mut Run<'_>,
    prompts: &Prompts,
    test: &[Arc<Example>],
) -> anyhow::Result<Evaluation> {
    let evaluation = evaluate(run, &Arc::new(prompts.clone()), test).await;
    checked(evaluation.or_else(|halt| refused(halt, run))?)
}

/// Two sets of prompts on the sealed test, row by row, so that where the budget ends it both have the same
/// rows: the first ones.
pub(crate) async fn measure_both(
    run: &mut Run<'_>,
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
    let mut traces = Vec::with_capacity(jobs.len());
    match run.rollouts_into(&jobs, &mut traces).await {
        Ok(()) => {}
        Err(Halt::Stopped(StopReason::Budget)) => {
            let rows = traces.chunks(2).take_while(|row| row.iter().all(Option::is_some)).count();
            if rows == 0 {
                return Err(Exit::Budget.with(anyhow!("the cap left nothing for it")));
            }
            traces.truncate(2 * rows);
        }
        Err(halt) => return refused(halt, run),
    }
    let of = |first: usize| Evaluation::of(traces.iter().skip(first).step_by(2).cloned().collect());
    Ok([checked(of(0))?, checked(of(1))?])
}

/// The error of a test that could not be finished.
pub(crate) fn refused<T>(halt: Halt, run: &Run<'_>) -> anyhow::Result<T> {
    match halt {
        Halt::Failed(error) => Err(error.into()),
        Halt::Stopped(StopReason::Cancelled) => Err(Exit::Interrupted.with(anyhow!("interrupted"))),
        Halt::Stopped(stop @ StopReason::Provider { .. }) => Err(Exit::Provider.with(anyhow!("{stop}"))),
        Halt::Stopped(stop @ StopReason::MaxErrors { .. }) => {
            let failures = run.runner().totals().failures;
            let kind = [
                (failures.provider, FailureKind::Provider),
                (failures.metric, FailureKind::Metric),
                (failures.program, FailureKind::Program),
            ];
            let most = kind.into_iter().rev().max_by_key(|(count, _)| *count).map(|(_, kind)| kind);
            Err(of_kind(most, anyhow!("{stop}")))
        }
        Halt::Stopped(stop) => bail!("{stop}"),
    }
}

/// An evaluation that says something.
fn checked(evaluation: Evaluation) -> anyhow::Result<Evaluation> {
    if evaluation.estimate.n == 0 {
        let first = evaluation.traces.iter().flatten().find_map(|trace| trace.error.as_ref());
        let said = first.map_or("none was recorded", |failure| failure.message.as_str());
        let error = anyhow!("no example of the sealed test got a score; the first error: {said}");
        return Err(of_kind(first.map(|failure| failure.kind), error));
    }
    Ok(evaluation)
}

/// The error of a test that ended by failures of a kind.
fn of_kind(kind: Option<FailureKind>, error: anyhow::Error) -> anyhow::Error {
    match kind {
        Some(FailureKind::Provider) => Exit::Provider.with(error),
        // A metric that judges nothing at all is not set up rightly.
        Some(FailureKind::Metric) => Exit::Configuration.with(error),
        _ => error,
    }
}

/// What failed on the sealed test, in words, each once.
pub(crate) fn errors(evaluations: &[Evaluation]) -> Vec<ErrorLine> {
    ErrorLine::gather(
        evaluations.iter().flat_map(|evaluation| evaluation.traces.iter().flatten().map(|one| &**one)),
    )
}
