//! Candidates: prompts for a whole program, where they came from, and how they scored.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Prompts;
use crate::data::{ContentHash, Fields};

/// Where a candidate came from. Every optimizer has kinds of its own: a report shows the label, and a program that
/// knows a kind finds more in `data`.
///
/// ```
/// use promptopt_core::prompt::Origin;
///
/// let origin = Origin::new("crossed", "two halves put together").with("cut", 3);
/// assert_eq!(origin.get("cut").and_then(|cut| cut.as_u64()), Some(3));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Origin {
    /// The kind, such as `original` or `reflected`.
    pub kind: Cow<'static, str>,
    /// The origin in a few words, for people.
    pub label: String,
    /// What else there is to know of it, by name.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub data: Fields,
}

impl Origin {
    /// The kind of the prompts that a program came with.
    pub const ORIGINAL: &'static str = "original";

    /// The prompts that the program came with.
    pub fn original() -> Self {
        Self::new(Self::ORIGINAL, "the original")
    }

    /// An origin of some kind, with a few words for people.
    pub fn new(kind: impl Into<Cow<'static, str>>, label: impl Into<String>) -> Self {
        Self { kind: kind.into(), label: label.into(), data: Fields::new() }
    }

    /// The same with something more to know of it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// What is known of it under a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.data.get(name)
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self::original()
    }
}

/// Prompts for the predictors of a program, to be compared with others. A candidate is data: a program is not changed while
/// its candidates are evaluated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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

    /// Made from the candidates with these indices.
    #[must_use]
    pub fn with_parents(mut self, parents: Vec<usize>) -> Self {
        self.parents = parents;
        self
    }

    /// With a score.
    #[must_use]
    pub fn with_score(mut self, score: impl Into<Option<f64>>) -> Self {
        self.score = score.into();
        self
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
