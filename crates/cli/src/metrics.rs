//! The metrics a task file can ask for.

mod answer;
mod build;
mod command;
mod fields;
mod judge;
mod rule;
mod verdict;
mod weighted;

pub(crate) use build::{build, needs_labels};
pub(crate) use judge::remembering;
