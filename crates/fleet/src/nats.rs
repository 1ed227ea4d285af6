//! The transport over NATS JetStream.

mod connection;
mod coordinator;
mod options;
mod parcel;
mod worker;

pub use coordinator::NatsCoordinator;
pub use options::{NatsCredentials, NatsOptions};
pub use worker::NatsWorker;
