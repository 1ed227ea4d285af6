//! The two stages of `promptopt optimize`: the optimization, and the sealed test.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use promptopt_core::data::Example;
use promptopt_core::money::{Budget, Usage};
use promptopt_core::program::Cancellation;
use promptopt_core::prompt::Prompts;
use promptopt_proposer::TemplateProposer;
use promptopt_report::{ErrorLine, TestReport};
use promptopt_run::{Event, Observer, Strategy};

use crate::exit::Exit;
use crate::forecast::PricedForecast;
use crate::least;
use crate::measure;
use crate::run_clock::RunClock;
use crate::saved::SavedProgram;
use crate::session::Session;
use crate::task_file::{OptimizerSection, ProposerKind};

/// What is optimized for: whether the sealed test is paid from the same caps, and by which clock.
#[derive(Default)]
pub(crate) struct Terms {
    pub(crate) with_test: bool,
    pub(crate) clock: Option<RunClock>,
}

/// The optimizer of a section on a session's models and data. Candidates are chosen on `selection`. Caps that cannot
/// last for the original are refused.
pub(crate) fn optimizer(
    session: &Session,
    section: &OptimizerSection,
    selection: Vec<Example>,
    observer: Arc<dyn Observer>,
    cancellation: Cancellation,
    terms: Terms,
) -> anyhow::Result<Arc<dyn Strategy>> {
    if selection.is_empty() {
        bail!(
            "the selection part has no rows, and candidates are compared there: give `data.selection` in the task file \
             a share or a count"
        );
    }
    let kind = section.proposer.unwrap_or_default();
    // The embedded model is slow to write, and what it writes on trial has not been found to be worth it.
    let by_template =
        kind == ProposerKind::Template || kind == ProposerKind::Auto && session.prompt_model.is_embedded;
    let mut options = session.run_options(section.run_options()?, observer, cancellation);
    least::check(session, &selection, options.limits(), terms.with_test).context("optimizing")?;
    options.valset = Some(selection);
    if terms.with_test {
        // The original and the winner.
        options.rollouts_after = 2 * session.test_rows() as u64;
    }
    options.clock = terms.clock.map(|clock| Arc::new(clock) as _);
    // The prompt model is not called when templates are used, so its price does not matter either.
    let prompt_model = if by_template { &session.model } else { &session.prompt_model };
    options.prompt_model = Some(Arc::clone(&prompt_model.model));
    let templates = Arc::new(TemplateProposer::default());
    if by_template {
        options.instruction_writer = Some(templates);
    } else if kind == ProposerKind::Auto {
        options.fallback_writer = Some(templates);
    }
    section.strategy(options)
}

/// An optimization that is about to begin.
pub(crate) struct Planned {
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) trainset: Vec<Example>,
    /// What is to be expected of it.
    pub(crate) forecast: PricedForecast,
}

/// Plans the optimization of a session; its training and selection examples are taken from it.
pub(crate) fn plan(
    session: &mut Session,
    section: &OptimizerSection,
    observer: Arc<dyn Observer>,
    cancellation: Cancellation,
    clock: RunClock,
) -> anyhow::Result<Planned> {
    let trainset = std::mem::take(&mut session.train);
    let selection = std::mem::take(&mut session.selection);
    let terms = Terms { with_test: true, clock: Some(clock) };
    let strategy =
        optimizer(session, section, selection, observer, cancellation, terms).map_err(Exit::configuration)?;
    let forecast = PricedForecast::of(session, section, &*strategy, &trainset).context("optimizing")?;
    forecast.check(section.run_options()?.limits()).map_err(Exit::configuration)?;
    Ok(Planned { strategy, trainset, forecast })
}

/// Original and optimized program on the sealed test, what failed there, and what it took.
pub(crate) async fn sealed_test(
    session: &mut Session,
    saved: &mut SavedProgram,
    budget: Budget,
    observer: Arc<dyn Observer>,
    cancellation: Cancellation,
) -> anyhow::Result<(TestReport, Vec<ErrorLine>, Usage)> {
    let test = session.open_test();
    let detail = format!("original and optimized program on {} examples", test.len());
    observer.observe(&Event::Stage { name: "sealed test".to_owned(), detail });
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
