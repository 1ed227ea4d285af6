//! Sizes of a run for those who do not want to think of them.

use serde::{Deserialize, Serialize};

/// How much a run should try. Sets the budget of metric calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auto {
    /// Enough for about 6 candidates on the whole selection set.
    Light,
    /// Enough for about 12.
    Medium,
    /// Enough for about 18.
    Heavy,
}

impl Auto {
    /// Metric calls: the original and so many candidates on the whole selection set, and half as
    /// much again for those that are dropped on the way.
    pub fn max_metric_calls(self, selection: usize) -> u64 {
        let candidates = match self {
            Self::Light => 6,
            Self::Medium => 12,
            Self::Heavy => 18,
        };
        (selection * (1 + candidates * 3 / 2)) as u64
    }
}
