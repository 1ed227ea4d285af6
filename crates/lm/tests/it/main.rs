//! The client against real servers on the loopback interface.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

mod config;
mod dialects;
mod errors;
mod faults;
mod formats;
mod hedges;
mod names;
mod parameters;
#[cfg(feature = "providers")]
mod providers;
mod rate;
mod replies;
mod requests;
mod retries;
mod round_trip;
mod secrets;
mod stream;
mod support;
