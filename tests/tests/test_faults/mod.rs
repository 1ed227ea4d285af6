//! Whole runs through the real client against a server that misbehaves by plan: what comes out is the same as
//! without faults, nothing is sent too early, and no budget is overshot.

mod bodies;
mod budgets;
mod limits;
mod outcomes;
mod server;
mod streams;
mod support;
mod waits;
