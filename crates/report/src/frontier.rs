//! The Pareto frontier: which candidate is best at what.

use std::collections::BTreeSet;

use promptopt_run::{CandidateScores, Outcome};
use serde::Serialize;

use crate::heat::Heat;
use crate::{candidates, format, text};

/// Name of the detail of an outcome that lists the candidates on the frontier.
pub(crate) const DETAIL: &str = "frontier";
/// At most this many candidates, examples and objectives are shown.
const MAX_ROWS: usize = 40;
const MAX_EXAMPLES: usize = 400;
const MAX_OBJECTIVES: usize = 8;

/// The frontier at the end of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Frontier {
    rows: Vec<Row>,
    objectives: Vec<String>,
    /// Selection examples under the strips; 0 when scores were not kept.
    examples: usize,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    candidate: usize,
    /// Whether it has a row in the list of candidates.
    listed: bool,
    winner: bool,
    score: String,
    /// On how many examples nobody is better, and on how many everybody else is worse.
    best_on: String,
    alone_on: String,
    objectives: Vec<Option<f64>>,
    /// One path for each shade of the strip of examples.
    strip: Vec<Shade>,
}

#[derive(Debug, Serialize)]
struct Shade {
    shade: u8,
    path: String,
}

/// The candidates on the frontier, as the optimizer lists them; none where it lists no candidates.
pub(crate) fn members(outcome: &Outcome) -> Vec<usize> {
    outcome.detail(DETAIL).unwrap_or_default()
}

/// Whether the frontier can be drawn.
pub(crate) fn is_drawn(outcome: &Outcome) -> bool {
    outcome.detail::<Vec<usize>>(DETAIL).is_some()
}

impl Frontier {
    pub(crate) fn of(outcome: &Outcome) -> Option<Self> {
        let mut seen = BTreeSet::new();
        let known = |index: &usize| *index < outcome.candidates.len() && seen.insert(*index);
        let all: Vec<usize> = members(outcome).into_iter().filter(known).collect();
        let shown = all.get(..MAX_ROWS).unwrap_or(&all);
        if shown.is_empty() {
            return None;
        }
        let order = order(outcome, shown);
        let heat =
            Heat::over(order.iter().flat_map(|&at| shown.iter().filter_map(move |&c| score(outcome, c, at))));
        let objectives = objectives(outcome, shown);
        let row = |&candidate: &usize| {
            let (best_on, alone_on) = wins(outcome, candidate);
            Row {
                candidate,
                listed: outcome.candidates.len() > 1 && candidate < candidates::MAX_CANDIDATES,
                winner: candidate == outcome.best,
                score: format::maybe_score(candidates::evidence(outcome, candidate).map(|(mean, _)| mean)),
                best_on: format::count(best_on),
                alone_on: format::count(alone_on),
                objectives: objectives
                    .iter()
                    .map(|name| outcome.scores.get(candidate).and_then(|scores| mean(scores, name)))
                    .collect(),
                strip: strip(outcome, candidate, &order, heat),
            }
        };
        Some(Self {
            rows: shown.iter().map(row).collect(),
            examples: order.len(),
            note: format::first_of(shown.len(), all.len(), "on the frontier"),
            objectives: objectives.iter().map(|name| text::name(name)).collect(),
        })
    }
}

fn score(outcome: &Outcome, candidate: usize, example: usize) -> Option<f64> {
    outcome.scores.get(candidate)?.examples.get(example).copied().flatten()
}

/// Examples from easy to hard, so that the strips can be compared by eye.
fn order(outcome: &Outcome, shown: &[usize]) -> Vec<usize> {
    let lengths = shown.iter().filter_map(|&index| outcome.scores.get(index)).map(|s| s.examples.len());
    let examples = lengths.max().unwrap_or(0).min(MAX_EXAMPLES);
    let total = |at: usize| shown.iter().filter_map(|&index| score(outcome, index, at)).sum::<f64>();
    let mut order: Vec<(f64, usize)> = (0..examples).map(|at| (total(at), at)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    order.into_iter().map(|(_, at)| at).collect()
}

/// On how many examples a candidate is best of all, and best alone.
fn wins(outcome: &Outcome, candidate: usize) -> (u64, u64) {
    let examples = outcome.scores.get(candidate).map_or(0, |scores| scores.examples.len());
    let (mut best, mut alone) = (0, 0);
    for at in 0..examples {
        let Some(own) = score(outcome, candidate, at) else { continue };
        let others = (0..outcome.scores.len()).filter(|&other| other != candidate);
        let highest = others.filter_map(|other| score(outcome, other, at)).fold(f64::NEG_INFINITY, f64::max);
        best += u64::from(own >= highest);
        alone += u64::from(own > highest);
    }
    (best, alone)
}

fn objectives<'a>(outcome: &'a Outcome, shown: &[usize]) -> Vec<&'a str> {
    let scores = shown.iter().filter_map(|&index| outcome.scores.get(index));
    let names: BTreeSet<&str> = scores.flat_map(|s| s.objectives.keys()).map(String::as_str).collect();
    names.into_iter().take(MAX_OBJECTIVES).collect()
}

fn mean(scores: &CandidateScores, objective: &str) -> Option<f64> {
    let known: Vec<f64> = scores.objectives.get(objective)?.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// The scores of a candidate in the given order, as one path for each shade; neighbours of one shade are
/// drawn together.
fn strip(outcome: &Outcome, candidate: usize, order: &[usize], heat: Heat) -> Vec<Shade> {
    let mut paths: Vec<String> = vec![String::new(); 10];
    let shades: Vec<Option<u8>> =
        order.iter().map(|&at| score(outcome, candidate, at).map(|score| heat.shade(score))).collect();
    let mut start = 0;
    for run in shades.chunk_by(|a, b| a == b) {
        if let Some(path) = run.first().copied().flatten().and_then(|shade| paths.get_mut(usize::from(shade)))
        {
            path.push_str(&format!("M{start} 0h{}v1h-{}z", run.len(), run.len()));
        }
        start += run.len();
    }
    let drawn = paths.into_iter().zip(0..).filter(|(path, _)| !path.is_empty());
    drawn.map(|(path, shade)| Shade { shade, path }).collect()
}
