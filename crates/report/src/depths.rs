//! Statistics of every depth of a refinement.

use promptopt_core::{DepthStatistics, Outcome};
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::{format, text};

/// Height of a chart in pixels.
const HEIGHT: f64 = 170.0;
/// At most this many predictors, and depths of each, are shown.
const MAX_PREDICTORS: usize = 50;
const MAX_DEPTHS: usize = 100;

/// Chart and table of one predictor.
#[derive(Debug, Serialize)]
pub(crate) struct DepthChart {
    predictor: String,
    description: String,
    height: String,
    y_ticks: Vec<Tick>,
    columns: Vec<Column>,
    /// The best score so far, from depth to depth.
    best_line: Vec<Line>,
}

/// A depth: as a column of the chart, and as a row of the table.
#[derive(Debug, Serialize)]
struct Column {
    depth: usize,
    x: String,
    min_y: String,
    mean_y: String,
    max_y: String,
    best_y: String,
    attempts: String,
    best: String,
    mean: String,
    min: String,
    max: String,
    std: String,
    calls: String,
}

#[derive(Debug, Serialize)]
struct Line {
    x1: String,
    y1: String,
    x2: String,
    y2: String,
}

/// One chart for every predictor, in the order in which they were refined.
pub(crate) fn charts(outcome: &Outcome) -> Vec<DepthChart> {
    let mut predictors: Vec<&str> = Vec::new();
    for depth in &outcome.depths {
        if predictors.len() < MAX_PREDICTORS && !predictors.contains(&depth.predictor.as_str()) {
            predictors.push(&depth.predictor);
        }
    }
    let y = Axis::scores(outcome.depths.iter().flat_map(|depth| [depth.min, depth.max, depth.best]));
    let of = |predictor: &str| {
        let own = outcome.depths.iter().filter(|depth| depth.predictor == predictor);
        chart(predictor, &own.take(MAX_DEPTHS).collect::<Vec<_>>(), y)
    };
    predictors.into_iter().map(of).collect()
}

fn chart(predictor: &str, depths: &[&DepthStatistics], y: Axis) -> DepthChart {
    let place = |index: usize| format::percent((index as f64 + 0.5) / depths.len() as f64);
    let column = |(index, depth): (usize, &&DepthStatistics)| Column {
        depth: depth.depth,
        x: place(index),
        min_y: y.y(depth.min, HEIGHT),
        mean_y: y.y(depth.mean, HEIGHT),
        max_y: y.y(depth.max, HEIGHT),
        best_y: y.y(depth.best, HEIGHT),
        attempts: format::count(depth.attempts as u64),
        best: format::score(depth.best),
        mean: format::score(depth.mean),
        min: format::score(depth.min),
        max: format::score(depth.max),
        std: format::score(depth.std),
        calls: format::count(depth.calls_so_far),
    };
    let columns: Vec<Column> = depths.iter().enumerate().map(column).collect();
    let pairs = columns.iter().zip(columns.iter().skip(1));
    let line = |(from, to): (&Column, &Column)| Line {
        x1: from.x.clone(),
        y1: from.best_y.clone(),
        x2: to.x.clone(),
        y2: to.best_y.clone(),
    };
    DepthChart {
        predictor: text::name(predictor),
        description: format!(
            "Best score so far over {}: from {} to {}",
            format::counted(depths.len() as u64, "depth", "depths"),
            format::maybe_score(depths.first().map(|depth| depth.best)),
            format::maybe_score(depths.last().map(|depth| depth.best)),
        ),
        height: format::px(HEIGHT),
        y_ticks: y.up(HEIGHT),
        best_line: pairs.map(line).collect(),
        columns,
    }
}
