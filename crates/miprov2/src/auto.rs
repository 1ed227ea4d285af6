//! Sizes of a run for those who do not want to think of them.

use serde::{Deserialize, Serialize};

/// How much a run should try. Sets candidates and trials, and caps the selection set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auto {
    /// 6 candidates, a selection set of at most 100.
    Light,
    /// 12 candidates, a selection set of at most 300.
    Medium,
    /// 18 candidates, a selection set of at most 1,000.
    Heavy,
}

impl Auto {
    /// Instructions and demo sets of every predictor.
    pub(crate) fn num_candidates(self) -> usize {
        match self {
            Self::Light => 6,
            Self::Medium => 12,
            Self::Heavy => 18,
        }
    }

    /// The most examples to select on.
    pub(crate) fn max_selection(self) -> usize {
        match self {
            Self::Light => 100,
            Self::Medium => 300,
            Self::Heavy => 1000,
        }
    }

    /// Trials for a number of choices: twice the choices times the logarithm of the candidates,
    /// at least one and a half times the candidates.
    pub(crate) fn num_trials(self, choices: usize) -> usize {
        let candidates = self.num_candidates() as f64;
        (2.0 * choices as f64 * candidates.log2()).max(1.5 * candidates) as usize
    }
}
