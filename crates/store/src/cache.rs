//! The cache that runs share.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmReply;
use serde::{Deserialize, Serialize};

use crate::database::ReplyDatabase;
use crate::flights::Flights;
use crate::replies::Replies;
use crate::{StoreError, StoreKind};

/// The file in a cache directory.
const FILE: &str = "replies.redb";

/// How a run uses the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CacheMode {
    /// Not at all: the file is not even opened.
    #[default]
    Off,
    /// Replies are taken from it, none are added.
    Read,
    /// Replies are taken from it and added to it.
    ReadWrite,
}

/// Replies that runs share, in a directory of their own. Clones share the file, which is closed
/// with the last of them; dropping that one waits for the thread that owns the file. Several
/// processes may use one cache at the same time.
///
/// # Size
///
/// The bound counts what replies take in the file, whole pages for the longer ones. When a new one does
/// not fit, the oldest go first, in the order in which they were added; a hit does not make a reply
/// younger. A reply that is larger than the bound is not added. The file can grow to about
/// twice the bound: what is being added stands beside what it replaces, and a file that has grown stays
/// so.
#[derive(Clone)]
pub struct Cache {
    replies: Replies,
    mode: CacheMode,
    broken: Arc<AtomicBool>,
    pub(crate) flights: Flights,
}

impl Cache {
    /// Opens the cache in a directory, creating both where replies may be added. Blocks until the file
    /// is checked.
    ///
    /// There is no cache (`None`) when the mode is [`CacheMode::Off`], or [`CacheMode::Read`] where
    /// none was ever written. What is created is private (0700, the file 0600). `max_bytes` has its effect where replies are added. Checking takes
    /// permission to write, in every mode.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotADatabase`], [`StoreError::Newer`], [`StoreError::Corrupt`],
    /// [`StoreError::InUse`] or [`StoreError::Io`]; the file stays, see
    /// [`Journal::open`](crate::Journal::open).
    pub fn open(
        directory: impl AsRef<Path>,
        mode: CacheMode,
        max_bytes: u64,
    ) -> Result<Option<Self>, StoreError> {
        let directory = directory.as_ref();
        let path = directory.join(FILE);
        let bound = match mode {
            CacheMode::Off => return Ok(None),
            CacheMode::Read if !path.exists() => return Ok(None),
            CacheMode::Read => None,
            CacheMode::ReadWrite => Some(max_bytes),
        };
        if !path.exists() {
            create_private(directory).map_err(StoreError::io("creating", directory))?;
            match ReplyDatabase::create(&path, StoreKind::Cache) {
                // Another run was faster, and what it made serves both.
                Err(_) if path.exists() => {}
                created => created?,
            }
        }
        let replies = Replies::open(&path, StoreKind::Cache, bound)?;
        Ok(Some(Self { replies, mode, broken: Arc::default(), flights: Flights::default() }))
    }

    /// Whether replies are added.
    pub fn mode(&self) -> CacheMode {
        self.mode
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.replies.path()
    }

    /// How many replies are kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Read`], or what broke the cache earlier.
    pub async fn len(&self) -> Result<u64, StoreError> {
        self.replies.len().await
    }

    /// Whether no reply is kept.
    ///
    /// # Errors
    ///
    /// As [`Cache::len`].
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len().await? == 0)
    }

    /// The reply to a call. `None` once the cache is broken: the run does without.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when what is kept is not what was written, and [`StoreError::Read`].
    pub async fn get(&self, key: &ContentHash) -> Result<Option<LmReply>, StoreError> {
        if self.broken.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.replies.get(key).await
    }

    /// Adds a reply, where the mode allows it. Unlike a journal a cache may fail: that is logged
    /// once, and the run goes on without it.
    pub async fn put(&self, key: &ContentHash, reply: &LmReply) {
        if self.mode != CacheMode::ReadWrite || self.broken.load(Ordering::Relaxed) {
            return;
        }
        match self.replies.put(key, reply).await {
            Ok(()) | Err(StoreError::TooLarge { .. }) => {}
            Err(error) => {
                if !self.broken.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the cache takes no more replies; the run goes on without it");
                }
            }
        }
    }
}

/// Creates a directory for its owner alone. One that is there keeps its permissions: it may be shared.
fn create_private(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cache").field("path", &self.path()).finish_non_exhaustive()
    }
}
