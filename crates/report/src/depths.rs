//! Statistics of every depth of a refinement.

use promptopt_run::Outcome;
use serde::{Deserialize, Serialize};

use crate::axis::{Axis, Tick};
use crate::{format, text};

/// Name of the detail of an outcome that holds the statistics of every depth.
pub(crate) const DETAIL: &str = "depths";
/// Height of a chart in pixels.
const HEIGHT: f64 = 170.0;
/// At most this many predictors, and depths of each, are shown.
const MAX_PREDICTORS: usize = 50;
const MAX_DEPTHS: usize = 100;

/// The scores of the attempts of one predictor at one depth, as COPRO writes them.
#[derive(Debug, Clone, Deserialize, Serialize)]
struct DepthStatistics {
    /// Path of the predictor.
    #[serde(skip_serializing)]
    predictor: String,
    /// The depth, from 0.
    depth: usize,
    /// How many attempts of this depth have a score.
    attempts: usize,
    /// The highest mean on the full selection set of any candidate so far.
    best: f64,
    mean: f64,
    min: f64,
    max: f64,
    std: f64,
    /// Language-model calls spent at the end of the depth, from the start of the run.
    calls_so_far: u64,
}

/// Chart and table of one predictor.
#[derive(Debug, Serialize)]
pub(crate) struct DepthChart {
    predictor: String,
    height: String,
    y_ticks: Vec<Tick>,
    columns: Vec<Column>,
}

/// A depth: as a column of the chart, and as a row of the table.
#[derive(Debug, Serialize)]
struct Column {
    #[serde(flatten)]
    statistics: DepthStatistics,
    x: String,
    min_y: String,
    mean_y: String,
    max_y: String,
    best_y: String,
}

/// The statistics of all depths; `None` where there are none, or others than are known here.
fn statistics(outcome: &Outcome) -> Option<Vec<DepthStatistics>> {
    outcome.detail(DETAIL)
}

/// Whether the statistics of the depths can be drawn.
pub(crate) fn is_drawn(outcome: &Outcome) -> bool {
    statistics(outcome).is_some()
}

/// One chart for every predictor, in the order in which they were refined.
pub(crate) fn charts(outcome: &Outcome) -> Vec<DepthChart> {
    let all = statistics(outcome).unwrap_or_default();
    let mut predictors: Vec<&str> = Vec::new();
    for depth in &all {
        if predictors.len() < MAX_PREDICTORS && !predictors.contains(&depth.predictor.as_str()) {
            predictors.push(&depth.predictor);
        }
    }
    let y = Axis::scores(all.iter().flat_map(|depth| [depth.min, depth.max, depth.best]));
    let of = |predictor: &str| {
        let own = all.iter().filter(|depth| depth.predictor == predictor);
        chart(predictor, &own.take(MAX_DEPTHS).collect::<Vec<_>>(), y)
    };
    predictors.into_iter().map(of).collect()
}

fn chart(predictor: &str, depths: &[&DepthStatistics], y: Axis) -> DepthChart {
    let place = |index: usize| format::percent((index as f64 + 0.5) / depths.len() as f64);
    let column = |(index, depth): (usize, &&DepthStatistics)| Column {
        statistics: (*depth).clone(),
        x: place(index),
        min_y: y.y(depth.min, HEIGHT),
        mean_y: y.y(depth.mean, HEIGHT),
        max_y: y.y(depth.max, HEIGHT),
        best_y: y.y(depth.best, HEIGHT),
    };
    DepthChart {
        predictor: text::name(predictor),
        height: format::px(HEIGHT),
        y_ticks: y.up(HEIGHT),
        columns: depths.iter().enumerate().map(column).collect(),
    }
}
