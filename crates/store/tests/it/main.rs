//! The store against crashes, damage, other processes and full disks.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

mod cache;
mod child;
mod crash;
mod damage;
mod directory;
mod journal;
mod metered;
mod model;
mod processes;
mod support;
