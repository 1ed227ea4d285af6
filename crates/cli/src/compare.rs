//! `promptopt compare`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use promptopt_core::{ModuleExt as _, Optimizer as _, Outcome, StopReason};
use promptopt_report::comparison::{ComparisonRow, rows_to_table};
use serde::Serialize;

use crate::args::CompareArgs;
use crate::exit::Exit;
use crate::interrupt::cancel_on_interrupt;
use crate::models::short_id;
use crate::optimizers::{self, Surroundings};
use crate::output::Output;
use crate::progress::Progress;
use crate::session::Session;
use crate::task_file::{OptimizerKind, OptimizerSection};
use crate::{measure, optimize, saved};

/// What is written as JSON.
#[derive(Serialize)]
struct Figures<'a> {
    promptopt: &'a str,
    task: &'a str,
    model: String,
    prompt_model: String,
    data: String,
    max_calls: Option<u64>,
    rows: &'a [ComparisonRow],
}

/// One optimization, before the test is opened.
struct Run {
    outcome: Outcome,
    seed: u64,
    took: Duration,
}

pub(crate) async fn run(args: &CompareArgs, output: Output) -> anyhow::Result<()> {
    let cancellation = cancel_on_interrupt();
    let mut session = Session::open(&args.run, None, &cancellation).await?;
    let base = OptimizerSection {
        max_calls: args.max_calls.or(session.task.optimizer.max_calls),
        ..session.task.optimizer.clone()
    };
    let first_seed = args.seed.or(base.seed).unwrap_or(0);
    let mut kinds = args.optimizers.clone();
    if kinds.is_empty() {
        kinds = OptimizerKind::ALL.to_vec();
    }
    let mut seen = Vec::new();
    kinds.retain(|kind| {
        !seen.contains(kind) && {
            seen.push(*kind);
            true
        }
    });

    let progress =
        Arc::new(Progress::new(output, &session.gauge, base.budget().map_err(Exit::configuration)?));
    progress.line(&format!("{}: {}", session.task.data.place(), session.split));
    progress.line(&format!("model: {}", short_id(&session.model.model.id())));
    optimize::warnings(&session, &base, &progress);
    if base.max_calls.is_none() {
        progress.line("note: without `max_calls` each optimizer takes as many calls as it does by default");
    }

    let before = session.program.candidate().prompts;
    let mut runs = Vec::new();
    let mut failed: Vec<anyhow::Error> = Vec::new();
    for kind in kinds {
        let (section, left_out) = base.for_optimizer(kind);
        if !left_out.is_empty() {
            progress.line(&format!("note: {} runs without {}", kind.name(), left_out.join(", ")));
        }
        for seed in first_seed..first_seed.saturating_add(args.seeds) {
            let section = OptimizerSection { seed: Some(seed), ..section.clone() };
            progress.begin(&format!("{} seed {seed}", kind.name()));
            let around =
                Surroundings::of(&session, &section, Arc::clone(&progress) as _, cancellation.clone())?;
            let optimizer = optimizers::build(&section, around);
            let started = Instant::now();
            let trainset = session.train.clone();
            let compiled = optimizer.compile(&mut session.program, trainset).await;
            let took = started.elapsed();
            session.program.install(&before)?;
            let outcome = match compiled {
                Ok(outcome) => outcome,
                Err(error) => {
                    // What the others cost is not lost with this one.
                    let error =
                        anyhow::Error::from(error).context(format!("optimizing with {}", kind.name()));
                    progress.line(&format!("error: {error:#}"));
                    failed.push(error);
                    continue;
                }
            };
            if outcome.stop == StopReason::Cancelled {
                progress.finish();
                let rows: Vec<_> = runs
                    .iter()
                    .map(|run: &Run| ComparisonRow::of(&run.outcome, None, run.took, run.seed))
                    .collect();
                if !rows.is_empty() {
                    output.text(format_args!(
                        "finished before the interruption:\n\n{}",
                        rows_to_table(&rows)
                    ))?;
                }
                if let Some(path) = &args.out {
                    saved::write_json(path, &rows)
                        .with_context(|| format!("writing the figures to {}", path.display()))?;
                }
                return Err(Exit::Interrupted.with(anyhow!("interrupted; the sealed test was not opened")));
            }
            runs.push(Run { outcome, seed, took });
        }
    }

    if runs.is_empty() && !failed.is_empty() {
        progress.finish();
        return Err(failed.swap_remove(0));
    }
    // Nothing is chosen any more once the test is open.
    let test = session.open_test();
    progress
        .stage("sealed test", &format!("the original and {} winners on {} examples", runs.len(), test.len()));
    let runner = measure::runner(&session, Arc::clone(&progress) as _, cancellation);
    let baseline = measure::measure(&runner, &before, &test).await?;
    let mut rows = Vec::new();
    for Run { outcome, seed, took } in &runs {
        let prompts = outcome.winner().map_or(&before, |winner| &winner.prompts);
        let optimized = measure::measure(&runner, prompts, &test).await?;
        let report = measure::test_report(&test, &baseline, &optimized);
        rows.push(ComparisonRow::of(outcome, Some(&report), *took, *seed));
    }
    progress.finish();

    let figures = Figures {
        promptopt: env!("CARGO_PKG_VERSION"),
        task: &session.name,
        model: session.model.model.id(),
        prompt_model: session.prompt_model.model.id(),
        data: session.split.to_string(),
        max_calls: base.max_calls,
        rows: &rows,
    };
    output.text(format_args!("{} on {}\n\n{}", session.name, figures.model, rows_to_table(&rows)))?;
    if session.judging.calls() > 0 {
        output.text(format_args!("of these calls the judge took {}", session.judging.calls()))?;
    }
    if let Some(path) = &args.out {
        saved::write_json(path, &figures)
            .with_context(|| format!("writing the figures to {}", path.display()))?;
        output.text(format_args!("figures: {}", path.display()))?;
    }
    output.object(&figures)?;
    match failed.into_iter().next() {
        Some(error) => Err(error.context("not all optimizers came to an end")),
        None => Ok(()),
    }
}
