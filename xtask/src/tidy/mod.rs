//! `cargo xtask tidy`: the rules of the house that neither the compiler nor clippy checks.

mod arrows;
mod files;
mod finding;
mod links;
mod run;
mod rust;
mod text;
mod words;

pub(crate) use run::{HELP, main};
