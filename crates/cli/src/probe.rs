//! `promptopt probe`.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use promptopt_core::data::Example;
use promptopt_core::money::Budget;
use promptopt_core::program::Cancellation;
use promptopt_run::{Between, Halt, HeadroomFinding, Run, RunOptions, StopReason, calls_of_a_rollout};
use serde_json::json;

use crate::args::ProbeArgs;
use crate::exit::Exit;
use crate::forecast;
use crate::measure;
use crate::models::short_id;
use crate::output::Output;
use crate::progress::Progress;
use crate::session::Session;

/// Fewer rows say nothing.
const FEWEST: usize = 10;
/// Prompts that are tried at most, and demos of each.
const PROMPTS: u64 = 5;
const DEMOS: usize = 8;

pub(crate) async fn run(args: &ProbeArgs, output: Output) -> anyhow::Result<()> {
    let work = async |session, cancellation| probe(args, session, cancellation, output).await;
    Session::during(&args.run, args.program.as_deref(), "ending the probe", work).await
}

async fn probe(
    args: &ProbeArgs,
    session: Session,
    cancellation: Cancellation,
    output: Output,
) -> anyhow::Result<()> {
    let options = session.task.optimizer.run_options()?;
    let mut limits = options.limits();
    limits.calls = args.max_calls.or(limits.calls);
    let rows = affordable(&session, args, limits).map_err(Exit::configuration)?;
    let progress = Arc::new(Progress::new(output, &session.gauge, limits));
    let _watch = session.fleet.show(&progress);
    for note in &session.notes {
        progress.line(&format!("note: {note}"));
    }
    let count = rows as u64;
    let rollouts = Between::new(3 * count, most_rollouts(count));
    progress.line(&format!(
        "{} on {}: the probe takes {} (the sealed test stays sealed)",
        session.name,
        short_id(&session.model.model.profile().id),
        forecast::of_rollouts(&session, rollouts, DEMOS)
    ));
    let seed = args.seed.unwrap_or(options.seed);
    let options = RunOptions::builder().seed(seed).max_errors(session.max_errors()).budget(limits).build();
    let options = session.run_options(options, Arc::clone(&progress) as _, cancellation);
    let mut run = Run::of(&*session.program, options)?;
    let train: Vec<Arc<Example>> = session.train.iter().cloned().map(Arc::new).collect();
    let mut examples: Vec<Arc<Example>> = session.selection.iter().cloned().map(Arc::new).collect();
    if examples.len() < rows {
        // Demos are never shown to the row they were made from.
        examples.extend(train.iter().cloned());
    }
    run.select_on(examples);
    let found = run.look_for_headroom(rows, &train).await;
    progress.finish();
    let found = match found {
        Ok(found) => found,
        Err(Halt::Stopped(StopReason::Budget)) => {
            return Err(Exit::Budget.with(anyhow!(
                "the budget is too small for a probe of {count} rows; raise it, or ask for fewer with --rows"
            )));
        }
        Err(halt) => return measure::refused(halt, &run),
    };
    let usage = run.runner().totals().usage;
    output.text(table(&found))?;
    output.text(format_args!("{found}.\n{}", found.advice()))?;
    output.text(format_args!("{} calls, {}", usage.calls, usage.tokens_in_words()))?;
    let gain = found.headroom.gain().expected;
    output.object(&json!({
        "command": "probe",
        "task": session.name,
        "model": session.model.model.profile().id,
        "program": args.program,
        "has_headroom": found.kind.is_headroom(),
        "expected_gain": found.headroom.gain(),
        "says": found.to_string(),
        "advice": found.advice(),
        "finding": found,
        "usage": usage,
        "reasons": run.runner().reasons(),
    }))?;
    match args.fail_under.filter(|least| gain < *least) {
        Some(least) => {
            let error = anyhow!("the expected gain is {gain:.3}, below --fail-under {least}");
            Err(Exit::BelowThreshold.with(error))
        }
        None => Ok(()),
    }
}

/// How many rows a probe takes, by what is asked for and what `max_calls` affords.
fn affordable(session: &Session, args: &ProbeArgs, limits: Budget) -> anyhow::Result<usize> {
    let there = session.selection.len() + session.train.len();
    let wanted = usize::try_from(args.rows)?.min(there);
    if wanted == 0 {
        bail!(
            "neither the selection part nor the training part has rows to probe on: give `data.selection` in the task \
             file a share or a count"
        );
    }
    let rollout = calls_of_a_rollout(&*session.program).high;
    let Some(most) = limits.calls else { return Ok(wanted) };
    let least = wanted.min(FEWEST);
    (least..=wanted).rev().find(|rows| most_rollouts(*rows as u64) * rollout <= most).ok_or_else(|| {
        let needed = most_rollouts(least as u64) * rollout;
        Exit::Budget.with(anyhow!(
            "the budget is too small for a probe, which takes up to {needed} calls on {least} rows; raise `max_calls`"
        ))
    })
}

/// The most rollouts that a probe makes on so many rows: half of them are drawn twice.
fn most_rollouts(rows: u64) -> u64 {
    PROMPTS * (rows + (2 * rows.div_ceil(4)).min(rows))
}

/// The prompts with their scores, in eighty columns.
fn table(found: &HeadroomFinding) -> String {
    let mut text = format!(
        "{:<10}{:>7}{:>10}  {:<26}{}\n",
        "prompt", "score", "unusable", "expected gain", "what is different"
    );
    let all = found.prompts.iter().zip(&found.headroom.means).zip(&found.headroom.gains);
    for (at, ((prompt, mean), gain)) in all.enumerate() {
        let gain = match at {
            0 => String::new(),
            _ => format!("{:+.3} [{:+.3}, {:+.3}]", gain.expected, gain.low, gain.high),
        };
        let _ =
            writeln!(text, "{:<10}{mean:>7.3}{:>10}  {gain:<26}{}", prompt.name, prompt.failed, prompt.about);
    }
    text
}
