//! Rate control: how many requests an endpoint is sent at once, per minute, and not before when.
//!
//! `adaptive`, `bucket` and `gate` are plain state over a time that is passed in; `control` is where they
//! meet tasks that wait.

mod adaptive;
mod bucket;
mod concurrency;
mod control;
mod estimate;
mod gate;
mod outcome;
#[cfg(test)]
mod simulation_tests;

pub use concurrency::{AdaptiveConcurrency, Concurrency};
pub(crate) use control::Permit;
pub use control::{RateControl, RateControlBuilder};
pub(crate) use estimate::estimated_tokens;
pub(crate) use outcome::Outcome;
