//! Observers: what a run tells while it goes on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use promptopt_core::telemetry::Span;
use promptopt_core::trace::FailureKind;

use crate::Trial;

/// Something that happened. Rollout events come as rollouts finish; all others in logical order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum Event {
    /// A stage began.
    Stage {
        /// Its name.
        name: String,
        /// What it is about to do, for a person.
        detail: String,
    },
    /// A rollout finished.
    Rollout {
        /// Its score, if it has one.
        score: Option<f64>,
        /// Whose failure it was, if it failed.
        failure: Option<FailureKind>,
        /// Whether it was known already and cost nothing.
        reused: bool,
        /// Calls it cost.
        calls: u64,
    },
    /// An instruction was written, or dropped.
    Proposal {
        /// Path of the predictor.
        predictor: String,
        /// The instruction.
        instruction: String,
        /// Why it was dropped; `None` when it was kept.
        dropped: Option<String>,
    },
    /// A candidate was evaluated.
    Trial(Trial),
    /// Something a user should know.
    Warning {
        /// What.
        message: String,
    },
}

/// Is told what happens in a run, for logs and progress bars. Must return quickly: it is called on the run's own task.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event);

    /// The span that the rollouts of the run are in, with the feature `tracing`. Default: the one that is entered now.
    /// Whoever hands events on to another observer hands this on, too.
    fn span(&self) -> Span {
        Span::current()
    }
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _event: &Event) {}
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

impl Observer for Arc<dyn Observer> {
    fn observe(&self, event: &Event) {
        (**self).observe(event);
    }

    fn span(&self) -> Span {
        (**self).span()
    }
}
