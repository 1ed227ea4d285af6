//! Which number is from which split.

use promptopt_core::{Comparison, Estimate};
use serde::Serialize;

use crate::{Report, format, headline, text};

/// One split with what was measured on it.
#[derive(Debug, Serialize)]
pub(crate) struct SplitRow {
    name: String,
    /// What its numbers are good for.
    meaning: &'static str,
    n: String,
    baseline: String,
    baseline_interval: String,
    optimized: Option<String>,
    optimized_interval: String,
    difference: String,
    difference_interval: String,
    p_value: String,
    failed: String,
}

const TEST: &str = "opened once, at the end; nothing was chosen on it";
const CONFIRMATION: &str = "the winner once more, on evidence that no choice rested on";
const SELECTION: &str = "the winner was chosen here, so its score leans upward";

/// The splits of a run, from the most to the least trustworthy.
pub(crate) fn rows(report: &Report) -> Vec<SplitRow> {
    let outcome = &report.outcome;
    let mut rows = Vec::new();
    if let Some(test) = &report.test {
        let (name, comparison) = (text::name(&test.split), Some(&test.comparison));
        rows.push(row(name, TEST, &test.baseline, &test.optimized, comparison, outcome.improved()));
    }
    if let Some(c) = &outcome.confirmation {
        let name = text::name(&c.on);
        rows.push(row(name, CONFIRMATION, &c.baseline, &c.winner, Some(&c.comparison), outcome.improved()));
    }
    if outcome.baseline.n > 0 {
        let comparison = outcome.comparison.as_ref();
        let name = "selection set".to_owned();
        rows.push(row(name, SELECTION, &outcome.baseline, &outcome.selected, comparison, outcome.improved()));
    }
    rows
}

fn row(
    name: String,
    meaning: &'static str,
    baseline: &Estimate,
    optimized: &Estimate,
    comparison: Option<&Comparison>,
    improved: bool,
) -> SplitRow {
    let interval = |e: &Estimate| format::interval(format::score(e.low), format::score(e.high));
    let comparison = comparison.filter(|_| improved);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| format::NONE.to_owned());
    SplitRow {
        name: format::capitalised(&name),
        meaning,
        n: format::count(baseline.n as u64),
        baseline: format::score(baseline.mean),
        baseline_interval: interval(baseline),
        optimized: improved.then(|| format::score(optimized.mean)),
        optimized_interval: interval(optimized),
        difference: or_none(comparison.map(|c| format::difference(c.difference))),
        difference_interval: comparison
            .map(|c| format::interval(format::difference(c.low), format::difference(c.high)))
            .unwrap_or_default(),
        p_value: or_none(comparison.map(|c| format::p_value(c.p_value))),
        failed: format!("{} / {}", baseline.failed + baseline.missing, optimized.failed + optimized.missing),
    }
}

/// The confirmation in sentences, when there is one.
#[derive(Debug, Serialize)]
pub(crate) struct Confirmed {
    on: String,
    verdict: String,
    figures: String,
    plot: crate::interval_plot::IntervalPlot,
}

/// The winner measured once more; left out where the headline already shows it.
pub(crate) fn confirmation(report: &Report) -> Option<Confirmed> {
    let confirmation = report.outcome.confirmation.as_ref().filter(|_| report.test.is_some())?;
    let on = text::name(&confirmation.on);
    let (_, verdict) = headline::verdict(report.outcome.improved(), Some(&confirmation.comparison), "there");
    let winner = report.outcome.improved().then_some(&confirmation.winner);
    Some(Confirmed {
        verdict,
        figures: headline::figures(&confirmation.comparison),
        plot: crate::interval_plot::IntervalPlot::of_scores(&on, &confirmation.baseline, winner),
        on,
    })
}
