//! Why a program gave no answer.

use std::time::Duration;

/// Why a program that is not ours gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be started.
    #[error(
        "the program `{program}` cannot be started: check that it is installed, and that its folder exists"
    )]
    Start {
        /// Its command line.
        program: String,
        /// What the system says.
        source: promptopt_core::program::Unavailable,
    },
    /// It took too long.
    #[error("the program gave no answer within {} s{complaint}", .after.as_secs_f64())]
    Timeout {
        /// The limit that passed.
        after: Duration,
        /// The last of what it said on standard error.
        complaint: String,
    },
    /// It ended with an error.
    #[error("the program ended with {status}{complaint}")]
    Failed {
        /// Its exit code or signal.
        status: String,
        /// Whether it was killed, and not by itself.
        is_killed: bool,
        /// The last of what it said on standard error.
        complaint: String,
    },
    /// It died while it was asked, twice.
    #[error("the program ended, or closed its standard input or output, while it was asked{complaint}")]
    Died {
        /// The last of what it said on standard error.
        complaint: String,
    },
    /// The address of its service is none.
    #[error("`{url}` is no address of a program: give one such as http://127.0.0.1:9000/answer ({reason})")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Its service cannot be reached.
    #[error("the program at {url} cannot be reached: start it, or correct the address")]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong.
        source: promptopt_core::program::Unavailable,
    },
    /// It answered with an error.
    #[error("the program says: {said}")]
    Said {
        /// Its words.
        said: String,
    },
    /// It made more calls than one answer may take.
    #[error(
        "the program makes more than {most} calls of language models for one answer: raise `max_calls` in `[program]` \
         (`App::with_calls`), or see why it asks so often"
    )]
    Calls {
        /// The most that it may make.
        most: u64,
    },
    /// What it wrote is no answer.
    #[error("the program's answer cannot be used: {reason}")]
    Answer {
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The pipes to it broke.
    #[error("the pipes to the program broke")]
    Pipe(#[from] std::io::Error),
}
