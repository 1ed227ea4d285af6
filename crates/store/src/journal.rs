//! The journal of one run: every reply it paid for.

use std::fmt;
use std::path::Path;

use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmReply;

use crate::database::ReplyDatabase;
use crate::flights::Flights;
use crate::replies::Replies;
use crate::{Redactor, StoreError, StoreKind};

/// The replies of one run, durable and found again by their key. Clones share the file, which is
/// closed with the last of them; dropping that one waits for the thread that owns the file.
///
/// Only one process, and only one journal in it, can have a file open.
#[derive(Clone)]
pub struct Journal {
    replies: Replies,
    redactor: Redactor,
    pub(crate) flights: Flights,
}

impl Journal {
    /// Creates a new journal file. Blocks until it is on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when the file is there already or cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        ReplyDatabase::create(path, StoreKind::Journal)?;
        Self::open(path)
    }

    /// Opens an existing journal file. Blocks until all of it is checked.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotADatabase`], [`StoreError::Newer`], [`StoreError::Corrupt`],
    /// [`StoreError::InUse`] or [`StoreError::Io`]. The file is never removed or replaced; what the
    /// database did to repair it before it found the damage stays.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let replies = Replies::open(path.as_ref(), StoreKind::Journal, None)?;
        Ok(Self { replies, redactor: Redactor::default(), flights: Flights::default() })
    }

    /// Removes secrets from replies before they are kept and before they are used.
    #[must_use]
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.replies.path()
    }

    /// How many replies there were when the file was opened: what a resumed run has already.
    pub fn replies_at_open(&self) -> u64 {
        self.replies.at_open()
    }

    /// How many replies are kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Read`], or what broke the journal earlier.
    pub async fn len(&self) -> Result<u64, StoreError> {
        self.replies.len().await
    }

    /// Whether no reply is kept.
    ///
    /// # Errors
    ///
    /// As [`Journal::len`].
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len().await? == 0)
    }

    /// The reply to a call.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when what is kept is not what was written, [`StoreError::Read`], or
    /// what broke the journal earlier.
    pub async fn get(&self, key: &ContentHash) -> Result<Option<LmReply>, StoreError> {
        self.replies.get(key).await
    }

    /// Keeps the reply to a call, without its secrets; the first reply to a call stays. It is on the
    /// disk when this completes, and will be even if the future is dropped after its first poll.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] above [`MAX_REPLY_BYTES`](crate::MAX_REPLY_BYTES).
    /// [`StoreError::Write`] when the disk does not take it; after that the journal answers nothing
    /// but this error, so that nothing is paid that could not be kept.
    pub async fn put(&self, key: &ContentHash, mut reply: LmReply) -> Result<(), StoreError> {
        self.redactor.redact_reply(&mut reply);
        self.replies.put(key, &reply).await
    }

    pub(crate) fn secrets(&self) -> &Redactor {
        &self.redactor
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Journal").field("path", &self.path()).finish_non_exhaustive()
    }
}
