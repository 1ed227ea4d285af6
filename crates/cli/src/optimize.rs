//! `promptopt optimize`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use promptopt_core::{Cancellation, ModuleExt as _, Optimizer as _, Prompts, StopReason};
use promptopt_report::{ErrorLine, TestReport};
use serde_json::json;

use crate::args::OptimizeArgs;
use crate::exit::Exit;
use crate::interrupt::cancel_on_interrupt;
use crate::measure;
use crate::optimizers::{self, Surroundings};
use crate::output::Output;
use crate::progress::Progress;
use crate::report;
use crate::saved::SavedProgram;
use crate::session::Session;
use crate::summary;
use crate::task_file::{OptimizerKind, OptimizerSection, TaskFile};

pub(crate) async fn run(args: &OptimizeArgs, output: Output) -> anyhow::Result<()> {
    let started = Instant::now();
    // A mistake in the options is said before any model is loaded.
    let (section, left_out) =
        TaskFile::read(&args.run.task).and_then(|task| options(args, &task)).map_err(Exit::configuration)?;
    let mut session = Session::open(&args.run).await?;
    let progress = Arc::new(Progress::new(output, &session.gauge, section.max_calls));
    introduce(&session, &section, &left_out, &progress);

    let before = session.program.candidate().prompts;
    let cancellation = cancel_on_interrupt();
    let around = Surroundings::of(&session, &section, Arc::clone(&progress) as _, cancellation.clone());
    let optimizer = optimizers::build(&section, around);
    let trainset = std::mem::take(&mut session.train);
    let outcome = optimizer.compile(&mut session.program, trainset).await.context("optimizing")?;
    let optimized_in = started.elapsed().as_secs_f64();

    // What was paid for is on disk before more is paid.
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.optimized.json", session.name)));
    let mut saved = SavedProgram {
        promptopt: env!("CARGO_PKG_VERSION").to_owned(),
        task: session.name.clone(),
        model: session.model.model.id(),
        prompt_model: Some(session.prompt_model.model.id()).filter(|id| *id != session.model.model.id()),
        prompts: session.program.candidate().prompts,
        prompts_before: before.clone(),
        test: None,
        errors: Vec::new(),
        configuration: configuration(&args.run.task, &session, &section),
        outcome,
    };
    saved.write(&path)?;
    if saved.outcome.stop == StopReason::Cancelled {
        progress.finish();
        output.text(summary::optimization(&saved.outcome, None))?;
        return Err(Exit::Interrupted.with(anyhow!(
            "interrupted; the best so far is written to {}, and the sealed test was not opened",
            path.display()
        )));
    }
    let judging = Arc::clone(&session.judging);
    let tested = sealed_test(session, &saved, &progress, cancellation).await;
    progress.finish();

    output.text(format_args!(
        "\n--- prompt before\n{}\n--- prompt after\n{}",
        summary::prompts(&before),
        summary::prompts(&saved.prompts)
    ))?;
    match tested {
        Ok((test, errors)) => (saved.test, saved.errors) = (Some(test), errors),
        Err(error) => {
            output.text(summary::optimization(&saved.outcome, None))?;
            let exit = Exit::of(&error);
            return Err(exit.with(anyhow!(
                "the optimized program is written to {}, but the sealed test was not finished: {error:#}; \
                 `promptopt eval {} --program {}` runs it",
                path.display(),
                args.run.task.display(),
                path.display()
            )));
        }
    }
    saved.write(&path)?;
    let page = match args.no_report {
        true => None,
        false => Some(report::write(&saved, &path, None)?),
    };
    output.text(format_args!(
        "{} on {}\n\n{}",
        saved.outcome.optimizer,
        saved.task,
        summary::optimization(&saved.outcome, saved.test.as_ref())
    ))?;
    if judging.calls() > 0 {
        output.text(format_args!(
            "besides these, the judge took {} calls with {} tokens, which `max_calls` does not count",
            judging.calls(),
            judging.tokens()
        ))?;
    }
    output.text(format_args!("optimized in {optimized_in:.0} s; written to {}", path.display()))?;
    if let Some(page) = &page {
        output.text(format_args!("report: {}", page.display()))?;
    }
    output.object(&json!({
        "command": "optimize",
        "task": saved.task,
        "optimizer": saved.outcome.optimizer,
        "improved": saved.outcome.improved(),
        "program": path,
        "report": page,
        "baseline": saved.outcome.baseline,
        "selected": saved.outcome.selected,
        "test": saved.test.as_ref().map(|test| json!({
            "baseline": test.baseline, "optimized": test.optimized, "comparison": test.comparison,
        })),
        "spending": saved.outcome.spending,
        "judge_calls": judging.calls(),
        "stop": saved.outcome.stop,
        "notes": saved.outcome.notes,
        "seconds": optimized_in,
    }))?;
    ending(&saved, args.fail_under)
}

/// The code that the command ends with, once everything is written and said.
fn ending(saved: &SavedProgram, fail_under: Option<f64>) -> anyhow::Result<()> {
    if let StopReason::Provider { message } = &saved.outcome.stop {
        return Err(Exit::Provider.with(anyhow!("the optimization ended early: {message}")));
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
fn options(args: &OptimizeArgs, task: &TaskFile) -> anyhow::Result<(OptimizerSection, Vec<String>)> {
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
    Ok((section, left_out))
}

fn introduce(session: &Session, section: &OptimizerSection, left_out: &[String], progress: &Progress) {
    progress.line(&format!("{}: {}", session.task.data.path.display(), session.split));
    progress.line(&format!("model: {}", session.model.model.id()));
    warnings(session, section, progress);
    if !left_out.is_empty() {
        progress.line(&format!(
            "note: {} has no option {}, so the task file's is left out",
            section.chosen().name(),
            left_out.join(", ")
        ));
    }
}

/// What somebody who reads the scores should know of the models.
pub(crate) fn warnings(session: &Session, section: &OptimizerSection, progress: &Progress) {
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

/// Original and optimized program on the sealed test, and what failed there.
async fn sealed_test(
    mut session: Session,
    saved: &SavedProgram,
    progress: &Arc<Progress>,
    cancellation: Cancellation,
) -> anyhow::Result<(TestReport, Vec<ErrorLine>)> {
    let test = session.open_test();
    progress.stage("sealed test", &format!("original and optimized program on {} examples", test.len()));
    let runner = measure::runner(&session, Arc::clone(progress) as _, cancellation);
    let prompts: [&Prompts; 2] = [&saved.prompts_before, &saved.prompts];
    let baseline = measure::measure(&runner, prompts[0], &test).await?;
    let optimized = measure::measure(&runner, prompts[1], &test).await?;
    Ok((measure::test_report(&test, &baseline, &optimized), measure::errors(&[&baseline, &optimized])))
}

/// What it takes to make the same run again.
fn configuration(task: &Path, session: &Session, section: &OptimizerSection) -> serde_json::Value {
    let mut optimizer = serde_json::to_value(section).unwrap_or_default();
    if let Some(options) = optimizer.as_object_mut() {
        options.retain(|_, value| !value.is_null());
        options.insert("kind".to_owned(), section.chosen().name().into());
        // Never changes the result, so two runs that differ in it are the same run.
        options.shift_remove("concurrency");
    }
    json!({
        "task_file": task.file_name().map(|name| name.to_string_lossy()),
        "optimizer": optimizer,
        "data": session.split.to_string(),
        "data_seed": session.task.data.seed,
        "metric": session.task.metric,
    })
}
