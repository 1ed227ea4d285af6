//! `promptopt eval`.

use std::sync::Arc;

use promptopt_core::money::Budget;
use promptopt_core::program::{Cancellation, ModuleExt as _};
use promptopt_run::unfit_formats;
use serde_json::json;

use crate::args::EvalArgs;
use crate::measure;
use crate::models::short_id;
use crate::optimize::enough;
use crate::output::Output;
use crate::progress::Progress;
use crate::session::Session;
use crate::summary;

pub(crate) async fn run(args: &EvalArgs, output: Output) -> anyhow::Result<()> {
    let work = async |session, cancellation| evaluate(args, session, cancellation, output).await;
    Session::during(&args.run, args.program.as_deref(), "ending the measurement", work).await
}

async fn evaluate(
    args: &EvalArgs,
    mut session: Session,
    cancellation: Cancellation,
    output: Output,
) -> anyhow::Result<()> {
    let progress = Arc::new(Progress::new(output, &session.gauge, Budget::default()));
    let _watch = session.fleet.show(&progress);
    for note in &session.notes {
        progress.line(&format!("note: {note}"));
    }
    let test = session.open_test();
    progress.stage(
        "sealed test",
        &format!("{} examples, model {}", test.len(), short_id(&session.model.model.profile().id)),
    );
    let mut run = measure::run(&session, Budget::default(), Arc::clone(&progress) as _, cancellation)?;
    let prompts = session.program.candidate().prompts;
    let evaluation = measure::measure(&mut run, &prompts, &test).await?;
    let totals = run.runner().totals();
    let (usage, reasons) = (totals.usage, run.runner().reasons());
    let errors = measure::errors(std::slice::from_ref(&evaluation));
    progress.finish();
    let estimate = &evaluation.estimate;
    if estimate.missing > 0 {
        output.text(format_args!("{} examples have no score", estimate.missing))?;
    }
    output.text(format_args!("sealed test (n = {}): {}", estimate.n, summary::estimate(estimate)))?;
    for line in summary::errors(&errors) {
        output.text(line)?;
    }
    output.text(format_args!("{} calls, {}", usage.calls, usage.tokens_in_words()))?;
    for (path, format) in unfit_formats(&*session.program, &evaluation.traces) {
        output.text(format_args!(
            "note: hardly any reply to `{path}` fits its format at the first attempt; `format = \"{format}\"` in the \
             task file saves the second one"
        ))?;
    }
    output.object(&json!({
        "command": "eval",
        "task": session.name,
        "model": session.model.model.profile().id,
        "program": args.program,
        "test": estimate,
        "usage": usage,
        "judge_calls": session.gauge.judge_calls(),
        "failures": totals.failures,
        "rows_left_out": run.runner().rows_left_out(),
        "reasons": reasons,
        "errors": errors,
    }))?;
    args.fail_under.map_or(Ok(()), |least| enough(estimate.mean, least))
}
