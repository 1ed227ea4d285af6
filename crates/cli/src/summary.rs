//! What a run says at its end.

use std::fmt::Write as _;

use promptopt_core::{Comparison, Estimate, Outcome, Prompts, StopReason, plain_text};

use promptopt_report::TestReport;

/// A mean with its interval and what failed.
pub(crate) fn estimate(estimate: &Estimate) -> String {
    let mut text = format!("{:.3} [{:.3}, {:.3}]", estimate.mean, estimate.low, estimate.high);
    if estimate.failed > 0 {
        let _ = write!(text, ", {} failed", estimate.failed);
    }
    if estimate.missing > 0 {
        let _ = write!(text, ", {} missing", estimate.missing);
    }
    text
}

/// Whether and how much better, in a sentence.
pub(crate) fn verdict(comparison: &Comparison) -> String {
    let p = if comparison.p_value < 0.0001 {
        "< 0.0001".to_owned()
    } else {
        format!("= {:.4}", comparison.p_value)
    };
    let figures = format!(
        "{:+.3}, 95 % interval [{:+.3}, {:+.3}], p {p} ({}, n = {}: {} fixed, {} broken)",
        comparison.difference,
        comparison.low,
        comparison.high,
        comparison.test,
        comparison.n,
        comparison.wins,
        comparison.losses
    );
    if comparison.is_within_noise() {
        format!("not distinguishable from the baseline on the sealed test: {figures}")
    } else if comparison.is_better() {
        format!("better on the sealed test: {figures}")
    } else {
        format!("worse on the sealed test: {figures}")
    }
}

/// The whole summary of an optimization.
pub(crate) fn optimization(outcome: &Outcome, test: Option<&TestReport>) -> String {
    let mut text = String::new();
    let mut row = |name: String, baseline: &Estimate, optimized: &Estimate| {
        let _ = writeln!(text, "{name:<24}{:<34}{}", estimate(baseline), estimate(optimized));
    };
    if let Some(test) = test {
        row(format!("sealed test (n = {})", test.optimized.n), &test.baseline, &test.optimized);
    }
    row(format!("selection (n = {})", outcome.selected.n), &outcome.baseline, &outcome.selected);
    let mut text = format!("{:<24}{:<34}{}\n{text}", "", "baseline", "optimized");
    match test {
        _ if !outcome.improved() && outcome.stop == StopReason::Cancelled => {
            let _ = writeln!(text, "\nnothing had beaten the original on the selection set yet");
        }
        _ if !outcome.improved() => {
            let _ = writeln!(text, "\nnothing beat the original on the selection set, so it stays");
        }
        Some(test) => {
            let _ = writeln!(text, "\n{}", verdict(&test.comparison));
        }
        None => {}
    }
    let total = outcome.spending.total();
    let _ = writeln!(
        text,
        "{} calls ({} task model, {} prompt model; {} rollouts reused), {} tokens read, {} written; stopped because {}",
        total.calls,
        outcome.spending.task.calls,
        outcome.spending.prompt.calls,
        outcome.spending.reused_rollouts,
        total.prompt_tokens,
        total.completion_tokens,
        outcome.stop
    );
    let failures = &outcome.failures;
    if failures.reply + failures.errors() > 0 {
        let _ = writeln!(
            text,
            "failed rollouts: {} unusable replies, {} program, {} provider, {} metric",
            failures.reply, failures.program, failures.provider, failures.metric
        );
    }
    for note in &outcome.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// Prompts for a person to read.
pub(crate) fn prompts(prompts: &Prompts) -> String {
    let mut text = String::new();
    for (path, prompt) in prompts.iter() {
        let _ = writeln!(text, "predictor `{path}`, {} demos", prompt.demos.len());
        for line in prompt.instruction.lines() {
            let _ = writeln!(text, "  | {line}");
        }
        for (number, demo) in prompt.demos.iter().enumerate() {
            let kind = if demo.augmented { "bootstrapped" } else { "labelled" };
            let _ = writeln!(text, "  demo {} ({kind})", number + 1);
            for (name, value) in &demo.fields {
                let value = promptopt_core::shorten(&plain_text(value).replace('\n', " "), 100);
                let _ = writeln!(text, "    {name}: {value}");
            }
        }
    }
    text
}
