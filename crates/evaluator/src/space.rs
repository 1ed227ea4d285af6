//! The search space: for every predictor an instruction and a demo set.

use promptopt_core::prompt::{Demo, Origin, Prompt, PromptCandidate, Prompts};
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Error;

/// Predictors whose choice stands in a candidate's label.
const LABELLED: usize = 12;

/// What one predictor chooses from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PredictorSpace {
    /// Path of the predictor.
    pub path: String,
    /// The instructions; the first is the one it has.
    pub instructions: Vec<String>,
    /// The demo sets; one of them may be empty.
    pub demo_sets: Vec<Vec<Demo>>,
}

impl PredictorSpace {
    /// What the predictor at a path chooses from.
    pub fn new(path: impl Into<String>, instructions: Vec<String>, demo_sets: Vec<Vec<Demo>>) -> Self {
        Self { path: path.into(), instructions, demo_sets }
    }
}

/// One point of a space: instruction and demo set of every predictor, by index, and nothing else, so that it can be
/// made of any indices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Choice(pub Vec<(usize, usize)>);

impl Choice {
    /// How many predictors have an instruction of the same number as the first.
    pub(crate) fn matching(&self) -> usize {
        let first = self.0.first().map(|(instruction, _)| instruction);
        self.0.iter().filter(|(instruction, _)| Some(instruction) == first).count()
    }

    /// The point as one number a dimension: instruction, demo set, instruction, demo set …
    pub(crate) fn flat(&self) -> Vec<usize> {
        self.0.iter().flat_map(|(instruction, demos)| [*instruction, *demos]).collect()
    }
}

/// The space of a program: what all predictors choose from, together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Space {
    /// The predictors, in the program's order.
    pub predictors: Vec<PredictorSpace>,
}

impl Space {
    /// The space of these predictors.
    pub fn new(predictors: Vec<PredictorSpace>) -> Self {
        Self { predictors }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let empty =
            self.predictors.iter().find(|one| one.instructions.is_empty() || one.demo_sets.is_empty());
        match empty {
            Some(predictor) => Err(Error::EmptySpace(predictor.path.clone())),
            None if self.predictors.is_empty() => Err(Error::EmptySpace("any".to_owned())),
            None => Ok(()),
        }
    }

    /// How many options each dimension has.
    pub(crate) fn options(&self) -> Vec<usize> {
        self.predictors.iter().flat_map(|one| [one.instructions.len(), one.demo_sets.len()]).collect()
    }

    /// How many points there are; saturates.
    pub fn size(&self) -> usize {
        self.options().into_iter().fold(1, usize::saturating_mul)
    }

    /// The point of a number below [`Space::size`].
    pub(crate) fn point(&self, mut number: usize) -> Choice {
        let mut digit = |base: usize| {
            let digit = number % base.max(1);
            number /= base.max(1);
            digit
        };
        Choice(
            self.predictors
                .iter()
                .map(|one| (digit(one.instructions.len()), digit(one.demo_sets.len())))
                .collect(),
        )
    }

    /// A random point.
    pub(crate) fn draw<R: Rng>(&self, rng: &mut R) -> Choice {
        let mut pick = |count: usize| if count > 1 { rng.random_range(0..count) } else { 0 };
        Choice(
            self.predictors
                .iter()
                .map(|one| (pick(one.instructions.len()), pick(one.demo_sets.len())))
                .collect(),
        )
    }

    /// For each number of an instruction the point in which all predictors have the instruction of that number, and a
    /// demo set of the same random number.
    pub(crate) fn draw_matching<R: Rng>(&self, rng: &mut R) -> Vec<Choice> {
        let most = |count: fn(&PredictorSpace) -> usize| self.predictors.iter().map(count).max().unwrap_or(1);
        let instructions = most(|one| one.instructions.len());
        let demo_sets = most(|one| one.demo_sets.len());
        let mut point = |instruction: usize| {
            let demos = if demo_sets > 1 { rng.random_range(0..demo_sets) } else { 0 };
            let last = |of: usize, number: usize| number.min(of.saturating_sub(1));
            let both = |one: &PredictorSpace| {
                (last(one.instructions.len(), instruction), last(one.demo_sets.len(), demos))
            };
            Choice(self.predictors.iter().map(both).collect())
        };
        (0..instructions).map(&mut point).collect()
    }

    /// The candidate of a point.
    pub(crate) fn candidate(&self, choice: &Choice) -> PromptCandidate {
        let prompts: Prompts = self
            .predictors
            .iter()
            .zip(&choice.0)
            .map(|(one, (instruction, demos))| {
                let prompt = Prompt::new(one.instructions.get(*instruction).cloned().unwrap_or_default())
                    .with_demos(one.demo_sets.get(*demos).cloned().unwrap_or_default());
                (one.path.clone(), prompt)
            })
            .collect();
        let pairs: Vec<String> = choice
            .0
            .iter()
            .take(LABELLED)
            .map(|(instruction, demos)| format!("{instruction} × {demos}"))
            .collect();
        let more = if choice.0.len() > LABELLED { " …" } else { "" };
        let label = format!("instruction × demo set {}{more}", pairs.join(", "));
        PromptCandidate::new(prompts, Origin::new("search", label).with("choices", json!(choice.0)))
    }
}
