//! Fleets of real workers over a real nats-server: the same outcomes as one process, whatever happens.

#![expect(clippy::panic, reason = "the lints know tests inside a crate, not files of tests")]

#[path = "fleet/faults.rs"]
mod faults;
#[path = "fleet/machines.rs"]
mod machines;
#[path = "fleet/own.rs"]
mod own;
#[path = "fleet/proxy.rs"]
mod proxy;
#[path = "fleet/same.rs"]
mod same;
#[path = "fleet/traps.rs"]
mod traps;
