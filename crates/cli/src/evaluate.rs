//! `promptopt eval`.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::bail;
use promptopt_core::{ModuleExt as _, RolloutRunner};
use promptopt_evaluator::evaluate;

use crate::args::EvalArgs;
use crate::progress::Progress;
use crate::saved::SavedProgram;
use crate::session::Session;
use crate::summary;

pub(crate) async fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let progress = Arc::new(Progress::new());
    let mut session = Session::open(&args.run).await?;
    if let Some(path) = &args.program {
        let saved = SavedProgram::read(path)?;
        session.program.install(&saved.prompts)?;
    }
    let test = Session::open_test(session.splits);
    progress.stage("sealed test", &format!("{} examples, model {}", test.len(), session.model.model.id()));
    let runner = RolloutRunner::new(&*session.program, Arc::clone(&session.model.model))
        .concurrency(session.concurrency)
        .max_errors(Some(session.task.optimizer.max_errors.unwrap_or(10)))
        .observer(Arc::clone(&progress) as _);
    let evaluation = evaluate(&runner, &Arc::default(), &test).await?;
    progress.finish();
    if let Some(stop) = evaluation.stop {
        bail!("the evaluation is not complete: {stop}");
    }
    let failures = evaluation.traces.iter().flatten().filter(|trace| trace.evidence().is_none());
    let first =
        failures.filter_map(|trace| trace.error.as_ref()).map(|failure| failure.message.as_str()).next();
    if evaluation.estimate.n == 0 {
        bail!(
            "no example of the sealed test got a score; the first error: {}",
            first.unwrap_or("none was recorded")
        );
    }
    let mut out = std::io::stdout().lock();
    if let Some(first) = first {
        writeln!(out, "{} examples have no score; the first error: {first}", evaluation.estimate.missing)?;
    }
    writeln!(
        out,
        "sealed test (n = {}): {}",
        evaluation.estimate.n,
        summary::estimate(&evaluation.estimate)
    )?;
    let usage = runner.totals().usage;
    writeln!(
        out,
        "{} calls, {} tokens read, {} written",
        usage.calls, usage.prompt_tokens, usage.completion_tokens
    )?;
    Ok(())
}
