//! Score against language-model calls, trial by trial.

use promptopt_run::{Outcome, Trial, TrialKind};
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::{format, text};

/// Height of the plot in pixels.
const HEIGHT: f64 = 260.0;
/// At most this many trials are drawn and listed.
const MAX_TRIALS: usize = 2_000;

/// The chart of all trials.
#[derive(Debug, Serialize)]
pub(crate) struct Trials<'a> {
    /// Calls at the end.
    calls: u64,
    height: String,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    marks: Vec<Mark<'a>>,
    /// The best mean on the full selection set so far, as steps.
    steps: Vec<Line>,
    legend: Vec<LegendEntry>,
    rows: &'a [Trial],
    /// Whether the optimizer has kinds of its own.
    has_own: bool,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Mark<'a> {
    kind: &'static str,
    x: String,
    y: String,
    winner: bool,
    trial: &'a Trial,
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

/// The kinds that every optimizer may have: the symbol of each, and what it was measured on.
const KINDS: [(TrialKind, &str, &str); 5] = [
    (TrialKind::BASELINE, "baseline", "original program on the selection set"),
    (TrialKind::MINIBATCH, "minibatch", "part of the selection set"),
    (TrialKind::FULL, "full", "whole selection set"),
    (TrialKind::GATE, "gate", "new candidate on training examples"),
    (TrialKind::RACE, "race", "dropped on the way through the selection set"),
];
/// At most this many kinds of an optimizer's own have a line in the legend.
const MAX_OWN_KINDS: usize = 12;
const OWN_MEANING: &str = "a kind of the optimizer's own";
/// Symbol of the kinds that an optimizer has for itself.
const OWN: &str = "own";

/// The symbol of a kind. It goes into names of classes and marks, so it is one of ours.
fn symbol(kind: &TrialKind) -> &'static str {
    KINDS.iter().find(|(known, ..)| known == kind).map_or(OWN, |(_, symbol, _)| symbol)
}

impl<'a> Trials<'a> {
    pub(crate) fn of(outcome: &'a Outcome) -> Option<Self> {
        let trials = outcome.trials.get(..MAX_TRIALS).unwrap_or(&outcome.trials);
        let most = trials.iter().map(|trial| trial.calls_so_far).max()?;
        let x = Axis::counts(most);
        let scores = trials.iter().filter_map(|trial| trial.score);
        let y = Axis::scores(scores.chain(trials.iter().map(|trial| trial.best_so_far)));
        Some(Self {
            calls: most,
            height: format::px(HEIGHT),
            x_ticks: x.across(),
            y_ticks: y.up(HEIGHT),
            marks: trials.iter().filter_map(|trial| mark(trial, outcome.best, x, y)).collect(),
            steps: steps(trials, x, y),
            legend: legend(trials),
            rows: trials,
            has_own: trials.iter().any(|trial| symbol(&trial.kind) == OWN),
            note: format::first_of(MAX_TRIALS, outcome.trials.len(), "trials"),
        })
    }
}

fn mark(trial: &Trial, best: usize, x: Axis, y: Axis) -> Option<Mark<'_>> {
    let score = trial.score.filter(|score| score.is_finite())?;
    Some(Mark {
        kind: symbol(&trial.kind),
        x: x.x(trial.calls_so_far as f64),
        y: y.y(score, HEIGHT),
        winner: trial.candidate == best,
        trial,
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

/// The kinds that occur: the known ones, then the optimizer's own in order of appearance.
fn legend(trials: &[Trial]) -> Vec<LegendEntry> {
    let entry = |symbol, kinds: &[&TrialKind], name: &str, meaning: &str| {
        let count = trials.iter().filter(|trial| kinds.contains(&&trial.kind)).count();
        (count > 0).then(|| LegendEntry {
            kind: symbol,
            text: format!("{} ({}): {meaning}", format::capitalised(name), format::count(count as u64)),
        })
    };
    let mut own: Vec<&TrialKind> = Vec::new();
    for trial in trials {
        if symbol(&trial.kind) == OWN && !own.contains(&&trial.kind) {
            own.push(&trial.kind);
        }
    }
    let (named, rest) = own.split_at(own.len().min(MAX_OWN_KINDS));
    let known =
        KINDS.iter().filter_map(|(kind, symbol, meaning)| entry(*symbol, &[kind], kind.as_str(), meaning));
    let named = named.iter().filter_map(|kind| entry(OWN, &[*kind], &text::name(kind.as_str()), OWN_MEANING));
    known.chain(named).chain(entry(OWN, rest, "others", OWN_MEANING)).collect()
}
