//! The metrics a task file can ask for.

mod answer;
mod build;
mod command;
mod environment;
mod fields;
mod judge;
mod processes;
mod rule;
mod verdict;
mod weighted;

pub(crate) use build::{build, needs_labels};
pub(crate) use processes::end_all as end_processes;
