//! Score against language-model calls, trial by trial.

use promptopt_core::{Outcome, Trial, TrialKind};
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::format;

/// Height of the plot in pixels.
const HEIGHT: f64 = 260.0;
/// At most this many trials are drawn and listed.
const MAX_TRIALS: usize = 2_000;

/// The chart of all trials.
#[derive(Debug, Serialize)]
pub(crate) struct Trials {
    description: String,
    height: String,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    marks: Vec<Mark>,
    /// The best mean on the full selection set so far, as steps.
    steps: Vec<Line>,
    legend: Vec<LegendEntry>,
    rows: Vec<Row>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Mark {
    kind: &'static str,
    x: String,
    y: String,
    winner: bool,
    title: String,
}

#[derive(Debug, Serialize)]
struct Line {
    x1: String,
    y1: String,
    x2: String,
    y2: String,
}

#[derive(Debug, Serialize)]
struct LegendEntry {
    kind: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
struct Row {
    number: usize,
    name: &'static str,
    candidate: usize,
    score: String,
    examples: String,
    failures: String,
    calls: String,
    best: String,
}

/// Symbol and name of a kind of trial, and what it was measured on.
fn kind(kind: TrialKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        TrialKind::Baseline => ("baseline", "baseline", "original program on the selection set"),
        TrialKind::Minibatch => ("minibatch", "minibatch", "part of the selection set"),
        TrialKind::Full => ("full", "full", "whole selection set"),
        TrialKind::Gate => ("gate", "gate", "new candidate on training examples"),
        TrialKind::Race => ("race", "race", "dropped on the way through the selection set"),
        _ => ("minibatch", "trial", "another kind of trial"),
    }
}

impl Trials {
    pub(crate) fn of(outcome: &Outcome) -> Option<Self> {
        let trials = outcome.trials.get(..MAX_TRIALS).unwrap_or(&outcome.trials);
        let most = trials.iter().map(|trial| trial.calls_so_far).max()?;
        let x = Axis::counts(most);
        let scores = trials.iter().filter_map(|trial| trial.score);
        let y = Axis::scores(scores.chain(trials.iter().map(|trial| trial.best_so_far)));
        let note = (outcome.trials.len() > MAX_TRIALS).then(|| {
            format!(
                "The first {} of {} trials are shown.",
                format::count(MAX_TRIALS as u64),
                format::count(outcome.trials.len() as u64)
            )
        });
        Some(Self {
            description: format!(
                "Scores of {} over {}; the best mean on the full selection set goes from {} to {}.",
                format::counted(trials.len() as u64, "trial", "trials"),
                format::counted(most, "language-model call", "language-model calls"),
                format::maybe_score(trials.first().map(|trial| trial.best_so_far)),
                format::maybe_score(trials.last().map(|trial| trial.best_so_far)),
            ),
            height: format::px(HEIGHT),
            x_ticks: x.across(),
            y_ticks: y.up(HEIGHT),
            marks: trials.iter().filter_map(|trial| mark(trial, outcome.best, x, y)).collect(),
            steps: steps(trials, x, y),
            legend: legend(trials),
            rows: trials.iter().enumerate().map(row).collect(),
            note,
        })
    }
}

fn mark(trial: &Trial, best: usize, x: Axis, y: Axis) -> Option<Mark> {
    let score = trial.score.filter(|score| score.is_finite())?;
    let (symbol, name, _) = kind(trial.kind);
    Some(Mark {
        kind: symbol,
        x: x.x(trial.calls_so_far as f64),
        y: y.y(score, HEIGHT),
        winner: trial.candidate == best,
        title: format!(
            "{name}, candidate {}: {} over {}, at {}",
            trial.candidate,
            format::score(score),
            format::counted(trial.examples as u64, "example", "examples"),
            format::counted(trial.calls_so_far, "call", "calls"),
        ),
    })
}

/// Across until the best changes, then up.
fn steps(trials: &[Trial], x: Axis, y: Axis) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = |from: u64, best: f64, to: u64, next: f64| {
        lines.push(Line {
            x1: x.x(from as f64),
            y1: y.y(best, HEIGHT),
            x2: x.x(to as f64),
            y2: y.y(next, HEIGHT),
        });
    };
    let Some(first) = trials.first() else { return lines };
    let (mut since, mut best) = (first.calls_so_far, first.best_so_far);
    for trial in trials {
        if trial.best_so_far != best {
            line(since, best, trial.calls_so_far, best);
            line(trial.calls_so_far, best, trial.calls_so_far, trial.best_so_far);
            (since, best) = (trial.calls_so_far, trial.best_so_far);
        }
    }
    let end = trials.iter().map(|trial| trial.calls_so_far).max().unwrap_or(since);
    line(since, best, end, best);
    lines
}

fn legend(trials: &[Trial]) -> Vec<LegendEntry> {
    let kinds =
        [TrialKind::Baseline, TrialKind::Minibatch, TrialKind::Full, TrialKind::Gate, TrialKind::Race];
    let entry = |of: TrialKind| {
        let count = trials.iter().filter(|trial| trial.kind == of).count();
        let (symbol, name, meaning) = kind(of);
        (count > 0).then(|| LegendEntry {
            kind: symbol,
            text: format!("{} ({}): {meaning}", format::capitalised(name), format::count(count as u64)),
        })
    };
    kinds.into_iter().filter_map(entry).collect()
}

fn row((index, trial): (usize, &Trial)) -> Row {
    Row {
        number: index + 1,
        name: kind(trial.kind).1,
        candidate: trial.candidate,
        score: format::maybe_score(trial.score),
        examples: format::count(trial.examples as u64),
        failures: format::count(trial.failures as u64),
        calls: format::count(trial.calls_so_far),
        best: format::score(trial.best_so_far),
    }
}
