//! The end of a run, handed up with `?`.

use crate::{Error, StopReason};

/// Why something of a run gave no result: the run has to end with the best so far, or it failed.
///
/// A strategy hands it up with `?`. Whoever matches it wants both cases, so no case will be added.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The run ends with the best so far.
    #[error("the run ended: {0}")]
    Stopped(StopReason),
    /// The run failed, and so does the optimization.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Halt {
    /// What was left of the budget is too little for the next piece of work.
    pub fn budget() -> Self {
        Self::Stopped(StopReason::Budget)
    }

    /// Why the run has to end; `None` where it failed.
    pub fn stop(&self) -> Option<&StopReason> {
        match self {
            Self::Stopped(stop) => Some(stop),
            Self::Failed(_) => None,
        }
    }

    /// Whether a little more may be spent, such as on the full evaluation of the leader: the budget is not used up
    /// to the last call, and nobody asked for an end at once.
    pub fn leaves_room(&self) -> bool {
        matches!(
            self.stop(),
            Some(StopReason::TargetReached | StopReason::NoImprovement { .. } | StopReason::StopFile)
        )
    }
}

impl From<promptopt_core::Error> for Halt {
    fn from(error: promptopt_core::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<promptopt_statistics::Error> for Halt {
    fn from(error: promptopt_statistics::Error) -> Self {
        Self::Failed(error.into())
    }
}
