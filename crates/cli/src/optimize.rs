//! `promptopt optimize` and `promptopt resume`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use promptopt_core::{Budget, Event, ModuleExt as _, Observer, StopReason, TracingObserver, Usage};
use promptopt_store::{Manifest, StoredStats};
use serde_json::json;

use crate::args::{OptimizeArgs, ResumeArgs, RunArgs, SearchArgs};
use crate::estimate::estimate;
use crate::exit::Exit;
use crate::interrupt::cancel_on_interrupt;
use crate::keeping::Keeping;
use crate::models::short_id;
use crate::output::Output;
use crate::progress::Progress;
use crate::recorded::{self, Recorded};
use crate::report;
use crate::run::{self, Run};
use crate::saved::{Definition, SavedProgram};
use crate::secrets;
use crate::session::{self, Facts, Session};
use crate::stages;
use crate::summary;
use crate::task_file::{Amount, OptimizerKind, OptimizerSection, TaskFile};

/// How long requests that have left are waited for when a run is interrupted.
const GRACE: Duration = Duration::from_secs(1);

/// What is to be done, by the command line or by a run directory.
struct Plan {
    /// The command line, with whole paths.
    command: OptimizeArgs,
    task: TaskFile,
    section: OptimizerSection,
    left_out: Vec<String>,
    /// Where the optimized program is written.
    program: PathBuf,
    place: Place,
}

/// Where the run is kept.
enum Place {
    Nowhere,
    New(PathBuf),
    Old(PathBuf),
}

pub(crate) async fn run(args: &OptimizeArgs, output: Output) -> anyhow::Result<()> {
    if args.dry_run {
        return estimate(&args.run, &args.search, output).await;
    }
    // A mistake in the options is said before any model is loaded.
    let read = || {
        let task = TaskFile::read(&args.run.task)?;
        let (section, left_out) = options(&args.search, &task)?;
        anyhow::Ok((task, section, left_out))
    };
    let (task, section, left_out) = read().map_err(Exit::configuration)?;
    let name = session::name(&task, &args.run.task);
    let program = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.optimized.json")));
    let (free, unfinished) = run::choose(&program);
    let place = match &args.run_directory {
        _ if args.no_run => Place::Nowhere,
        Some(path) => Place::New(path.clone()),
        None => Place::New(free),
    };
    if let (Place::New(path), Some(unfinished), None, false) =
        (&place, unfinished, &args.run_directory, output.quiet)
    {
        // A closed standard error is no reason to end a run.
        let _ = writeln!(
            std::io::stderr(),
            "note: {} holds a run that is not finished; `promptopt resume {}` goes on with it, and this one starts \
             anew in {}",
            unfinished.display(),
            unfinished.display(),
            path.display()
        );
    }
    let command = recorded::absolute(args, &program).map_err(Exit::configuration)?;
    execute(Plan { command, task, section, left_out, program, place }, &args.run, output).await
}

/// `promptopt resume`.
pub(crate) async fn resume(args: &ResumeArgs, output: Output) -> anyhow::Result<()> {
    let read = || {
        let recorded = Recorded::of(&Manifest::read(&args.directory)?)
            .with_context(|| format!("reading the run in {}", args.directory.display()))?;
        let task = recorded.task()?;
        let (section, left_out) = options(&recorded.command.search, &task)?;
        let program = recorded.command.out.clone().unwrap_or_else(|| args.directory.join(run::PROGRAM));
        let place = Place::Old(args.directory.clone());
        anyhow::Ok(Plan { command: recorded.command, task, section, left_out, program, place })
    };
    let plan = read().map_err(Exit::configuration)?;
    let mut run_args = plan.command.run.clone();
    run_args.concurrency = args.concurrency.or(run_args.concurrency);
    execute(plan, &run_args, output).await
}

async fn execute(plan: Plan, args: &RunArgs, output: Output) -> anyhow::Result<()> {
    let started = Instant::now();
    let Plan { command, task, section, left_out, program: path, place } = plan;
    let cancellation = cancel_on_interrupt();
    let redactor = secrets::redactor(&task, args.lm.as_deref());
    let mut kept = None;
    let keep = |facts: &Facts<'_>| {
        let manifest = || recorded::manifest(&command, &section, facts);
        kept = match &place {
            Place::Nowhere => None,
            Place::New(path) => Some(Run::create(path, &manifest()?, redactor.clone())?),
            Place::Old(path) => Some(Run::resume(path, &manifest()?, redactor.clone())?),
        };
        let journal = kept.as_ref().map(|run| run.journal().clone());
        Keeping::new(journal, redactor.clone(), facts.task, args, cancellation.clone())
    };
    let opened = Session::open_kept(args, command.search.from.as_deref(), task, keep).await;
    let mut session = match (opened, kept.take()) {
        (Ok(session), run) => {
            kept = run;
            session
        }
        (Err(error), None) => return Err(error),
        (Err(error), Some(run)) => return Err(given_up(error, run).await),
    };
    let cap = section.budget().map_err(Exit::configuration)?;
    let progress = Arc::new(Progress::new(output, &session.gauge, cap));
    introduce(&session, &section, &left_out, &progress);
    let observer = match &kept {
        None => told(&session.name, &progress),
        Some(run) => {
            let replies = run.journal().replies_at_open();
            match replies {
                0 => progress.line(&format!("run: {}", run.path().display())),
                _ => progress.line(&format!(
                    "run: {}, with {replies} replies that were paid before",
                    run.path().display()
                )),
            }
            run.observer(told(&session.name, &progress))
        }
    };

    let before = session.program.candidate().prompts;
    let compiled = stages::optimization(&mut session, &section, &observer, &cancellation).await;
    let (outcome, forecast, for_test) = match (compiled, kept.take()) {
        (Ok(compiled), run) => {
            kept = run;
            compiled
        }
        (Err(error), run) => {
            progress.finish();
            if cancellation.is_cancelled() {
                session.keeping.settle(GRACE).await;
            }
            drop(session);
            return Err(match run {
                None => error,
                Some(run) => given_up(error, run).await,
            });
        }
    };
    let optimized_in = started.elapsed().as_secs_f64();

    // What was paid for is on disk before more is paid.
    let mut saved = SavedProgram {
        promptopt: env!("CARGO_PKG_VERSION").to_owned(),
        task: session.name.clone(),
        model: session.model.model.id(),
        prompt_model: Some(session.prompt_model.model.id()).filter(|id| *id != session.model.model.id()),
        prompts: session.program.candidate().prompts,
        prompts_before: before,
        test: None,
        test_usage: Usage::default(),
        definition: Some(Definition::of(&session.task, session.model.is_embedded)),
        errors: Vec::new(),
        configuration: configuration(&args.task, &session, &section),
        outcome,
    };
    let write = |saved: &SavedProgram, finished: bool| {
        saved.write(&path)?;
        kept.as_ref().map_or(Ok(()), |run| run.write(saved, finished))
    };
    saved = saved.without_secrets(&redactor)?;
    write(&saved, false)?;
    let goes_on = match &kept {
        None => String::new(),
        Some(run) => format!("; `promptopt resume {}` goes on with it", run.path().display()),
    };
    if saved.outcome.stop == StopReason::Cancelled {
        progress.finish();
        let out = session.keeping.settle(GRACE).await;
        output.text(summary::optimization(&saved.outcome, None))?;
        told_of_replies(&session.keeping.stats(), output)?;
        let lost = if out == 0 { String::new() } else { format!(", {out} requests got no reply in time") };
        return Err(Exit::Interrupted.with(anyhow!(
            "interrupted; the best so far is written to {}, and the sealed test was not opened{lost}{goes_on}",
            path.display()
        )));
    }
    // What the optimization left of the time is the test's.
    let for_test =
        Budget { wall_time: cap.wall_time.map(|cap| cap.saturating_sub(started.elapsed())), ..for_test };
    let tested =
        stages::sealed_test(&mut session, &mut saved, for_test, observer, &progress, cancellation.clone())
            .await;
    progress.finish();
    if cancellation.is_cancelled() {
        session.keeping.settle(GRACE).await;
    }
    let judging = &session.judging;

    output.text(format_args!(
        "\n--- prompt before\n{}\n--- prompt after\n{}",
        summary::prompts(&saved.prompts_before),
        summary::prompts(&saved.prompts)
    ))?;
    match tested {
        Ok((test, errors, usage)) => {
            (saved.test, saved.errors, saved.test_usage) = (Some(test), errors, usage);
        }
        Err(error) => {
            output.text(summary::optimization(&saved.outcome, None))?;
            let exit = Exit::of(&error);
            // A cap of tokens or money would end a second try where it ended the first.
            let in_vain = exit == Exit::Budget && cap.wall_time.is_none();
            let goes_on = match kept {
                Some(_) if !in_vain => goes_on,
                _ => {
                    format!("; `promptopt eval {} --program {}` runs it", args.task.display(), path.display())
                }
            };
            return Err(exit.with(anyhow!(
                "the optimized program is written to {}, but the sealed test was not finished: {error:#}{goes_on}",
                path.display(),
            )));
        }
    }
    saved = saved.without_secrets(&redactor)?;
    let page = match command.no_report {
        true => None,
        false => {
            saved.write(&path)?;
            if let Some(run) = &kept {
                run.write_text(run::REPORT, &report::page(&saved, run.created_at())?)?;
            }
            Some(report::write(&saved, &path, None)?)
        }
    };
    // The last thing that is written says that nothing is left to do.
    write(&saved, !matches!(saved.outcome.stop, StopReason::Provider { .. }))?;
    output.text(format_args!(
        "{} on {}\n\n{}",
        saved.outcome.optimizer,
        saved.task,
        summary::optimization(&saved.outcome, saved.test.as_ref())
    ))?;
    if judging.calls() > 0 {
        output.text(format_args!(
            "of these calls the judge took {}, with {} tokens (on the sealed test, too)",
            judging.calls(),
            judging.tokens()
        ))?;
    }
    let stats = session.keeping.stats();
    told_of_replies(&stats, output)?;
    output.text(forecast.beside(saved.outcome.spending.total(), saved.test_usage))?;
    output.text(format_args!("optimized in {optimized_in:.0} s; written to {}", path.display()))?;
    if let Some(page) = &page {
        output.text(format_args!("report: {}", page.display()))?;
    }
    if let Some(run) = &kept {
        output.text(format_args!("run: {}", run.path().display()))?;
    }
    output.object(&json!({
        "command": "optimize",
        "task": saved.task,
        "optimizer": saved.outcome.optimizer,
        "improved": saved.outcome.improved(),
        "program": path,
        "report": page,
        "run": kept.as_ref().map(Run::path),
        "baseline": saved.outcome.baseline,
        "selected": saved.outcome.selected,
        "test": saved.test.as_ref().map(|test| json!({
            "baseline": test.baseline, "optimized": test.optimized, "comparison": test.comparison,
        })),
        "spending": saved.outcome.spending,
        "test_usage": saved.test_usage,
        "estimate": forecast.to_json(),
        "judge_calls": judging.calls(),
        "replayed_calls": stats.replayed.calls,
        "cached_calls": stats.cached.calls,
        "stop": saved.outcome.stop,
        "exhausted": saved.outcome.exhausted,
        "notes": saved.outcome.notes,
        "seconds": optimized_in,
    }))?;
    ending(&saved, command.fail_under, &goes_on)
}

/// The error of a run that did not begin, or did not come to an outcome: with how to go on, where something
/// was paid for.
async fn given_up(error: anyhow::Error, run: Run) -> anyhow::Error {
    let path = run.path().to_owned();
    if !run.give_up().await {
        return error;
    }
    let path = path.display();
    let hint = format!("every reply so far is kept in {path}; `promptopt resume {path}` goes on with it");
    Exit::of(&error).with(anyhow!("{error:#}\n{hint}"))
}

/// Where replies came from, when not all were paid for now.
fn told_of_replies(stats: &StoredStats, output: Output) -> anyhow::Result<()> {
    let StoredStats { replayed, cached, .. } = stats;
    if replayed.calls > 0 {
        output.text(format_args!("replayed {} calls that were paid before", replayed.calls))?;
    }
    if cached.calls > 0 {
        output.text(format_args!("{} replies came from the cache and cost nothing", cached.calls))?;
    }
    Ok(())
}

/// The code that the command ends with, once everything is written and said.
fn ending(saved: &SavedProgram, fail_under: Option<f64>, goes_on: &str) -> anyhow::Result<()> {
    if let StopReason::Provider { message } = &saved.outcome.stop {
        return Err(Exit::Provider.with(anyhow!("the optimization ended early: {message}{goes_on}")));
    }
    match (fail_under, &saved.test) {
        (Some(least), Some(test)) => enough(test.optimized.mean, least),
        _ => Ok(()),
    }
}

/// Refuses a score that is below what was asked for.
pub(crate) fn enough(score: f64, least: f64) -> anyhow::Result<()> {
    if score < least {
        let error = anyhow!("the score on the sealed test is {score:.3}, below --fail-under {least}");
        return Err(Exit::BelowThreshold.with(error));
    }
    Ok(())
}

/// The optimizer's options from file and command line, and those of the file that are left out.
pub(crate) fn options(args: &SearchArgs, task: &TaskFile) -> anyhow::Result<(OptimizerSection, Vec<String>)> {
    let (mut section, left_out) = match args.optimizer {
        Some(kind) => task.optimizer.for_optimizer(kind),
        None => (task.optimizer.clone(), Vec::new()),
    };
    for (flag, value) in [("--candidates", args.candidates), ("--trials", args.trials)] {
        if value.is_some() && section.chosen() != OptimizerKind::Miprov2 {
            bail!("{flag} is an option of `miprov2`, but the optimizer is `{}`", section.chosen().name());
        }
    }
    section.num_candidates = args.candidates.or(section.num_candidates);
    section.num_trials = args.trials.or(section.num_trials);
    section.seed = args.seed.or(section.seed);
    section.max_calls = args.max_calls.or(section.max_calls);
    section.max_tokens = args.max_tokens.or(section.max_tokens);
    section.max_cost = args.max_cost.clone().map(Amount::Text).or(section.max_cost);
    section.max_time = args.max_time.clone().map(Amount::Text).or(section.max_time);
    section.budget()?;
    Ok((section, left_out))
}

/// Who looks on: the progress, and whoever listens to `tracing`.
fn told(name: &str, progress: &Arc<Progress>) -> Arc<dyn Observer> {
    let (traced, progress) = (TracingObserver::new(name), Arc::clone(progress));
    Arc::new(move |event: &Event| {
        traced.observe(event);
        progress.observe(event);
    })
}

fn introduce(session: &Session, section: &OptimizerSection, left_out: &[String], progress: &Progress) {
    progress.line(&format!("{}: {}", session.task.data.place(), session.split));
    progress.line(&format!("model: {}", short_id(&session.model.model.id())));
    warnings(session, section, progress);
    if !left_out.is_empty() {
        progress.line(&format!(
            "note: {} has no option {}, so the task file's is left out",
            section.chosen().name(),
            left_out.join(", ")
        ));
    }
}

/// What somebody who reads the scores should know of data and models.
pub(crate) fn warnings(session: &Session, section: &OptimizerSection, progress: &Progress) {
    let sensitivity = promptopt_evaluator::statistics::sensitivity_note(session.test_rows());
    for note in session.notes.iter().chain(&sensitivity) {
        progress.line(&format!("note: {note}"));
    }
    if session.model.is_simulated {
        progress.line(
            "note: the simulated model knows the data's answers; its scores say nothing of a real model",
        );
    }
    if session.prompt_model.is_embedded && section.proposer.unwrap_or_default() == Default::default() {
        progress.line(
            "the embedded model is too small to write instructions, so they are composed from templates \
             (`proposer = \"model\"` in the task file asks it all the same)",
        );
    }
}

/// What it takes to make the same run again.
fn configuration(task: &Path, session: &Session, section: &OptimizerSection) -> serde_json::Value {
    json!({
        "task_file": task.file_name().map(|name| name.to_string_lossy()),
        "optimizer": recorded::options(section),
        "data": session.split.to_string(),
        "data_seed": session.task.data.seed,
        "metric": session.task.metric,
    })
}
