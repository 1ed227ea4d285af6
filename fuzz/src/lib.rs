//! What must hold for any input of a parser. Each function takes the bytes that a fuzzer made and panics
//! where a promise is broken; `fuzz_targets` hands them to the engine, and `cargo test` runs each over the
//! seeds in `seeds`.

mod data_rows;
mod dspy_program;
mod journal;
mod reply;
mod run_directory;
mod signature;
mod task_file;

pub use data_rows::data_rows;
pub use dspy_program::dspy_program;
pub use journal::journal;
pub use reply::reply;
pub use run_directory::run_directory;
pub use signature::signature;
pub use task_file::task_file;

#[cfg(test)]
mod tests;
