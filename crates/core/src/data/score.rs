//! Scores: a number, and what a metric may say about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a metric says about one prediction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Score {
    /// The score; higher is better. 0 or more, because a reply that cannot be used counts as 0; by
    /// custom at most 1, and never more than [`Score::LARGEST`].
    pub value: f64,
    /// What was right or wrong, in words, for optimizers that reflect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// Named part scores, for optimizers with several objectives. From minus [`Score::LARGEST`] to
    /// [`Score::LARGEST`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objectives: BTreeMap<String, f64>,
}

impl Score {
    /// The largest score. Sums and squares of millions of such scores are still numbers.
    pub const LARGEST: f64 = 1e12;

    /// What is wrong with its numbers, and what they should be; `None` when they can be used.
    pub fn flaw(&self) -> Option<String> {
        let value = self.value;
        if value < 0.0 {
            return Some(format!(
                "returned {value}, but a score must be 0 or more, because a reply that cannot be used counts as 0"
            ));
        }
        let numbers = std::iter::once((None, value))
            .chain(self.objectives.iter().map(|(name, value)| (Some(name), *value)));
        numbers.into_iter().find_map(|(name, value)| {
            let place = name.map_or_else(String::new, |name| format!(" for the objective `{name}`"));
            if !value.is_finite() {
                Some(format!("returned {value}{place}, which is not a finite number"))
            } else if value.abs() > Self::LARGEST {
                Some(format!("returned {value:e}{place}, but the largest score is {:e}", Self::LARGEST))
            } else {
                None
            }
        })
    }

    /// A bare score.
    pub fn new(value: f64) -> Self {
        Self { value, ..Self::default() }
    }

    /// The same score with feedback.
    #[must_use]
    pub fn with_feedback(mut self, feedback: impl Into<String>) -> Self {
        self.feedback = Some(feedback.into());
        self
    }

    /// The same score with one more objective.
    #[must_use]
    pub fn with_objective(mut self, name: impl Into<String>, value: f64) -> Self {
        self.objectives.insert(name.into(), value);
        self
    }
}

impl From<f64> for Score {
    fn from(value: f64) -> Self {
        Self::new(value)
    }
}

impl From<bool> for Score {
    fn from(right: bool) -> Self {
        Self::new(if right { 1.0 } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_can_be_added_up_are_scores() {
        let check = |score: Score, says: Option<&str>| {
            let flaw = score.flaw();
            assert_eq!(flaw.is_some(), says.is_some(), "{score:?}: {flaw:?}");
            assert!(flaw.unwrap_or_default().contains(says.unwrap_or_default()), "{score:?}");
        };
        for good in [0.0, -0.0, 0.5, 1.0, 1e12, f64::MIN_POSITIVE] {
            check(Score::new(good), None);
            check(Score::new(0.0).with_objective("cost", -good), None);
        }
        check(Score::new(-1e-9), Some("must be 0 or more"));
        check(Score::new(f64::NEG_INFINITY), Some("returned -inf"));
        check(Score::new(f64::NAN), Some("NaN, which is not a finite number"));
        check(Score::new(f64::INFINITY), Some("returned inf"));
        check(Score::new(1e308), Some("returned 1e308, but the largest score is 1e12"));
        check(Score::new(1.0).with_objective("cost", f64::NAN), Some("NaN for the objective `cost`"));
        check(Score::new(1.0).with_objective("cost", -1e13), Some("-1e13 for the objective `cost`"));
    }
}
