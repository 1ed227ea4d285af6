//! What a run says at its end.

use std::fmt::Write as _;
use std::path::Path;

use promptopt_core::data::{plain_text, shorten};
use promptopt_core::prompt::Prompts;
use promptopt_report::{ErrorLine, TestReport};
use promptopt_run::{FailureReason, HeadroomFinding, Outcome, RulesFinding, StopReason};
use promptopt_statistics::{Comparison, Estimate};
use promptopt_store::StoredStats;
use serde_json::{Value, json};

use crate::forecast::PricedForecast;
use crate::meter::Gauge;
use crate::saved::SavedProgram;

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

/// So many reasons of failures are named.
const REASONS: usize = 5;

/// Why rows failed, the most frequent reasons first.
pub(crate) fn errors(lines: &[ErrorLine]) -> Vec<String> {
    let named = lines.iter().take(REASONS).map(|line| reason(line.count, &line.message));
    named.chain(others(lines.len())).collect()
}

fn reason(count: u64, message: &str) -> String {
    format!("  {count} failed: {message}")
}

fn others(reasons: usize) -> Option<String> {
    let others = reasons.saturating_sub(REASONS);
    (others > 0).then(|| format!("  and {others} other reasons"))
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

/// What could have been seen, where nothing was.
fn detectable(test: &TestReport) -> Option<String> {
    let gain = test.detectable_gain.filter(|_| test.comparison.is_within_noise())?;
    Some(format!(
        "{} rows show a gain of {gain:+.3} in four of five cases; a smaller one is easily missed",
        test.comparison.n
    ))
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
        _ if matches!(outcome.stop, StopReason::NoHeadroom { .. }) => {
            let _ = writeln!(text, "\nnothing was searched, so the original stays");
        }
        _ if !outcome.improved() => {
            let _ = writeln!(text, "\n{}", outcome.choice);
        }
        Some(test) => {
            let _ = writeln!(text, "\n{}", verdict(&test.comparison));
            if let Some(line) = detectable(test) {
                let _ = writeln!(text, "{line}");
            }
            let _ = writeln!(text, "{}", outcome.choice);
        }
        None => {
            let _ = writeln!(text, "\n{}", outcome.choice);
        }
    }
    if let Some(found) = outcome.headroom() {
        let _ = writeln!(text, "probe before the search: {found}");
    }
    if let Some(rules) = outcome.rules().filter(|rules| rules.rollouts > 0 || rules.dropped() > 0) {
        let _ = writeln!(text, "rules: {rules}");
    }
    let total = outcome.spending.total();
    let _ = writeln!(
        text,
        "{} calls ({} task model, {} prompt model; {} rollouts reused), {}; stopped because {}",
        total.calls,
        outcome.spending.task.calls,
        outcome.spending.prompt.calls,
        outcome.spending.reused_rollouts,
        total.tokens_in_words(),
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
    for FailureReason { rollouts, message, rows_left_out, .. } in outcome.reasons.iter().take(REASONS) {
        let _ = match rows_left_out {
            0 => writeln!(text, "{}", reason(*rollouts, message)),
            rows => writeln!(text, "  {rows} rows left out, whatever the prompt: {message}"),
        };
    }
    if let Some(line) = others(outcome.reasons.len()) {
        let _ = writeln!(text, "{line}");
    }
    for note in &outcome.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// All that a run came to.
pub(crate) struct Ending<'a> {
    pub(crate) saved: &'a SavedProgram,
    pub(crate) gauge: &'a Gauge,
    /// Where replies came from.
    pub(crate) replies: StoredStats,
    pub(crate) forecast: &'a PricedForecast,
    /// How long the optimization took.
    pub(crate) seconds: f64,
    /// Where the optimized program was written.
    pub(crate) program: &'a Path,
    /// Where its report was.
    pub(crate) page: Option<&'a Path>,
    /// Where the run is kept.
    pub(crate) run: Option<&'a Path>,
}

impl Ending<'_> {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let SavedProgram { outcome, task, test, test_usage, .. } = self.saved;
        let mut lines =
            vec![format!("{} on {task}\n\n{}", outcome.optimizer, optimization(outcome, test.as_ref()))];
        if !self.saved.errors.is_empty() {
            lines.push("on the sealed test:".to_owned());
            lines.extend(errors(&self.saved.errors));
        }
        if self.gauge.judge_calls() > 0 {
            lines.push(format!(
                "of these calls the judge took {}, with {} tokens (on the sealed test, too)",
                self.gauge.judge_calls(),
                self.gauge.judge_tokens()
            ));
        }
        lines.extend(replies(&self.replies));
        lines.push(self.forecast.beside(outcome.spending.total(), *test_usage));
        lines.push(format!("optimized in {:.0} s; written to {}", self.seconds, self.program.display()));
        lines.extend(self.page.map(|page| format!("report: {}", page.display())));
        lines.extend(self.run.map(|run| format!("run: {}", run.display())));
        lines.join("\n")
    }

    /// For machines.
    pub(crate) fn to_json(&self) -> Value {
        let SavedProgram { outcome, task, test, test_usage, .. } = self.saved;
        json!({
            "command": "optimize",
            "task": task,
            "optimizer": outcome.optimizer,
            "improved": outcome.improved(),
            "program": self.program,
            "report": self.page,
            "run": self.run,
            "baseline": outcome.baseline,
            "selected": outcome.selected,
            "choice": outcome.choice,
            "test": test.as_ref().map(|test| json!({
                "baseline": test.baseline, "optimized": test.optimized, "comparison": test.comparison,
            })),
            "headroom": outcome.details.get(HeadroomFinding::DETAIL),
            "rules": outcome.details.get(RulesFinding::DETAIL),
            "spending": outcome.spending,
            "test_usage": test_usage,
            "estimate": self.forecast.to_json(),
            "judge_calls": self.gauge.judge_calls(),
            // What was asked of the providers now; unknown where nothing stands between them and the run.
            "paid": (self.replies != StoredStats::default()).then_some(self.replies.paid),
            "replayed_calls": self.replies.replayed.calls,
            "shared_calls": self.replies.shared.calls,
            "cached_calls": self.replies.cached.calls,
            "stop": outcome.stop,
            "exhausted": outcome.exhausted,
            "failures": outcome.failures,
            "reasons": outcome.reasons,
            "rows_left_out": outcome.rows_left_out,
            "errors": self.saved.errors,
            "notes": outcome.notes,
            "seconds": self.seconds,
        })
    }
}

/// Where replies came from, when not all were paid for now.
pub(crate) fn replies(stats: &StoredStats) -> Vec<String> {
    let StoredStats { replayed, cached, .. } = stats;
    let replayed =
        (replayed.calls > 0).then(|| format!("replayed {} calls that were paid before", replayed.calls));
    let cached =
        (cached.calls > 0).then(|| format!("{} replies came from the cache and cost nothing", cached.calls));
    replayed.into_iter().chain(cached).collect()
}

/// The prompts that a program came with, and those that it has now.
pub(crate) fn before_and_after(saved: &SavedProgram) -> String {
    format!(
        "\n--- prompt before\n{}\n--- prompt after\n{}",
        prompts(&saved.prompts_before),
        prompts(&saved.prompts)
    )
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
                let value = shorten(&plain_text(value).replace('\n', " "), 100);
                let _ = writeln!(text, "    {name}: {value}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use promptopt_statistics::{Scores, compare, detectable_gain};

    use super::*;

    /// The summary of a run that fixed some of 40 rows and broke none.
    fn summary(fixed: usize) -> String {
        let before = Scores::of([0.0; 40]).unwrap();
        let after = Scores::of((0..40).map(|row| if row < fixed { 1.0 } else { 0.0 })).unwrap();
        let comparison = compare(&before, &after, 0.95).unwrap();
        let gain = detectable_gain(&comparison);
        let mut test = TestReport::new("sealed test", Estimate::default(), Estimate::default(), comparison);
        test.detectable_gain = gain;
        let mut outcome = Outcome::default();
        outcome.best = 1;
        optimization(&outcome, Some(&test))
    }

    #[test]
    fn a_gain_within_noise_stands_beside_what_could_have_been_seen() {
        let noise = summary(3);
        assert!(
            noise.contains("\nnot distinguishable from the baseline on the sealed test: +0.075"),
            "{noise}"
        );
        assert!(noise.contains("\n40 rows show a gain of +0.2"), "{noise}");
        let better = summary(20);
        assert!(better.contains("\nbetter on the sealed test: +0.500"), "{better}");
        assert!(!better.contains("rows show"), "{better}");
    }

    #[test]
    fn the_summary_says_why_the_original_stays() {
        let mut outcome = Outcome::default();
        outcome.choice = "the original was kept: none of 3 candidates looked better".to_owned();
        let text = optimization(&outcome, None);
        assert!(text.contains("\nthe original was kept: none of 3 candidates looked better\n"), "{text}");
        outcome.stop = StopReason::Cancelled;
        assert!(optimization(&outcome, None).contains("nothing had beaten the original"));
    }
}
