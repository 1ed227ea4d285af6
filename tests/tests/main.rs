//! One binary for all tests across crates.

mod simulation;
