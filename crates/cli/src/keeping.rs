//! What stands between a run and its models: the journal, the cache, and the end of a run that is
//! interrupted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::Usage;
use promptopt_core::program::Cancellation;
use promptopt_store::{Cache, CacheMode, Journal, Redactor, StoredModel, StoredStats};
use tokio::sync::Notify;

use crate::args::RunArgs;
use crate::run_clock::{Called, RunClock};
use crate::task_file::TaskFile;

/// Megabytes of a cache when the task file says nothing else.
const CACHE_MB: u64 = 1024;

/// Where replies are kept and found again.
#[derive(Default)]
pub(crate) struct Keeping {
    journal: Option<Journal>,
    cache: Option<Cache>,
    redactor: Redactor,
    cancellation: Cancellation,
    requests: Arc<Requests>,
    clock: Option<RunClock>,
    models: Vec<Arc<StoredModel>>,
}

impl Keeping {
    /// Replies are kept in a journal, where there is one, and in the cache that the user asks for.
    pub(crate) fn new(
        journal: Option<Journal>,
        redactor: Redactor,
        task: &TaskFile,
        args: &RunArgs,
        cancellation: Cancellation,
    ) -> anyhow::Result<Self> {
        let cache = open_cache(task, args)?;
        Ok(Self { journal, cache, redactor, cancellation, ..Self::default() })
    }

    /// The same with a clock that hears of replies and calls.
    pub(crate) fn with_clock(self, clock: RunClock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// A model whose replies are kept; the model itself where none are.
    pub(crate) fn around(&mut self, model: Arc<dyn LanguageModel>) -> Arc<dyn LanguageModel> {
        if self.journal.is_none() && self.cache.is_none() {
            return model;
        }
        let called: Arc<dyn LanguageModel> = match self.clock.clone() {
            Some(clock) => Arc::new(Called { model, clock }),
            None => model,
        };
        let stored = Arc::new(StoredModel::with_redactor(
            called,
            self.journal.clone(),
            self.cache.clone(),
            self.redactor.clone(),
        ));
        self.models.push(Arc::clone(&stored));
        Arc::new(Settling {
            model: stored,
            requests: Arc::clone(&self.requests),
            clock: self.clock.clone(),
            cancellation: self.cancellation.clone(),
        })
    }

    /// Where the replies of all models came from.
    pub(crate) fn stats(&self) -> StoredStats {
        let add = |sum: &mut Usage, more: Usage| *sum += more;
        self.models.iter().map(|model| model.stats()).fold(StoredStats::default(), |mut sum, one| {
            add(&mut sum.paid, one.paid);
            add(&mut sum.replayed, one.replayed);
            add(&mut sum.cached, one.cached);
            add(&mut sum.shared, one.shared);
            sum
        })
    }

    /// Waits for the replies to requests that had left when the run was interrupted, so that what is paid is
    /// kept; for as long as this at most. Says how many are still out.
    pub(crate) async fn settle(&self, grace: Duration) -> usize {
        // Running out of grace is no failure: what is still out is counted.
        let _ = tokio::time::timeout(grace, self.requests.none_left()).await;
        self.requests.count()
    }
}

fn open_cache(task: &TaskFile, args: &RunArgs) -> anyhow::Result<Option<Cache>> {
    let section = task.cache.as_ref();
    let folder = args.cache.as_deref().or(section.map(|section| section.dir.as_path()));
    let Some(folder) = folder else {
        if args.cache_mode.is_some_and(|mode| mode != CacheMode::Off) {
            anyhow::bail!("--cache-mode needs a cache: name its folder with --cache, or in `[cache]`");
        }
        return Ok(None);
    };
    let of_file = section.and_then(|section| section.mode).filter(|_| args.cache.is_none());
    let mode = args.cache_mode.or(of_file).unwrap_or(CacheMode::ReadWrite);
    let megabytes = section.and_then(|section| section.max_mb).unwrap_or(CACHE_MB);
    open_in(folder, mode, megabytes)
}

fn open_in(folder: &Path, mode: CacheMode, megabytes: u64) -> anyhow::Result<Option<Cache>> {
    Cache::open(folder, mode, megabytes.saturating_mul(1_000_000))
        .with_context(|| format!("opening the cache in {}", folder.display()))
}

/// Requests that have left.
#[derive(Default)]
struct Requests {
    count: AtomicUsize,
    changed: Notify,
}

impl Requests {
    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    async fn none_left(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// One request that has left; gone however it ends.
struct Out(Arc<Requests>);

impl Out {
    fn begin(all: &Arc<Requests>) -> Self {
        all.count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(all))
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

/// A model whose calls go on to their reply when nobody waits for it any more, so that it is kept.
struct Settling {
    model: Arc<StoredModel>,
    requests: Arc<Requests>,
    clock: Option<RunClock>,
    cancellation: Cancellation,
}

#[async_trait]
impl LanguageModel for Settling {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        if self.cancellation.is_cancelled() {
            return Err(LmError::Cancelled);
        }
        let (model, cancellation) = (Arc::clone(&self.model), self.cancellation.clone());
        let (request, asked) = (request.clone(), attempts.clone());
        let attempts = Attempts::asking(move || !cancellation.is_cancelled() && asked.another());
        let out = Out::begin(&self.requests);
        let call = async move {
            let _out = out;
            model.complete(&request, &attempts).await
        };
        // It stays the call of a worker that asked for it.
        #[cfg(feature = "fleet")]
        let call = promptopt_fleet::OnWorkers::carried(call);
        let call = tokio::spawn(call);
        match call.await {
            Ok(reply) => {
                if let Some(clock) = &self.clock {
                    clock.replied();
                }
                reply
            }
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => Err(LmError::Cancelled),
        }
    }
}
