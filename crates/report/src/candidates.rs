//! The candidates: where each came from and how it scored.

use std::collections::BTreeSet;

use promptopt_core::prompt::{Origin, PromptCandidate};
use promptopt_run::{Outcome, TrialKind};
use serde::Serialize;

use crate::text::Cut;
use crate::{format, frontier, text};

/// At most this many candidates are listed and drawn.
pub(crate) const MAX_CANDIDATES: usize = 400;
/// Instructions in the list are cut to this many characters; the winner's is shown whole elsewhere.
const MAX_INSTRUCTION: usize = 600;

/// The list of candidates.
#[derive(Debug, Serialize)]
pub(crate) struct Candidates {
    rows: Vec<Row>,
    has_parents: bool,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    index: usize,
    origin: String,
    parents: Vec<usize>,
    score: Option<f64>,
    examples: Option<usize>,
    found_at: Option<u64>,
    winner: bool,
    on_frontier: bool,
    instructions: Vec<Instruction>,
}

#[derive(Debug, Serialize)]
struct Instruction {
    predictor: String,
    text: Cut,
    demos: usize,
}

impl Candidates {
    pub(crate) fn of(outcome: &Outcome) -> Option<Self> {
        if outcome.candidates.len() < 2 {
            return None;
        }
        let frontier: BTreeSet<usize> = frontier::members(outcome).into_iter().collect();
        let shown = outcome.candidates.iter().enumerate().take(MAX_CANDIDATES);
        let row = |(index, candidate): (usize, &PromptCandidate)| {
            let evidence = evidence(outcome, index);
            Row {
                index,
                origin: origin(&candidate.origin),
                parents: parents(outcome, index),
                score: candidate.score.or(evidence.map(|(mean, _)| mean)),
                examples: evidence.map(|(_, n)| n),
                found_at: outcome.scores.get(index).map(|scores| scores.calls_at_discovery),
                winner: index == outcome.best,
                on_frontier: frontier.contains(&index),
                instructions: instructions(outcome, candidate),
            }
        };
        Some(Self {
            rows: shown.map(row).collect(),
            has_parents: outcome.candidates.iter().any(|candidate| !candidate.parents.is_empty()),
            note: note(outcome.candidates.len()),
        })
    }
}

/// What to say when there are more than are shown.
pub(crate) fn note(all: usize) -> Option<String> {
    format::first_of(MAX_CANDIDATES, all, "candidates")
}

/// Where a candidate came from, in the words of the optimizer. An origin without words is told by its kind.
pub(crate) fn origin(origin: &Origin) -> String {
    let words = if origin.label.trim().is_empty() { &*origin.kind } else { origin.label.as_str() };
    if words.trim().is_empty() { format::NONE.to_owned() } else { text::sentence(words) }
}

/// The parents that there can be: candidates that came before.
pub(crate) fn parents(outcome: &Outcome, index: usize) -> Vec<usize> {
    let parents = outcome.candidates.get(index).map(|candidate| candidate.parents.as_slice());
    let mut seen = BTreeSet::new();
    parents
        .unwrap_or_default()
        .iter()
        .copied()
        .filter(|parent| *parent < index && seen.insert(*parent))
        .take(8)
        .collect()
}

/// Mean and number of examples of everything that is known of a candidate on the selection set.
pub(crate) fn evidence(outcome: &Outcome, index: usize) -> Option<(f64, usize)> {
    if let Some(scores) = outcome.scores.get(index) {
        let known: Vec<f64> = scores.examples.iter().flatten().copied().collect();
        if !known.is_empty() {
            return Some((known.iter().sum::<f64>() / known.len() as f64, known.len()));
        }
    }
    let score = outcome.candidates.get(index).and_then(|candidate| candidate.score);
    if let Some(score) = score {
        return Some((score, outcome.baseline.n));
    }
    let trials =
        outcome.trials.iter().filter(|trial| trial.candidate == index && is_of_selection(&trial.kind));
    let (sum, n) = trials.fold((0.0, 0), |(sum, n), trial| match trial.score {
        Some(score) => (sum + score * trial.examples as f64, n + trial.examples),
        None => (sum, n),
    });
    (n > 0).then(|| (sum / n as f64, n))
}

/// Whether trials of a kind are known to run on the selection set.
fn is_of_selection(kind: &TrialKind) -> bool {
    [TrialKind::BASELINE, TrialKind::MINIBATCH, TrialKind::FULL, TrialKind::RACE].contains(kind)
}

/// The prompts in which a candidate differs from the original; all of the original's.
fn instructions(outcome: &Outcome, candidate: &PromptCandidate) -> Vec<Instruction> {
    let original = outcome.candidates.first().filter(|original| !std::ptr::eq(*original, candidate));
    candidate
        .prompts
        .iter()
        .filter(|(path, prompt)| original.and_then(|original| original.prompts.get(path)) != Some(*prompt))
        .take(12)
        .map(|(path, prompt)| Instruction {
            predictor: text::name(path),
            text: Cut::new(&prompt.instruction, MAX_INSTRUCTION),
            demos: prompt.demos.len(),
        })
        .collect()
}
