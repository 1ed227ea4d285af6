//! The report as a whole: what stands in it, that nothing in it acts, and how a browser shows it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

mod browser;
mod escaping;
#[path = "../../examples/sample/hostile.rs"]
mod hostile;
mod others;
mod sections;
mod server;
