//! The headline: what was gained, and how sure that is.

use promptopt_core::money::Usage;
use promptopt_run::Spending;
use promptopt_statistics::{Comparison, Estimate};
use serde::Serialize;

use crate::interval_plot::IntervalPlot;
use crate::text::Cut;
use crate::{Report, text};

/// The first thing that is seen.
#[derive(Debug, Serialize)]
pub(crate) struct Headline<'a> {
    /// Which split the numbers are from.
    split: String,
    before: Option<f64>,
    /// None when the original stays.
    after: Option<f64>,
    /// `better`, `worse`, `noise` or `kept`.
    verdict_class: &'static str,
    verdict: String,
    comparison: Option<&'a Comparison>,
    /// Why the original stays, where it does.
    kept: Option<Cut>,
    /// The gain that could have been seen, where nothing was, and on how many pairs.
    detectable: Option<(f64, usize)>,
    /// Why the numbers are to be read with care.
    caution: Option<&'static str>,
    scores: Option<IntervalPlot>,
    difference: Option<IntervalPlot>,
    baseline: &'a Estimate,
    optimized: &'a Estimate,
    spending: Spending,
    total: Usage,
    /// Read and written.
    tokens: u64,
    /// Of all stages, as far as they are known.
    money: Option<f64>,
    seconds: Option<f64>,
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
const CONFIRMED: &str = "There is no sealed test in this run. The search did not see these examples, but \
                         they had a say in what is installed.";

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

impl<'a> Headline<'a> {
    pub(crate) fn of(report: &'a Report) -> Self {
        let evidence = Evidence::of(report);
        let improved = report.outcome.improved();
        let measured = evidence.baseline.n > 0;
        let comparison = evidence.comparison.filter(|_| improved);
        let (verdict_class, verdict) = match measured {
            true => verdict(improved, comparison, &evidence.place),
            false => ("kept", "The run ended before anything was measured.".to_owned()),
        };
        Self {
            before: measured.then_some(evidence.baseline.mean),
            after: (measured && improved).then_some(evidence.optimized.mean),
            verdict_class,
            verdict,
            comparison,
            kept: (!improved && !report.outcome.choice.is_empty())
                .then(|| Cut::value(&report.outcome.choice)),
            detectable: detectable(report).filter(|_| verdict_class == "noise"),
            caution: evidence.caution.filter(|_| improved),
            scores: measured.then(|| {
                let optimized = improved.then_some(evidence.optimized);
                IntervalPlot::of_scores(&evidence.split, evidence.baseline, optimized)
            }),
            difference: comparison.map(IntervalPlot::of_difference),
            baseline: evidence.baseline,
            optimized: evidence.optimized,
            spending: report.outcome.spending,
            total: report.outcome.spending.total(),
            tokens: report.outcome.spending.total().total_tokens(),
            money: sum(report.stages.iter().filter_map(|stage| stage.money)),
            seconds: sum(report.stages.iter().filter_map(|stage| stage.seconds)),
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
        _ if !improved => ("kept", "The original prompt stays.".to_owned()),
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

fn detectable(report: &Report) -> Option<(f64, usize)> {
    let test = report.test.as_ref()?;
    Some((test.detectable_gain.filter(|gain| gain.is_finite())?, test.comparison.n))
}

/// The sum, where there is anything to add.
fn sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(|sum, value| sum + value)
}
