//! `promptopt estimate`, and `optimize --dry-run`.

use std::sync::Arc;

use promptopt_core::program::Cancellation;
use promptopt_run::{NoObserver, added_max_tokens};
use serde_json::json;

use crate::args::{EstimateArgs, RunArgs, SearchArgs};
use crate::exit::Exit;
use crate::forecast::PricedForecast;
use crate::models::short_id;
use crate::optimize;
use crate::output::Output;
use crate::session::Session;
use crate::stages;

pub(crate) async fn run(args: &EstimateArgs, output: Output) -> anyhow::Result<()> {
    estimate(&args.run, &args.search, output).await
}

/// Prints what an optimization is going to cost.
pub(crate) async fn estimate(run: &RunArgs, search: &SearchArgs, output: Output) -> anyhow::Result<()> {
    let mut session = Session::open_idle(run, search.from.as_deref()).await?;
    let (section, _) = optimize::options(search, &session.task).map_err(Exit::configuration)?;
    let selection = std::mem::take(&mut session.selection);
    let terms = stages::Terms { with_test: true, clock: None };
    let (observer, cancellation) = (Arc::new(NoObserver), Cancellation::new());
    let strategy = stages::optimizer(&session, &section, selection, observer, cancellation, terms)
        .map_err(Exit::configuration)?;
    let cap = section.run_options()?.limits();
    let forecast = PricedForecast::of(&session, &section, &*strategy, &session.train)?;
    output.text(format_args!(
        "{} with {} on {}\n{}\n\n{}",
        session.name,
        section.name(),
        short_id(&session.model.model.profile().id),
        session.split,
        forecast.table(cap)
    ))?;
    if let Some(note) = promptopt_statistics::sensitivity_note(session.test_rows()) {
        output.text(format_args!("note: {note}"))?;
    }
    let added_max_tokens = added_max_tokens(&session.model.model.profile(), &cap);
    if let Some(limit) = added_max_tokens {
        output.text(format_args!(
            "note: a cap adds `max_tokens = {limit}` to requests without it; see `[model]`"
        ))?;
    }
    output.object(&json!({
        "command": "estimate",
        "task": session.name,
        "optimizer": section.name(),
        "estimate": forecast.to_json(),
        "cap": cap,
        "added_max_tokens": added_max_tokens,
    }))
}
