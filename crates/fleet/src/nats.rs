//! The transport over NATS JetStream.

mod connection;
mod coordinator;
mod options;
mod overview;
mod parcel;
mod worker;

pub use coordinator::NatsCoordinator;
pub use options::{NatsCredentials, NatsOptions};
pub use overview::{Overview, overview};
pub use worker::NatsWorker;
