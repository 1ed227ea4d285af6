//! `promptopt optimize`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use miprov2::MIPROv2;
use promptopt_core::{Cancellation, ModuleExt as _, Optimizer, Prompts, RolloutRunner};
use promptopt_evaluator::{Evaluation, compare, evaluate};
use promptopt_proposer::{Proposer, TemplateProposer};

use crate::args::OptimizeArgs;
use crate::progress::Progress;
use crate::saved::{SavedProgram, TestResult};
use crate::session::Session;
use crate::summary;
use crate::task_file::ProposerKind;

pub(crate) async fn run(args: &OptimizeArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let progress = Arc::new(Progress::new());
    let mut session = Session::open(&args.run).await?;
    progress.line(&format!("{}: {}", session.task.data.path.display(), session.splits.report));
    progress.line(&format!("model: {}", session.model.model.id()));

    if session.model.is_simulated {
        progress.line(
            "note: the simulated model knows the data's answers; its scores say nothing of a real model",
        );
    }

    let before = session.program.candidate().prompts;
    let cancellation = cancel_on_interrupt();
    let optimizer = optimizer(args, &session, &progress, cancellation.clone());
    let trainset = std::mem::take(&mut session.splits.train);
    let outcome = optimizer.compile(&mut session.program, trainset).await.context("optimizing")?;
    let optimized_in = started.elapsed().as_secs_f64();

    // What was paid for is on disk before more is paid.
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.optimized.json", session.name)));
    let mut saved = SavedProgram {
        promptopt: env!("CARGO_PKG_VERSION").to_owned(),
        task: session.name.clone(),
        model: session.model.model.id(),
        prompts: session.program.candidate().prompts,
        test: None,
        outcome,
    };
    saved.write(&path)?;
    let improved = saved.outcome.improved();
    let tested = measure(session, before.clone(), improved, &progress, cancellation).await;
    progress.finish();

    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\n--- prompt before\n{}\n--- prompt after\n{}",
        summary::prompts(&before),
        summary::prompts(&saved.prompts)
    )?;
    let (result, rate) = match tested {
        Ok((result, rate)) => (Some(result), rate),
        Err(error) => {
            writeln!(out, "{}", summary::optimization(&saved.outcome, None))?;
            bail!(
                "the optimized program is written to {}, but the sealed test was not finished: {error:#}; \
                 `promptopt eval {} --program {}` runs it",
                path.display(),
                args.run.task.display(),
                path.display()
            );
        }
    };
    saved.test = result;
    saved.write(&path)?;
    writeln!(
        out,
        "{} on {}\n\n{}",
        saved.outcome.optimizer,
        saved.task,
        summary::optimization(&saved.outcome, saved.test.as_ref())
    )?;
    writeln!(
        out,
        "optimized in {optimized_in:.0} s; the sealed test ran at {rate:.1} evaluations/s; written to {}",
        path.display()
    )?;
    Ok(())
}

/// Original and optimized program on the sealed test, and how many evaluations a second it took.
async fn measure(
    session: Session,
    before: Prompts,
    improved: bool,
    progress: &Arc<Progress>,
    cancellation: Cancellation,
) -> anyhow::Result<(TestResult, f64)> {
    let test = Session::open_test(session.splits);
    progress.stage("sealed test", &format!("original and optimized program on {} examples", test.len()));
    let runner = RolloutRunner::new(&*session.program, Arc::clone(&session.model.model))
        .concurrency(session.concurrency)
        .max_errors(Some(session.task.optimizer.max_errors.unwrap_or(10)))
        .cancellation(cancellation)
        .observer(Arc::clone(progress) as _);
    let started = Instant::now();
    let baseline = complete(evaluate(&runner, &Arc::new(before), &test).await?)?;
    let optimized =
        if improved { complete(evaluate(&runner, &Arc::default(), &test).await?)? } else { baseline.clone() };
    let rate = runner.totals().made as f64 / started.elapsed().as_secs_f64();
    Ok((test_result(&baseline, &optimized), rate))
}

fn complete(evaluation: Evaluation) -> anyhow::Result<Evaluation> {
    match &evaluation.stop {
        Some(stop) => bail!("{stop}"),
        None => Ok(evaluation),
    }
}

fn test_result(baseline: &Evaluation, optimized: &Evaluation) -> TestResult {
    TestResult {
        baseline: baseline.estimate,
        optimized: optimized.estimate,
        comparison: compare(&baseline.evidence(), &optimized.evidence(), 0.95),
    }
}

fn optimizer(
    args: &OptimizeArgs,
    session: &Session,
    progress: &Arc<Progress>,
    cancellation: Cancellation,
) -> impl Optimizer + use<> {
    let section = &session.task.optimizer;
    let prompt_model = session.prompt_model.as_ref().unwrap_or(&session.model);
    let by_template = match section.proposer {
        ProposerKind::Template => true,
        ProposerKind::Model => false,
        ProposerKind::Auto => prompt_model.is_embedded,
    };
    if by_template && section.proposer == ProposerKind::Auto {
        progress.line(
            "the embedded model is too small to write instructions, so they are composed from templates \
             (`proposer = \"model\"` in the task file asks it all the same)",
        );
    }
    let proposer = by_template.then(|| Arc::new(TemplateProposer::default()) as Arc<dyn Proposer>);
    MIPROv2::builder()
        .task_model(Arc::clone(&session.model.model))
        .prompt_model(Arc::clone(&prompt_model.model))
        .maybe_proposer(proposer)
        .valset(session.splits.selection.clone())
        .maybe_auto(section.auto)
        .maybe_num_candidates(args.candidates.or(section.num_candidates))
        .maybe_num_trials(args.trials.or(section.num_trials))
        .maybe_minibatch(section.minibatch)
        .maybe_minibatch_size(section.minibatch_size)
        .maybe_minibatch_full_eval_steps(section.minibatch_full_eval_steps)
        .maybe_temperature(section.temperature)
        .maybe_max_bootstrapped_demos(section.max_bootstrapped_demos)
        .maybe_max_labeled_demos(section.max_labeled_demos)
        .maybe_metric_threshold(section.metric_threshold)
        .maybe_seed(args.seed.or(section.seed))
        .maybe_max_errors(section.max_errors)
        .maybe_max_calls(args.max_calls.or(section.max_calls))
        .concurrency(session.concurrency)
        .observer(Arc::clone(progress) as _)
        .cancellation(cancellation)
        .build()
}

/// The first Ctrl-C ends the run with the best so far; a second one ends the process.
fn cancel_on_interrupt() -> Cancellation {
    let cancellation = Cancellation::new();
    let flag = cancellation.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.cancel();
            let _ = writeln!(
                std::io::stderr(),
                "\nending the run with the best so far; press Ctrl-C again to leave now"
            );
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
    cancellation
}
