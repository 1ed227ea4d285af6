//! Nothing is paid twice: durable replies, the journal of a run, resume, and a cache that runs share.
//!
//! The unit of durability is one completed call of a language model. [`StoredModel`] stands around
//! a model and puts every reply into the [`Journal`] before anybody sees it. All else in a run is a
//! function of replies, so to resume is to run the same optimizer again over the same journal: what
//! was paid comes back from it, with the same usage, and the outcome is the same to the byte.
//!
//! A [`RunDirectory`] holds the journal together with what the run was started with, its events
//! and its results, under a lock; changed data, configuration or program is refused with what differs.
//! A [`Cache`] shares replies between runs, within a bound. [`write_atomically`] replaces a file
//! whole, and a [`Redactor`] keeps secrets out of all of this.
//!
//! ```
//! # use std::sync::Arc;
//! # use futures_util::FutureExt as _;
//! use promptopt_core::data::ContentHash;
//! use promptopt_core::lm::{Attempts, LanguageModel as _, LmReply, LmRequest, Message, lm_fn};
//! use promptopt_core::money::Usage;
//! use promptopt_store::{Manifest, Redactor, RunDirectory, StoredModel};
//!
//! let paid = Arc::new(lm_fn("paid", |_| async { Ok(LmReply::text("four", Usage::call(9, 1))) }));
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("run");
//! # let (data, program) = (ContentHash::of("data"), ContentHash::of("program"));
//! let manifest = Manifest::new(serde_json::json!({"trials": 20}), data, program, 7, "2026-01-01T00:00:00Z");
//! let request = LmRequest::new(vec![Message::user("2 + 2?")]);
//!
//! let run = RunDirectory::create(&path, &manifest, Redactor::default())?;
//! let model = StoredModel::new(paid.clone(), Some(run.journal().clone()), None);
//! # let block_on = |future| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
//! let first = block_on(model.complete(&request, &Attempts::any()))?;
//! assert_eq!(model.stats().paid, Usage::call(9, 1));
//! drop((model, run)); // the process ends here
//!
//! let run = RunDirectory::open(&path, Redactor::default())?;
//! run.check(&manifest)?;
//! let model = StoredModel::new(paid, Some(run.journal().clone()), None);
//! # let block_on = |future| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
//! assert_eq!(block_on(model.complete(&request, &Attempts::any()))?, first);
//! assert_eq!((model.stats().paid.calls, model.stats().replayed.calls), (0, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! - A reply that was handed on is on the disk. Many replies at once share one flush.
//! - No call of a model blocks the async runtime: each open database has a thread of its own. What is
//!   not `async` here does block, mostly for the time of a flush: opening, creating, writing results,
//!   and dropping the last handle of a database.
//! - A key is a hash, and holds nothing private. A reply is kept as it was, apart from secrets, with a
//!   checksum; one that is not as it was written is an error, never a wrong reply.
//! - A file that is damaged, of a newer promptopt, or no database at all is an error that names it
//!   and says what to do. It is never removed or replaced.

mod cache;
mod database;
mod directory;
mod error;
mod events;
mod files;
mod flights;
mod journal;
mod key;
mod manifest;
mod model;
mod record;
mod replies;

pub use cache::{Cache, CacheMode};
pub use directory::RunDirectory;
pub use error::{StoreError, StoreKind};
pub use events::EventLog;
pub use files::{check_replaceable, write_atomically};
pub use journal::Journal;
pub use key::reply_key;
pub use manifest::{Difference, Manifest};
pub use model::{StoredModel, StoredStats};
pub use promptopt_core::secret::Redactor;
pub use record::MAX_REPLY_BYTES;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
