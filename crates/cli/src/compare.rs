//! `promptopt compare`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use promptopt_core::money::Budget;
use promptopt_core::program::{Cancellation, ModuleExt as _};
use promptopt_core::prompt::Prompts;
use promptopt_report::TestReport;
use promptopt_report::comparison::{ComparisonRow, rows_to_table};
use promptopt_run::{Optimizer as _, Outcome, StopReason};
use serde::Serialize;

use crate::args::CompareArgs;
use crate::exit::Exit;
use crate::models::short_id;
use crate::optimizers::{COMPARED, KINDS, Kind};
use crate::output::Output;
use crate::outputs::Inputs;
use crate::progress::Progress;
use crate::session::Session;
use crate::task_file::OptimizerSection;
use crate::{measure, optimize, saved, stages};

/// What is written as JSON.
#[derive(Serialize)]
struct Compared<'a> {
    promptopt: &'a str,
    task: &'a str,
    model: String,
    prompt_model: String,
    data: String,
    max_calls: Option<u64>,
    rows: &'a [ComparisonRow],
}

/// One optimization, before the test is opened.
struct Finished {
    outcome: Outcome,
    seed: u64,
    took: Duration,
}

/// The optimizations that came to an end, the errors of those that did not, and whether they were interrupted.
#[derive(Default)]
struct Finish {
    finished: Vec<Finished>,
    failed: Vec<anyhow::Error>,
    interrupted: bool,
}

pub(crate) async fn run(args: &CompareArgs, output: Output) -> anyhow::Result<()> {
    let work = async |session, cancellation| compare(args, session, cancellation, output).await;
    Session::during(&args.run, None, "ending the comparison", work).await
}

async fn compare(
    args: &CompareArgs,
    mut session: Session,
    cancellation: Cancellation,
    output: Output,
) -> anyhow::Result<()> {
    if let Some(out) = &args.out {
        let inputs = Inputs::of_task(&session.task, &args.run.task);
        inputs.check("--out", out).map_err(Exit::configuration)?;
    }
    let mut base = session.task.optimizer.clone();
    base.set("--max-calls", "max_calls", args.max_calls)?;
    let options = base.run_options()?;

    let progress = Arc::new(Progress::new(output, &session.gauge, options.limits()));
    let _watch = session.fleet.show(&progress);
    progress.line(&format!("{}: {}", session.task.data.place(), session.split));
    progress.line(&format!("model: {}", short_id(&session.model.model.profile().id)));
    optimize::warnings(&session, &base, &progress);
    if options.max_calls.is_none() {
        progress.line("note: without `max_calls` each optimizer takes as many calls as it does by default");
    }

    let before = session.program.candidate().prompts;
    let first_seed = args.seed.unwrap_or(options.seed);
    let seeds = first_seed..first_seed.saturating_add(args.seeds);
    let mut end = Finish::default();
    for kind in asked(args) {
        let (section, left_out) = base.for_optimizer(kind);
        if !left_out.is_empty() {
            progress.line(&format!("note: {} runs without {}", kind.name, left_out.join(", ")));
        }
        for seed in seeds.clone() {
            let section = section.clone().with_seed(seed);
            optimized(&mut session, &section, seed, &progress, &cancellation, &mut end).await?;
            session.program.set_prompts(&before)?;
            if end.interrupted {
                progress.finish();
                return Err(interrupted(&end.finished, args.out.as_deref(), output)?);
            }
        }
    }
    if end.finished.is_empty() && !end.failed.is_empty() {
        progress.finish();
        return Err(end.failed.swap_remove(0));
    }
    let rows = tested(&mut session, &before, &end.finished, &progress, cancellation).await?;
    progress.finish();
    told(args, &session, options.max_calls, &rows, output)?;
    match end.failed.into_iter().next() {
        Some(error) => Err(error.context("not all optimizers came to an end")),
        None => Ok(()),
    }
}

/// The optimizers that are asked for, each once.
fn asked(args: &CompareArgs) -> Vec<Kind> {
    let usual = KINDS.get(..COMPARED).unwrap_or(KINDS);
    let asked = if args.optimizers.is_empty() { usual } else { &args.optimizers };
    let mut kinds: Vec<Kind> = Vec::new();
    for kind in asked {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    kinds
}

/// Runs one optimizer with one seed. What the others cost is not lost with one that fails.
async fn optimized(
    session: &mut Session,
    section: &OptimizerSection,
    seed: u64,
    progress: &Arc<Progress>,
    cancellation: &Cancellation,
    end: &mut Finish,
) -> anyhow::Result<()> {
    progress.begin(&format!("{} seed {seed}", section.name()));
    let observer = optimize::told(&format!("{} seed {seed}", section.name()), progress);
    let selection = session.selection.clone();
    let strategy = stages::optimizer(
        session,
        section,
        selection,
        observer,
        cancellation.clone(),
        stages::Terms::default(),
    )?;
    let started = Instant::now();
    match strategy.compile(&mut session.program, session.train.clone()).await {
        Ok(outcome) if outcome.stop == StopReason::Cancelled => end.interrupted = true,
        Ok(outcome) => end.finished.push(Finished { outcome, seed, took: started.elapsed() }),
        Err(error) => {
            let error = anyhow::Error::from(error).context(format!("optimizing with {}", section.name()));
            progress.line(&format!("error: {error:#}"));
            end.failed.push(error);
        }
    }
    Ok(())
}

/// The original and all winners on the sealed test.
async fn tested(
    session: &mut Session,
    before: &Prompts,
    finished: &[Finished],
    progress: &Arc<Progress>,
    cancellation: Cancellation,
) -> anyhow::Result<Vec<ComparisonRow>> {
    // Nothing is chosen any more once the test is open.
    let test = session.open_test();
    progress.stage(
        "sealed test",
        &format!("the original and {} winners on {} examples", finished.len(), test.len()),
    );
    let mut run = measure::run(session, Budget::default(), Arc::clone(progress) as _, cancellation)?;
    let baseline = measure::measure(&mut run, before, &test).await?;
    let mut rows = Vec::new();
    for Finished { outcome, seed, took } in finished {
        let prompts = outcome.winner().map_or(before, |winner| &winner.prompts);
        let optimized = measure::measure(&mut run, prompts, &test).await?;
        let report = TestReport::of("sealed test", &test, &baseline, &optimized)?;
        rows.push(ComparisonRow::of(outcome, Some(&report), *took, *seed));
    }
    Ok(rows)
}

/// Writes and says what was finished before an interruption, and gives the error to end with.
fn interrupted(finished: &[Finished], out: Option<&Path>, output: Output) -> anyhow::Result<anyhow::Error> {
    let rows: Vec<_> =
        finished.iter().map(|run| ComparisonRow::of(&run.outcome, None, run.took, run.seed)).collect();
    if !rows.is_empty() {
        output.text(format_args!("finished before the interruption:\n\n{}", rows_to_table(&rows)))?;
    }
    if let Some(path) = out {
        saved::write_json(path, &rows)
            .with_context(|| format!("writing the figures to {}", path.display()))?;
    }
    Ok(Exit::Interrupted.with(anyhow!("interrupted; the sealed test was not opened")))
}

/// Writes and says how they compare.
fn told(
    args: &CompareArgs,
    session: &Session,
    max_calls: Option<u64>,
    rows: &[ComparisonRow],
    output: Output,
) -> anyhow::Result<()> {
    let figures = Compared {
        promptopt: env!("CARGO_PKG_VERSION"),
        task: &session.name,
        model: session.model.model.profile().id,
        prompt_model: session.prompt_model.model.profile().id,
        data: session.split.to_string(),
        max_calls,
        rows,
    };
    output.text(format_args!("{} on {}\n\n{}", session.name, figures.model, rows_to_table(rows)))?;
    if session.gauge.judge_calls() > 0 {
        output.text(format_args!("of these calls the judge took {}", session.gauge.judge_calls()))?;
    }
    if let Some(path) = &args.out {
        saved::write_json(path, &figures)
            .with_context(|| format!("writing the figures to {}", path.display()))?;
        output.text(format_args!("figures: {}", path.display()))?;
    }
    output.object(&figures)
}
