//! The two stages of `promptopt optimize`: the optimization, and the sealed test.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use promptopt_core::data::Example;
use promptopt_core::money::{Budget, Usage};
use promptopt_core::program::Cancellation;
use promptopt_core::prompt::Prompts;
use promptopt_proposer::TemplateProposer;
use promptopt_report::{ErrorLine, TestReport};
use promptopt_run::{
    Error, Forecast, Halt, Observer, Optimizer as _, Outcome, Run, RunOptions, Setup, Strategy,
};

use crate::exit::Exit;
use crate::forecast::PricedForecast;
use crate::measure;
use crate::progress::Progress;
use crate::saved::SavedProgram;
use crate::session::Session;
use crate::task_file::{OptimizerSection, ProposerKind};

/// The optimizer of a section on a session's models and data. Candidates are chosen on `selection`.
pub(crate) fn optimizer(
    session: &Session,
    section: &OptimizerSection,
    selection: Vec<Example>,
    observer: Arc<dyn Observer>,
    cancellation: Cancellation,
) -> anyhow::Result<Arc<dyn Strategy>> {
    if selection.is_empty() {
        bail!(
            "the selection part has no rows, and candidates are compared there: give `data.selection` in the task file \
             a share or a count"
        );
    }
    let by_template = match section.proposer.unwrap_or_default() {
        ProposerKind::Template => true,
        ProposerKind::Model => false,
        ProposerKind::Auto => session.prompt_model.is_embedded,
    };
    let mut options = session.run_options(section.run_options()?, observer, cancellation);
    options.valset = Some(selection);
    // The prompt model is not called when templates are used, so its price does not matter either.
    let prompt_model = if by_template { &session.model } else { &session.prompt_model };
    options.prompt_model = Some(Arc::clone(&prompt_model.model));
    options.instruction_writer = by_template.then(|| Arc::new(TemplateProposer::default()) as _);
    section.strategy(options)
}

/// The outcome of a session's optimizer, what was to be expected of it, and what its caps leave for the sealed
/// test.
pub(crate) async fn optimization(
    session: &mut Session,
    section: &OptimizerSection,
    observer: &Arc<dyn Observer>,
    cancellation: &Cancellation,
) -> anyhow::Result<(Outcome, PricedForecast, Budget)> {
    let trainset = std::mem::take(&mut session.train);
    let selection = std::mem::take(&mut session.selection);
    let strategy = optimizer(session, section, selection, Arc::clone(observer), cancellation.clone())
        .map_err(Exit::configuration)?;
    let forecast = PricedForecast::of(session, section, &*strategy, &trainset).context("optimizing")?;
    let cap = section.run_options()?.limits();
    forecast.check(cap).map_err(Exit::configuration)?;
    let (budget, for_test) = forecast.divide(cap);
    let capped = Capped { strategy, budget };
    let outcome = capped.compile(&mut session.program, trainset).await.context("optimizing")?;
    Ok((outcome, forecast, for_test))
}

/// A strategy with a further budget: what a forecast of it leaves of its caps.
struct Capped {
    strategy: Arc<dyn Strategy>,
    budget: Budget,
}

#[async_trait]
impl Strategy for Capped {
    fn name(&self) -> &str {
        self.strategy.name()
    }

    fn options(&self) -> RunOptions {
        let mut options = self.strategy.options();
        options.budget = Some(self.budget);
        options
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        self.strategy.search(run).await
    }

    fn prepare(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
        self.strategy.prepare(setup)
    }

    fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
        self.strategy.forecast(run)
    }
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
    let mut run = measure::run(session, budget, observer, cancellation)?;
    let prompts: [&Prompts; 2] = [&saved.prompts_before, &saved.prompts];
    let both = measure::measure_both(&mut run, prompts, &test).await?;
    let [baseline, optimized] = &both;
    if baseline.traces.len() < test.len() {
        saved.outcome.notes.push(format!(
            "the budget lasted for the first {} of the {} rows of the sealed test",
            baseline.traces.len(),
            test.len()
        ));
    }
    let report = TestReport::of("sealed test", &test, baseline, optimized)?;
    Ok((report, measure::errors(&both), run.runner().totals().usage))
}
