//! The handle of an open database: a thread of its own does all that blocks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use futures_channel::oneshot;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmReply;

use crate::database::{Entry, ReplyDatabase};
use crate::record::{self, MAX_REPLY_BYTES, Unkept};
use crate::{StoreError, StoreKind};

/// How many jobs share one transaction at most.
const GROUP: usize = 1024;

/// Replies by key in one database file. Clones share the file; it is closed with the last of them.
///
/// A thread owns the file. Whatever puts are waiting when it comes round share one transaction,
/// so many calls in flight cost one flush to the disk and not one each.
#[derive(Clone)]
pub(crate) struct Replies(Arc<Shared>);

struct Shared {
    path: PathBuf,
    at_open: u64,
    /// The way to the thread that owns the file, until this is dropped.
    thread: Mutex<Option<(mpsc::Sender<Job>, JoinHandle<()>)>>,
}

enum Job {
    Get(Vec<u8>, oneshot::Sender<Result<Option<Vec<u8>>, StoreError>>),
    Len(oneshot::Sender<Result<u64, StoreError>>),
    Put(Entry, oneshot::Sender<Result<(), StoreError>>),
}

impl Replies {
    /// Opens a file. Blocks until it is checked.
    pub(crate) fn open(path: &Path, kind: StoreKind, max_bytes: Option<u64>) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel();
        let (opened, opening) = mpsc::channel();
        let owned = path.to_owned();
        let work = move || {
            let open = ReplyDatabase::open(&owned, kind, max_bytes)
                .and_then(|database| database.len().map(|replies| (database, replies)));
            // Nobody listens only when the opener is gone, and then nobody cares.
            match open {
                Err(error) => drop(opened.send(Err(error))),
                Ok((database, replies)) => {
                    let _ = opened.send(Ok(replies));
                    serve(&database, &owned, &waiting);
                }
            }
        };
        let thread = thread::Builder::new()
            .name(format!("promptopt-{kind}"))
            .spawn(work)
            .map_err(StoreError::io("starting the thread for", path))?;
        // A thread that ends without a word met something in the file that the database did not
        // expect.
        let outcome = opening
            .recv()
            .unwrap_or_else(|_| Err(StoreError::corrupt(path, "the database failed while opening it")));
        let at_open = match outcome {
            Ok(replies) => replies,
            Err(error) => {
                let _ = thread.join();
                return Err(error);
            }
        };
        let thread = Mutex::new(Some((jobs, thread)));
        Ok(Self(Arc::new(Shared { path: path.to_owned(), at_open, thread })))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn at_open(&self) -> u64 {
        self.0.at_open
    }

    pub(crate) async fn len(&self) -> Result<u64, StoreError> {
        self.ask(Job::Len).await
    }

    pub(crate) async fn get(&self, key: &ContentHash) -> Result<Option<LmReply>, StoreError> {
        let record = self.ask(|done| Job::Get(key.as_bytes().to_vec(), done)).await?;
        let decode = |record: Vec<u8>| record::decode(key, &record);
        record.map(decode).transpose().map_err(|reason| StoreError::corrupt(self.path(), reason))
    }

    /// Keeps a reply under its key, unless the key is known already. It is on the disk when this
    /// completes, and it will be there even if the future is dropped after its first poll.
    pub(crate) async fn put(&self, key: &ContentHash, reply: &LmReply) -> Result<(), StoreError> {
        let record = record::encode(key, reply).map_err(|unkept| match unkept {
            Unkept::TooLarge(size) => StoreError::TooLarge {
                what: "a reply",
                path: self.path().to_owned(),
                size: size as u64,
                limit: MAX_REPLY_BYTES as u64,
            },
            Unkept::NoJson(reason) => StoreError::Write { path: self.path().to_owned(), reason },
        })?;
        self.ask(|done| Job::Put(Entry { key: key.as_bytes().to_vec(), record }, done)).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        if let Some((jobs, _)) = &*self.0.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            // A failed send drops the job, which its sender hears of.
            let _ = jobs.send(job(done));
        }
        // A job that is dropped unanswered means that the thread is gone.
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::Read {
                path: self.path().to_owned(),
                reason: "the database failed earlier in this run".to_owned(),
            })
        })
    }
}

impl Drop for Shared {
    /// Waits until the thread has written what is waiting and has closed the file, so that it can
    /// be opened again at once.
    fn drop(&mut self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((jobs, thread)) = thread {
            drop(jobs);
            let _ = thread.join();
        }
    }
}

fn serve(database: &ReplyDatabase, path: &Path, waiting: &mpsc::Receiver<Job>) {
    // Once a write failed, nothing more is bought: a reply could not be kept.
    let mut broken: Option<String> = None;
    while let Ok(first) = waiting.recv() {
        let mut entries = Vec::new();
        let mut waiters = Vec::new();
        for job in std::iter::once(first).chain(waiting.try_iter().take(GROUP)) {
            match (job, &broken) {
                (Job::Get(_, done), Some(reason)) => answer(done, Err(failed(path, reason))),
                (Job::Len(done), Some(reason)) => answer(done, Err(failed(path, reason))),
                (Job::Put(_, done), Some(reason)) => answer(done, Err(failed(path, reason))),
                (Job::Get(key, done), None) => answer(done, database.get(&key)),
                (Job::Len(done), None) => answer(done, database.len()),
                (Job::Put(entry, done), None) => {
                    entries.push(entry);
                    waiters.push(done);
                }
            }
        }
        if entries.is_empty() {
            continue;
        }
        let outcome = database.put_all(&entries).map_err(|error| match error {
            StoreError::Write { reason, .. } | StoreError::Corrupt { reason, .. } => reason,
            other => other.to_string(),
        });
        for done in waiters {
            answer(done, outcome.as_ref().copied().map_err(|reason| failed(path, reason)));
        }
        broken = outcome.err();
    }
}

fn failed(path: &Path, reason: &str) -> StoreError {
    StoreError::Write { path: path.to_owned(), reason: reason.to_owned() }
}

/// Hands an answer over; whoever asked may have gone.
fn answer<T>(done: oneshot::Sender<T>, value: T) {
    let _ = done.send(value);
}
