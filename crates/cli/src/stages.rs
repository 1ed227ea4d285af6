//! The two stages of `promptopt optimize`: the optimization, and the sealed test.

use std::sync::Arc;

use anyhow::Context as _;
use promptopt_core::{
    Budget, Cancellation, Ledger, Observer, Optimizer as _, Outcome, Prompts, SystemClock, Usage,
};
use promptopt_report::{ErrorLine, TestReport};

use crate::exit::Exit;
use crate::forecast::Forecast;
use crate::measure;
use crate::optimizers::{self, Surroundings};
use crate::progress::Progress;
use crate::saved::SavedProgram;
use crate::session::Session;
use crate::task_file::OptimizerSection;

/// The outcome of a session's optimizer, what was to be expected of it, and what its caps leave for the sealed
/// test.
pub(crate) async fn optimization(
    session: &mut Session,
    section: &OptimizerSection,
    observer: &Arc<dyn Observer>,
    cancellation: &Cancellation,
) -> anyhow::Result<(Outcome, Forecast, Budget)> {
    let surroundings = |session: &Session| {
        Surroundings::of(session, section, Arc::clone(observer), cancellation.clone())
            .map_err(Exit::configuration)
    };
    let trainset = std::mem::take(&mut session.train);
    let unrestrained = optimizers::build(section, surroundings(session)?);
    let forecast = Forecast::of(session, section, &*unrestrained, &trainset).context("optimizing")?;
    let mut around = surroundings(session)?;
    forecast.check(around.budget).map_err(Exit::configuration)?;
    let (budget, for_test) = forecast.divide(around.budget);
    around.budget = budget;
    let optimizer = optimizers::build(section, around);
    let outcome = optimizer.compile(&mut session.program, trainset).await.context("optimizing")?;
    Ok((outcome, forecast, for_test))
}

/// Original and optimized program on the sealed test, what failed there, and what it took.
pub(crate) async fn sealed_test(
    session: &mut Session,
    saved: &mut SavedProgram,
    budget: Budget,
    observer: Arc<dyn Observer>,
    progress: &Progress,
    cancellation: Cancellation,
) -> anyhow::Result<(TestReport, Vec<ErrorLine>, Usage)> {
    let test = session.open_test();
    progress.stage("sealed test", &format!("original and optimized program on {} examples", test.len()));
    let ledger = Ledger::with(budget, session.task.prices.clone(), Arc::new(SystemClock::default()));
    let runner = measure::runner(session, observer, cancellation).ledger(Arc::new(ledger));
    let prompts: [&Prompts; 2] = [&saved.prompts_before, &saved.prompts];
    let [baseline, optimized] = measure::measure_both(&runner, prompts, &test).await?;
    if baseline.traces.len() < test.len() {
        saved.outcome.notes.push(format!(
            "the budget lasted for the first {} of the {} rows of the sealed test",
            baseline.traces.len(),
            test.len()
        ));
    }
    let report = measure::test_report(&test, &baseline, &optimized);
    Ok((report, measure::errors(&[&baseline, &optimized]), runner.totals().usage))
}
