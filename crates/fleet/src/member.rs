//! What members of a fleet say of themselves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promptopt_core::data::ContentHash;
use serde::{Deserialize, Serialize};

use crate::coordinator::FleetFigures;
use crate::protocol::Identity;

/// A member of a fleet, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// Host and process.
    pub name: String,
    /// Its version of promptopt.
    pub release: String,
    /// The hash of what coordinator and workers must have alike.
    pub identity: ContentHash,
    /// What it does.
    #[serde(flatten)]
    pub role: Role,
}

/// What a member does, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// It makes rollouts.
    Worker {
        /// Rollouts that it may make at once.
        slots: u64,
        /// Those that it makes now.
        busy: u64,
        /// Those that it made.
        made: u64,
    },
    /// It hands them out.
    Run {
        /// The run's name.
        run: String,
        /// Its numbers.
        figures: FleetFigures,
    },
}

impl Member {
    pub(crate) fn new(identity: &Identity, role: Role) -> Self {
        Self { name: name(), release: identity.release.clone(), identity: identity.hash(), role }
    }
}

/// What this process is called: host and process.
pub(crate) fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("host");
    format!("{host}:{}", std::process::id())
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, release, identity, role } = self;
        let program: String = identity.to_string().chars().take(8).collect();
        match role {
            Role::Worker { slots, busy, made } => write!(
                formatter,
                "worker {name}: {busy} of {slots} slots busy, {made} rollouts made, program {program}, promptopt {release}"
            ),
            Role::Run { run, figures } => write!(
                formatter,
                "run {run} of {name}: {} rollouts open, {} made, {} put into the queue again, {} results twice, program \
                 {program}, promptopt {release}",
                figures.open, figures.made, figures.offered_again, figures.dropped
            ),
        }
    }
}

/// What a worker counts.
#[derive(Debug, Default)]
pub struct WorkerFigures {
    pub(crate) slots: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) made: AtomicU64,
}

impl WorkerFigures {
    pub(crate) fn role(&self) -> Role {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Role::Worker { slots: of(&self.slots), busy: of(&self.busy), made: of(&self.made) }
    }
}

/// Describes a member as it is now; `None` where it is gone.
pub type Describe = Arc<dyn Fn() -> Option<Role> + Send + Sync>;
