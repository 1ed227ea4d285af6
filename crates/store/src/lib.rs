//! Keeps every reply of a language model that was paid for, so that a killed run goes on without paying again.
//!
//! [`StoredModel`] stands around a model and puts every reply into a [`Journal`] on the disk before anybody sees it.
//! All else in a run of an optimizer is a function of replies. So to resume is to run the same optimizer again over the
//! same journal: what was paid comes back from it, with the same usage, and the outcome is the same to the byte. A
//! [`Cache`] shares replies between runs, within a bound.
//!
//! A [`RunDirectory`] holds the journal together with what the run was started with, its events and its results, under
//! a lock. Changed data, settings or program are refused with what differs. [`write_atomically`] replaces a file whole,
//! and a [`Redactor`] keeps secrets out of all of this.
//!
//! In [promptopt](https://docs.rs/promptopt) this is the feature `store`. It works around any
//! [`LanguageModel`](promptopt_core::lm::LanguageModel), without an optimizer, and on any async runtime.
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::data::ContentHash;
//! use promptopt_core::lm::{Attempts, LanguageModel, LmRequest, Message};
//! use promptopt_store::{Manifest, Redactor, RunDirectory, StoredModel};
//!
//! /// Asks in a run that may have been started before. What was answered then is not asked again.
//! async fn ask(model: Arc<dyn LanguageModel>, path: &str) -> Result<u64, Box<dyn std::error::Error>> {
//!     let (data, program) = (ContentHash::of("data"), ContentHash::of("program"));
//!     let settings = serde_json::json!({"trials": 20});
//!     let manifest = Manifest::new(settings, data, program, 7, "2026-01-01T00:00:00Z");
//!
//!     let run = if std::path::Path::new(path).join("run.json").exists() {
//!         RunDirectory::open(path, Redactor::default())?
//!     } else {
//!         RunDirectory::create(path, &manifest, Redactor::default())?
//!     };
//!     run.check(&manifest)?;
//!
//!     let model = StoredModel::new(model, Some(run.journal().clone()), None);
//!     let request = LmRequest::new(vec![Message::user("2 + 2?")]);
//!     println!("{}", model.complete(&request, &Attempts::any()).await?.first_text());
//!     Ok(model.stats().paid.calls)
//! }
//! # use promptopt_core::lm::{LmReply, lm_fn};
//! # use promptopt_core::money::Usage;
//! # let model = Arc::new(lm_fn("paid", |_: LmRequest| async { Ok(LmReply::text("four", Usage::call(9, 1))) }));
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("run").display().to_string();
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # assert_eq!(runtime.block_on(ask(model.clone(), &path))?, 1);
//! # assert_eq!(runtime.block_on(ask(model, &path))?, 0);
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
//!
//! There are no cargo features.

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
