//! What each instruction × demo set scored.

use std::collections::BTreeMap;

use promptopt_core::prompt::{Prompt, PromptCandidate};
use promptopt_run::Outcome;
use serde::{Deserialize as _, Serialize};

use crate::heat::Heat;
use crate::text::Cut;
use crate::{candidates, format, text};

/// Kind of the origins that are choices, and the name that these have in their data.
const SEARCH: &str = "search";
const CHOICES: &str = "choices";
/// At most this many predictors, instructions and demo sets are shown.
const MAX_PREDICTORS: usize = 30;
const MAX_SIDE: usize = 60;

/// The table of one predictor.
#[derive(Debug, Serialize)]
pub(crate) struct ChoiceTable {
    predictor: String,
    /// Numbers of the demo sets, with how many demos each has.
    columns: Vec<(usize, usize)>,
    rows: Vec<Row>,
    /// The score of the original, which is not among the choices.
    original: String,
    /// Whether other predictors' choices varied underneath.
    averaged: bool,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    number: usize,
    cells: Vec<Option<Cell>>,
    instruction: Cut,
    winner: bool,
}

#[derive(Debug, Serialize)]
struct Cell {
    score: String,
    n: String,
    shade: u8,
    winner: bool,
}

/// A candidate that a search over choices tried.
struct Searched<'a> {
    index: usize,
    candidate: &'a PromptCandidate,
    /// Numbers of instruction and demo set, predictor by predictor.
    choices: Vec<(usize, usize)>,
}

/// What is known of one pair, over all candidates with it.
#[derive(Default)]
struct Pooled {
    sum: f64,
    n: usize,
}

impl Pooled {
    fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }
}

/// One table for every predictor of a run that searched over choices.
pub(crate) fn tables(outcome: &Outcome) -> Vec<ChoiceTable> {
    let Some(original) = outcome.candidates.first() else { return Vec::new() };
    let searched: Vec<Searched<'_>> =
        outcome.candidates.iter().enumerate().filter_map(|(index, one)| searched(index, one)).collect();
    let predictors = original.prompts.iter().take(MAX_PREDICTORS).enumerate();
    predictors.filter_map(|(at, (path, _))| table(outcome, &searched, at, path)).collect()
}

/// A candidate that is a choice of an instruction and a demo set for every predictor; `None` for all others.
fn searched(index: usize, candidate: &PromptCandidate) -> Option<Searched<'_>> {
    let origin = Some(&candidate.origin).filter(|origin| origin.kind == SEARCH)?;
    let choices = Vec::<(usize, usize)>::deserialize(origin.get(CHOICES)?).ok()?;
    Some(Searched { index, candidate, choices })
}

fn table(outcome: &Outcome, searched: &[Searched<'_>], at: usize, path: &str) -> Option<ChoiceTable> {
    let mut pooled: BTreeMap<(usize, usize), Pooled> = BTreeMap::new();
    let mut instructions: BTreeMap<usize, &Prompt> = BTreeMap::new();
    let mut demo_sets: BTreeMap<usize, &Prompt> = BTreeMap::new();
    let mut won = None;
    let mut several = false;
    for Searched { index, candidate, choices } in searched {
        let (Some(&choice), Some(prompt)) = (choices.get(at), candidate.prompts.get(path)) else { continue };
        several |= choices.len() > 1;
        instructions.entry(choice.0).or_insert(prompt);
        demo_sets.entry(choice.1).or_insert(prompt);
        if *index == outcome.best {
            won = Some(choice);
        }
        if let Some((mean, n)) = candidates::evidence(outcome, *index) {
            let pool = pooled.entry(choice).or_default();
            pool.sum += mean * n as f64;
            pool.n += n;
        }
    }
    if pooled.is_empty() {
        return None;
    }
    let heat = Heat::over(pooled.values().map(Pooled::mean));
    let shown: Vec<_> = demo_sets.iter().take(MAX_SIDE).collect();
    let cell = |choice: (usize, usize)| {
        pooled.get(&choice).map(|pool| Cell {
            score: format::score(pool.mean()),
            n: format::count(pool.n as u64),
            shade: heat.shade(pool.mean()),
            winner: won == Some(choice),
        })
    };
    let row = |(&number, prompt): (&usize, &&Prompt)| Row {
        number,
        cells: shown.iter().map(|(demos, _)| cell((number, **demos))).collect(),
        instruction: Cut::value(&prompt.instruction),
        winner: won.is_some_and(|(instruction, _)| instruction == number),
    };
    let left_out = instructions.len() > MAX_SIDE || demo_sets.len() > MAX_SIDE;
    Some(ChoiceTable {
        predictor: text::name(path),
        columns: shown.iter().map(|(number, prompt)| (**number, prompt.demos.len())).collect(),
        rows: instructions.iter().take(MAX_SIDE).map(row).collect(),
        original: format::maybe_score(candidates::evidence(outcome, 0).map(|(mean, _)| mean)),
        averaged: several,
        note: left_out.then(|| format!("The first {MAX_SIDE} instructions and demo sets are shown.")),
    })
}
