//! Means with their intervals on a common axis: the first picture of the page.

use promptopt_statistics::{Comparison, Estimate};
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::format;

/// A small plot with one row for every mean.
#[derive(Debug, Serialize)]
pub(crate) struct IntervalPlot {
    caption: String,
    rows: Vec<Row>,
    ticks: Vec<Tick>,
    /// Where no difference is, on an axis of differences.
    zero: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    /// Its lower-case form is its class.
    name: &'static str,
    value: String,
    low: String,
    mean: String,
    high: String,
}

/// Name, lower end, mean and upper end.
type Mean = (&'static str, f64, f64, f64);

impl IntervalPlot {
    /// Original and optimized program, or the original alone.
    pub(crate) fn of_scores(split: &str, baseline: &Estimate, optimized: Option<&Estimate>) -> Self {
        let mean = |name, estimate: &Estimate| (name, estimate.low, estimate.mean, estimate.high);
        let mut means = vec![mean("Baseline", baseline)];
        means.extend(optimized.map(|estimate| mean("Optimized", estimate)));
        // A mean alone is seen against the whole of 0 to 1; two are seen against each other.
        let whole: &[f64] = if means.len() == 1 { &[0.0, 1.0] } else { &[] };
        let ends = means.iter().flat_map(|(_, low, _, high)| [*low, *high]);
        let axis = Axis::scores(ends.chain(whole.iter().copied()));
        let caption = format!("Mean score, {split}, {} intervals", format::level(baseline.level));
        Self::new(caption, &means, axis, format::score)
    }

    /// The paired difference.
    pub(crate) fn of_difference(comparison: &Comparison) -> Self {
        let axis = Axis::differences([comparison.low, comparison.high]);
        let caption = format!("Paired difference, {} interval", format::level(comparison.level));
        let mean = ("Difference", comparison.low, comparison.difference, comparison.high);
        Self { zero: Some(axis.x(0.0)), ..Self::new(caption, &[mean], axis, format::difference) }
    }

    fn new(caption: String, means: &[Mean], axis: Axis, write: fn(f64) -> String) -> Self {
        let row = |&(name, low, mean, high): &Mean| Row {
            name,
            value: format!("{} ({})", write(mean), format::interval(write(low), write(high))),
            low: axis.x(low),
            mean: axis.x(mean),
            high: axis.x(high),
        };
        Self { caption, rows: means.iter().map(row).collect(), ticks: axis.across(), zero: None }
    }
}
