//! Means with their intervals on a common axis: the first picture of the page.

use promptopt_core::{Comparison, Estimate};
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::format;

/// Height of a row in pixels.
const ROW: f64 = 46.0;

/// A small plot with one row for every mean.
#[derive(Debug, Serialize)]
pub(crate) struct IntervalPlot {
    /// The plot in words, for those who do not see it.
    description: String,
    caption: String,
    rows: Vec<Row>,
    ticks: Vec<Tick>,
    /// Where no difference is, on an axis of differences.
    zero: Option<String>,
    /// Height of the plot without its axis.
    height: String,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    value: String,
    /// `baseline`, `optimized` or `difference`.
    class: &'static str,
    low: String,
    mean: String,
    high: String,
    text_y: String,
    line_y: String,
}

struct Mean {
    name: &'static str,
    class: &'static str,
    value: String,
    low: f64,
    mean: f64,
    high: f64,
}

impl IntervalPlot {
    /// Original and optimized program, or the original alone.
    pub(crate) fn of_scores(split: &str, baseline: &Estimate, optimized: Option<&Estimate>) -> Self {
        let mean = |name, class, estimate: &Estimate| Mean {
            name,
            class,
            value: format!(
                "{} ({})",
                format::score(estimate.mean),
                format::interval(format::score(estimate.low), format::score(estimate.high))
            ),
            low: estimate.low,
            mean: estimate.mean,
            high: estimate.high,
        };
        let mut means = vec![mean("Baseline", "baseline", baseline)];
        means.extend(optimized.map(|estimate| mean("Optimized", "optimized", estimate)));
        // A mean alone is seen against the whole of 0 to 1; two are seen against each other.
        let whole: &[f64] = if means.len() == 1 { &[0.0, 1.0] } else { &[] };
        let ends = means.iter().flat_map(|mean| [mean.low, mean.high]);
        let axis = Axis::scores(ends.chain(whole.iter().copied()));
        let caption = format!("Mean score, {split}, {} intervals", format::level(baseline.level));
        Self::new(caption, &means, axis, false)
    }

    /// The paired difference.
    pub(crate) fn of_difference(comparison: &Comparison) -> Self {
        let mean = Mean {
            name: "Difference",
            class: "difference",
            value: format!(
                "{} ({})",
                format::difference(comparison.difference),
                format::interval(format::difference(comparison.low), format::difference(comparison.high))
            ),
            low: comparison.low,
            mean: comparison.difference,
            high: comparison.high,
        };
        let axis = Axis::differences([comparison.low, comparison.high]);
        let caption = format!("Paired difference, {} interval", format::level(comparison.level));
        Self::new(caption, &[mean], axis, true)
    }

    fn new(caption: String, means: &[Mean], axis: Axis, with_zero: bool) -> Self {
        let row = |(index, mean): (usize, &Mean)| {
            let top = ROW * index as f64;
            Row {
                name: mean.name.to_owned(),
                value: mean.value.clone(),
                class: mean.class,
                low: axis.x(mean.low),
                mean: axis.x(mean.mean),
                high: axis.x(mean.high),
                text_y: format::px(top + 14.0),
                line_y: format::px(top + 29.0),
            }
        };
        let words: Vec<_> = means.iter().map(|mean| format!("{} {}", mean.name, mean.value)).collect();
        Self {
            description: format!("{caption}: {}", words.join("; ")),
            caption,
            rows: means.iter().enumerate().map(row).collect(),
            ticks: axis.across(),
            zero: with_zero.then(|| axis.x(0.0)),
            height: format::px(ROW * means.len() as f64),
        }
    }
}
