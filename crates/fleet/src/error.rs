//! Why a fleet cannot work.

/// Why a fleet cannot work.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server cannot be used.
    #[error("the NATS server at {server} cannot be used: {reason}")]
    Server {
        /// Its address, without credentials.
        server: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The coordinator of a run is not there.
    #[error("the coordinator of the run is not there")]
    NoCoordinator,
    /// The coordinator is there and gave no answer yet. Whoever asks asks again.
    #[error("the coordinator of the run gave no answer yet")]
    NoAnswer,
    /// A message is not what it should be.
    #[error("a message of the fleet cannot be read: {0}")]
    Message(String),
    /// Coordinator and worker differ.
    #[error(
        "worker and coordinator differ ({difference}): give both the same task file, files and version of promptopt"
    )]
    Differs {
        /// What.
        difference: String,
    },
    /// A worker can make no rollout where it is.
    #[error("no rollout can be made here, so they go to other workers: {0}")]
    Unable(String),
}
