//! The headline: what was gained, and how sure that is.

use promptopt_core::{Comparison, Estimate, Outcome};
use serde::Serialize;

use crate::interval_plot::IntervalPlot;
use crate::{Report, format, text};

/// The first thing that is seen.
#[derive(Debug, Serialize)]
pub(crate) struct Headline {
    /// Which split the numbers are from.
    split: String,
    before: String,
    /// None when nothing beat the original.
    after: Option<String>,
    /// `better`, `worse`, `noise` or `kept`.
    verdict_class: &'static str,
    verdict: String,
    /// Difference, interval and test.
    figures: Option<String>,
    /// What could have been seen, where nothing was.
    detectable: Option<String>,
    /// Why the numbers are to be read with care.
    caution: Option<String>,
    scores: Option<IntervalPlot>,
    difference: Option<IntervalPlot>,
    facts: Vec<Fact>,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: &'static str,
    value: String,
    detail: Option<String>,
}

/// The best evidence that the run has.
struct Evidence<'a> {
    split: String,
    /// The split with the words that go before it.
    place: String,
    baseline: &'a Estimate,
    optimized: &'a Estimate,
    comparison: Option<&'a Comparison>,
    caution: Option<&'static str>,
}

const LEANS: &str = "There is no sealed test in this run. The optimized prompt was chosen on these very \
                     examples, so its score leans upward.";
const CONFIRMED: &str = "There is no sealed test in this run. These examples took no part in the choice of \
                         the winner, but the run has seen them.";

impl<'a> Evidence<'a> {
    fn of(report: &'a Report) -> Self {
        let outcome = &report.outcome;
        if let Some(test) = &report.test {
            return Self {
                place: format!("on the {}", text::name(&test.split)),
                split: text::name(&test.split),
                baseline: &test.baseline,
                optimized: &test.optimized,
                comparison: Some(&test.comparison),
                caution: None,
            };
        }
        if let Some(confirmation) = &outcome.confirmation {
            return Self {
                place: format!("on {}", text::name(&confirmation.on)),
                split: text::name(&confirmation.on),
                baseline: &confirmation.baseline,
                optimized: &confirmation.winner,
                comparison: Some(&confirmation.comparison),
                caution: Some(CONFIRMED),
            };
        }
        Self {
            place: "on the selection set".to_owned(),
            split: "selection set".to_owned(),
            baseline: &outcome.baseline,
            optimized: &outcome.selected,
            comparison: outcome.comparison.as_ref(),
            caution: Some(LEANS),
        }
    }
}

impl Headline {
    pub(crate) fn of(report: &Report) -> Self {
        let evidence = Evidence::of(report);
        let improved = report.outcome.improved();
        let measured = evidence.baseline.n > 0;
        let comparison = evidence.comparison.filter(|_| improved);
        let (verdict_class, verdict) = match measured {
            true => verdict(improved, comparison, &evidence.place),
            false => ("kept", "The run ended before anything was measured.".to_owned()),
        };
        Self {
            before: format::maybe_score(measured.then_some(evidence.baseline.mean)),
            after: (measured && improved).then(|| format::score(evidence.optimized.mean)),
            verdict_class,
            verdict,
            figures: comparison.map(figures),
            detectable: detectable(report).filter(|_| verdict_class == "noise"),
            caution: evidence.caution.filter(|_| improved).map(str::to_owned),
            scores: measured.then(|| {
                let optimized = improved.then_some(evidence.optimized);
                IntervalPlot::of_scores(&evidence.split, evidence.baseline, optimized)
            }),
            difference: comparison.map(IntervalPlot::of_difference),
            facts: facts(report, &evidence),
            split: evidence.split,
        }
    }
}

/// Class and sentence of what the comparison says.
pub(crate) fn verdict(
    improved: bool,
    comparison: Option<&Comparison>,
    place: &str,
) -> (&'static str, String) {
    match comparison {
        _ if !improved => ("kept", "Nothing beat the original prompt, so it stays.".to_owned()),
        None => ("noise", format!("No comparison was made {place}.")),
        Some(comparison) if comparison.is_within_noise() => {
            ("noise", format!("Not distinguishable from the baseline {place}."))
        }
        Some(comparison) if comparison.is_better() => {
            ("better", format!("Better than the baseline {place}."))
        }
        Some(_) => ("worse", format!("Worse than the baseline {place}.")),
    }
}

/// Difference, interval and test in a sentence.
pub(crate) fn figures(comparison: &Comparison) -> String {
    format!(
        "{}, {} interval {}; {}, {}, n\u{a0}=\u{a0}{} pairs: {} fixed, {} broken.",
        format::difference(comparison.difference),
        format::level(comparison.level),
        format::interval(format::difference(comparison.low), format::difference(comparison.high)),
        text::name(&comparison.test),
        format::p_value(comparison.p_value),
        format::count(comparison.n as u64),
        format::count(comparison.wins as u64),
        format::count(comparison.losses as u64),
    )
}

fn detectable(report: &Report) -> Option<String> {
    let test = report.test.as_ref()?;
    let gain = test.detectable_gain.filter(|gain| gain.is_finite())?;
    Some(format!(
        "{} show a gain of {} in four of five cases; a smaller one is easily missed.",
        format::counted(test.comparison.n as u64, "pair", "pairs"),
        format::difference(gain)
    ))
}

fn facts(report: &Report, evidence: &Evidence<'_>) -> Vec<Fact> {
    let outcome = &report.outcome;
    let total = outcome.spending.total();
    let mut facts = vec![
        Fact {
            name: "Examples",
            value: format::count(evidence.baseline.n as u64),
            detail: Some(not_scored(evidence.baseline, evidence.optimized).unwrap_or(evidence.split.clone())),
        },
        Fact { name: "LM calls", value: format::count(total.calls), detail: Some(by_role(outcome)) },
        Fact {
            name: "Tokens",
            value: format::count(total.total_tokens()),
            detail: Some(format!(
                "{} read, {} written",
                format::count(total.prompt_tokens),
                format::count(total.completion_tokens)
            )),
        },
    ];
    let sum = |values: Vec<Option<f64>>| -> Option<f64> {
        values.iter().any(Option::is_some).then(|| values.into_iter().flatten().sum())
    };
    if let Some(money) = sum(report.stages.iter().map(|stage| stage.money).collect()) {
        facts.push(Fact { name: "Money", value: format::money(money), detail: Some("all stages".into()) });
    }
    if let Some(seconds) = sum(report.stages.iter().map(|stage| stage.seconds).collect()) {
        facts.push(Fact { name: "Time", value: format::seconds(seconds), detail: Some("all stages".into()) });
    }
    facts
}

fn by_role(outcome: &Outcome) -> String {
    let (task, prompt) = (outcome.spending.task.calls, outcome.spending.prompt.calls);
    format!("to optimize: {} task model, {} prompt model", format::count(task), format::count(prompt))
}

fn not_scored(baseline: &Estimate, optimized: &Estimate) -> Option<String> {
    let of = |before: usize, after: usize, what| {
        (before + after > 0).then(|| format!("{what} before / after: {before} / {after}"))
    };
    let failed = of(baseline.failed, optimized.failed, "failed");
    let missing = of(baseline.missing, optimized.missing, "no score");
    let parts: Vec<String> = [failed, missing].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
