//! What can go wrong with files that must not lose anything.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::Difference;

/// An error of the store. Each names the file and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed.
    #[error("{doing} {} failed; check that the disk has room and that the path may be written to", .path.display())]
    Io {
        /// What was being done, such as `writing`.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no database, or none of promptopt's.
    #[error("{} is not a promptopt {expected}: {reason}; it was left as it is, so name another path or move it away", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What was expected, `journal` or `cache`.
        expected: StoreKind,
        /// What it is instead.
        reason: String,
    },
    /// What the file holds is damaged.
    #[error("{} is damaged: {reason}; it was not removed. Restore it from a copy, or move it away and start anew", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer promptopt wrote the file.
    #[error("{} has format {found}, and this promptopt reads up to {supported}; use the promptopt that wrote it, or a newer one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that can be read.
        supported: u64,
    },
    /// Another process, or another part of this one, works there.
    #[error("another process is working in {}; wait until it ends, or use another directory", .path.display())]
    InUse {
        /// The file or directory.
        path: PathBuf,
    },
    /// A run is there already.
    #[error("{} already holds a run; resume it, or start the new run in another directory", .path.display())]
    RunExists {
        /// The directory.
        path: PathBuf,
    },
    /// The directory for a new run holds something else.
    #[error("{} holds `{found}`, which is no part of a run; start the run in an empty or new directory", .path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Name of the first thing found there.
        found: String,
    },
    /// There is no run to resume.
    #[error("{} holds no run (there is no `run.json`); check the path, or start a run there", .path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// The run was started with another configuration, program, data set or version.
    #[error(
        "the run in {} was started with something else ({}); put that back to resume it, or start a new run \
         in another directory", .path.display(), list(.differences)
    )]
    Changed {
        /// The directory.
        path: PathBuf,
        /// All that differs.
        differences: Vec<Difference>,
    },
    /// Something is larger than its bound.
    #[error("{what} for {} has {size} bytes, and at most {limit} are kept", .path.display())]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The file it belongs to.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The bound in bytes.
        limit: u64,
    },
    /// The database could not write. Whatever was handed to it since is not durable.
    #[error("writing to {} failed: {reason}; make room on its disk and resume the run", .path.display())]
    Write {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// The database could not read.
    #[error("reading {} failed: {reason}; check the disk, or restore the file from a copy", .path.display())]
    Read {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// Something has no JSON form.
    #[error("{} cannot be written: its content has no JSON form", .path.display())]
    Json {
        /// The file it was meant for.
        path: PathBuf,
        /// What is in the way.
        source: serde_json::Error,
    },
    /// A result has a name that it cannot have.
    #[error(
        "`{name}` cannot be the name of a result: a plain file name that the run does not use is expected"
    )]
    ResultName {
        /// The name.
        name: String,
    },
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { path: path.to_owned(), source }
    }
}

/// What a database of replies is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// The replies of one run.
    Journal,
    /// Replies that runs share.
    Cache,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Journal => "journal",
            Self::Cache => "cache",
        })
    }
}

/// How many differences a message lists.
const LISTED: usize = 10;

fn list(differences: &[Difference]) -> String {
    let mut text: Vec<String> = differences.iter().take(LISTED).map(Difference::to_string).collect();
    if let Some(more) = differences.len().checked_sub(LISTED).filter(|more| *more > 0) {
        text.push(format!("and {more} more"));
    }
    text.join("; ")
}
