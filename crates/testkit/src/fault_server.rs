//! A model behind an endpoint that misbehaves as real providers do: by plan, and with a log of what it saw.
//!
//! `plan` says what goes wrong and when, `shared` keeps limits and log, `connection` speaks HTTP (by hand, since
//! no server library lets one break off, stall or run on without end at will), `answer` misbehaves.

mod answer;
mod connection;
mod plan;
mod server;
mod shared;

pub use plan::{Fault, FaultPlan};
pub use server::FaultServer;
pub use shared::{Answer, Seen};
