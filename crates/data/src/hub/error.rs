//! What can be wrong with a data set of the hub.

use std::io;
use std::path::PathBuf;

/// Why a data set could not be had from the hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A name or a setting cannot be used.
    #[error("the hub's data set cannot be asked for: {reason}")]
    Invalid {
        /// What is wrong and what to do.
        reason: String,
    },
    /// There is no such data set, or it is not shown to this user.
    #[error("the data set `{repo}` was not found on {endpoint}, or it is private or gated: {hint}")]
    NotFound {
        /// The data set.
        repo: String,
        /// The hub.
        endpoint: String,
        /// What to do.
        hint: String,
    },
    /// The data set is there but has no such branch, tag or commit.
    #[error(
        "the data set `{repo}` has no revision `{revision}`: give a branch, a tag or a commit of it, or none"
    )]
    RevisionNotFound {
        /// The data set.
        repo: String,
        /// What was asked for.
        revision: String,
    },
    /// The data set has no such configuration, or several and none was chosen.
    #[error("the data set `{repo}` {found}: set `config` to one of {known}")]
    Config {
        /// The data set.
        repo: String,
        /// What was asked for, in words.
        found: String,
        /// The configurations that there are.
        known: String,
    },
    /// The configuration has no such split.
    #[error(
        "the data set `{repo}` has no split `{split}` in its configuration `{config}`: set `split` to one of {known}"
    )]
    Split {
        /// The data set.
        repo: String,
        /// The configuration.
        config: String,
        /// What was asked for.
        split: String,
        /// The splits that there are.
        known: String,
    },
    /// The data set has no file of a known format.
    #[error(
        "the data set `{repo}` has no .parquet, .jsonl, .json, .csv or .tsv file at {revision}: leave `revision` out \
         for the hub's own conversion to Parquet, or convert it and give a file"
    )]
    NoFiles {
        /// The data set.
        repo: String,
        /// The commit.
        revision: String,
    },
    /// The hub could not be reached.
    #[error(
        "{host} could not be reached ({reason}): check the network and the proxy, set HF_ENDPOINT to a mirror of the \
         hub, or give a file instead"
    )]
    Network {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// The hub refused.
    #[error("{host} answered {what} with status {status}{message}: {hint}")]
    Status {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the hub said, if anything.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// The hub's answer is not one that the hub gives.
    #[error("{host} answered {what} with something else than expected ({reason}): check HF_ENDPOINT")]
    Answer {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// No network may be used, and the cache does not have it.
    #[error(
        "{what} is not in the cache `{}`, and HF_HUB_OFFLINE is set: load it once with the network, with the same limit",
        .cache.display()
    )]
    Offline {
        /// What was looked for.
        what: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The cache cannot be used.
    #[error("the hub's cache at `{}` could not be used: set HF_HUB_CACHE to a folder that you may write to", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
