//! Candidates: prompts for a whole program, where they came from, and how they scored.

use serde::{Deserialize, Serialize};

use crate::{ContentHash, Prompts};

/// Where a candidate came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The prompts the program came with.
    #[default]
    Original,
    /// A combination of proposed instructions and bootstrapped demo sets: for every predictor the
    /// index of its instruction and of its demo set.
    Search {
        /// (instruction, demo set) for every predictor in order.
        choices: Vec<(usize, usize)>,
    },
    /// A new instruction for one predictor, written from ranked attempts.
    Refined {
        /// Path of the predictor.
        predictor: String,
        /// At which depth it was written, from 0.
        depth: usize,
    },
    /// New instructions written in reflection on traces of the parent.
    Reflected {
        /// Paths of the predictors that got a new instruction.
        predictors: Vec<String>,
        /// In which iteration, from 1.
        iteration: usize,
    },
    /// Components of two parents put together, against their common ancestor.
    Merged {
        /// Index of the common ancestor.
        ancestor: usize,
        /// In which iteration, from 1.
        iteration: usize,
    },
}

/// A candidate is data: nothing mutates a module while it is evaluated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptCandidate {
    /// The prompts, predictor by predictor.
    pub prompts: Prompts,
    /// Mean score on the full selection set; `None` while it has none.
    pub score: Option<f64>,
    /// Where it came from.
    pub origin: Origin,
    /// Indices of the candidates it was made from.
    #[serde(default)]
    pub parents: Vec<usize>,
}

impl PromptCandidate {
    /// A candidate without a score.
    pub fn new(prompts: Prompts, origin: Origin) -> Self {
        Self { prompts, score: None, origin, parents: Vec::new() }
    }

    /// The instruction of a predictor.
    pub fn instruction(&self, predictor: &str) -> Option<&str> {
        self.prompts.get(predictor).map(|prompt| prompt.instruction.as_str())
    }

    /// A hash of the prompts: equal prompts are one candidate, whatever their origin.
    pub fn content_hash(&self) -> ContentHash {
        self.prompts.content_hash()
    }

    /// The candidate with the highest score. Of equals the first wins, so that an original put
    /// first is kept on a tie; candidates without a score, or with one that is not a number,
    /// never win. `None` when no candidate has a score.
    pub fn best(candidates: &[Self]) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (index, candidate) in candidates.iter().enumerate() {
            let Some(score) = candidate.score.filter(|score| !score.is_nan()) else { continue };
            if best.is_none_or(|(_, leader)| score > leader) {
                best = Some((index, score));
            }
        }
        best.map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scores: &[Option<f64>], expected: Option<usize>) {
        let candidates: Vec<_> = scores
            .iter()
            .map(|score| PromptCandidate { score: *score, ..PromptCandidate::default() })
            .collect();
        assert_eq!(PromptCandidate::best(&candidates), expected, "{scores:?}");
    }

    #[test]
    fn the_best_is_the_first_of_the_highest() {
        check(&[], None);
        check(&[None, None], None);
        check(&[Some(f64::NAN), None], None);
        check(&[Some(0.5), Some(0.5)], Some(0));
        check(&[None, Some(0.1), Some(0.7), Some(f64::NAN), Some(0.7)], Some(2));
        check(&[Some(f64::NEG_INFINITY)], Some(0));
    }
}
