//! One binary for all tests across crates.

mod conformance;
mod simulation;
mod support;
mod test_miprov2;
