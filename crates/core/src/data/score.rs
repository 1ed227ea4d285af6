//! Scores: a number, and what a metric may say about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a metric says about one prediction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Score {
    /// The score; higher is better. 0 or more, because a reply that cannot be used counts as 0; by
    /// custom at most 1.
    pub value: f64,
    /// What was right or wrong, in words, for optimizers that reflect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// Named part scores, for optimizers with several objectives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objectives: BTreeMap<String, f64>,
}

impl Score {
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
