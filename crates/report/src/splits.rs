//! Which number is from which split.

use promptopt_statistics::{Comparison, Estimate};
use serde::Serialize;

use crate::{Report, format, headline, text};

/// One split with what was measured on it.
#[derive(Debug, Serialize)]
pub(crate) struct SplitRow<'a> {
    name: String,
    /// What its numbers are good for.
    meaning: &'static str,
    baseline: &'a Estimate,
    optimized: &'a Estimate,
    /// Whether anything but the original won, so that there is something to compare.
    improved: bool,
    comparison: Option<&'a Comparison>,
}

const TEST: &str = "opened once, at the end; nothing was chosen on it";
const CONFIRMATION: &str = "the best candidate once more, on evidence that the search did not see";
const SELECTION: &str = "the winner was chosen here, so its score leans upward";

/// The splits of a run, from the most to the least trustworthy.
pub(crate) fn rows<'a>(report: &'a Report) -> Vec<SplitRow<'a>> {
    let outcome = &report.outcome;
    let improved = outcome.improved();
    let row =
        |name: &str, meaning, [baseline, optimized]: [&'a Estimate; 2], comparison: Option<_>| SplitRow {
            name: format::capitalised(&text::name(name)),
            meaning,
            baseline,
            optimized,
            improved,
            comparison: comparison.filter(|_| improved),
        };
    let test = report.test.as_ref();
    let test = test.map(|it| row(&it.split, TEST, [&it.baseline, &it.optimized], Some(&it.comparison)));
    let confirmation = outcome.confirmation.as_ref();
    let confirmation =
        confirmation.map(|it| row(&it.on, CONFIRMATION, [&it.baseline, &it.winner], Some(&it.comparison)));
    let selection = [&outcome.baseline, &outcome.selected];
    let selection = (outcome.baseline.n > 0)
        .then(|| row("selection set", SELECTION, selection, outcome.comparison.as_ref()));
    [test, confirmation, selection].into_iter().flatten().collect()
}

/// The confirmation in sentences, when there is one.
#[derive(Debug, Serialize)]
pub(crate) struct Confirmed<'a> {
    on: String,
    verdict: String,
    comparison: &'a Comparison,
    plot: crate::interval_plot::IntervalPlot,
}

/// The winner measured once more; left out where the headline already shows it.
pub(crate) fn confirmation(report: &Report) -> Option<Confirmed<'_>> {
    let confirmation = report.outcome.confirmation.as_ref().filter(|_| report.test.is_some())?;
    let on = text::name(&confirmation.on);
    let (_, verdict) = headline::verdict(report.outcome.improved(), Some(&confirmation.comparison), "there");
    let winner = report.outcome.improved().then_some(&confirmation.winner);
    Some(Confirmed {
        verdict,
        comparison: &confirmation.comparison,
        plot: crate::interval_plot::IntervalPlot::of_scores(&on, &confirmation.baseline, winner),
        on,
    })
}
