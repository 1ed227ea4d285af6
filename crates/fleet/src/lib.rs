//! Rollouts on many machines, for [promptopt](https://docs.rs/promptopt).

mod coordinator;
mod error;
mod local;
mod member;
#[cfg(feature = "nats")]
pub mod nats;
mod protocol;
mod replies;
mod transport;
mod worker;

pub use coordinator::{Fleet, FleetFigures};
pub use error::Error;
pub use local::LocalTransport;
pub use member::{Describe, Member, Role, WorkerFigures};
pub use protocol::{Identity, JobId, PROTOCOL};
pub use transport::{Coordinating, Leased, Question, Reply, Working};
pub use worker::Worker;
