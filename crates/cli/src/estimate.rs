//! `promptopt estimate`, and `optimize --dry-run`.

use std::sync::Arc;

use promptopt_core::{Cancellation, NoObserver};
use serde_json::json;

use crate::args::{EstimateArgs, RunArgs, SearchArgs};
use crate::exit::Exit;
use crate::forecast::Forecast;
use crate::models::short_id;
use crate::optimize;
use crate::optimizers::{self, Surroundings};
use crate::output::Output;
use crate::session::Session;

pub(crate) async fn run(args: &EstimateArgs, output: Output) -> anyhow::Result<()> {
    estimate(&args.run, &args.search, output).await
}

/// Prints what an optimization is going to cost.
pub(crate) async fn estimate(run: &RunArgs, search: &SearchArgs, output: Output) -> anyhow::Result<()> {
    let session = Session::open_idle(run, search.from.as_deref()).await?;
    let (section, _) = optimize::options(search, &session.task).map_err(Exit::configuration)?;
    let around = Surroundings::of(&session, &section, Arc::new(NoObserver), Cancellation::new())
        .map_err(Exit::configuration)?;
    let cap = around.budget;
    let optimizer = optimizers::build(&section, around);
    let forecast = Forecast::of(&session, &section, &*optimizer, &session.train)?;
    output.text(format_args!(
        "{} with {} on {}\n{}\n\n{}",
        session.name,
        section.chosen().name(),
        short_id(&session.model.model.id()),
        session.split,
        forecast.table(cap)
    ))?;
    if let Some(note) = promptopt_evaluator::statistics::sensitivity_note(session.test_rows()) {
        output.text(format_args!("note: {note}"))?;
    }
    output.object(&json!({
        "command": "estimate",
        "task": session.name,
        "optimizer": section.chosen().name(),
        "estimate": forecast.to_json(),
        "cap": cap,
    }))
}
