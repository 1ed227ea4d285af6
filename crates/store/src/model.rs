//! The model that never pays twice.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::join;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::Usage;
use promptopt_core::program::Layer;

use crate::flights::Flights;
use crate::{Cache, CacheMode, Journal, Redactor, StoreError, reply_key};

/// Where the replies of a model came from, and what each share cost or would have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredStats {
    /// Calls that were made now.
    pub paid: Usage,
    /// Calls whose replies were in the journal.
    pub replayed: Usage,
    /// Calls whose replies were in the cache.
    pub cached: Usage,
    /// Calls that took part in an identical one that was under way.
    pub shared: Usage,
}

/// A language model that looks for each reply in a journal, then in a cache, before it asks; and that
/// keeps what it paid for before handing it on.
///
/// - A reply that was found has the same [`Usage`] as when it was paid, so a run that is replayed
///   spends the same budget and comes to the same outcome. [`StoredModel::stats`] tells apart what was
///   really paid.
/// - Identical requests that are under way share one call. When whoever began it is dropped, the
///   others carry it on. An error goes to all of them and is never kept. Where replies are not kept
///   at all, nothing is shared either, because timing would then decide how many draws a program gets.
/// - Secrets that a reply echoes are replaced before it is kept *and* before it is handed on, so
///   that a paid reply and a replayed one are equal.
/// - A reply that was paid but cannot be kept is an error that ends the run
///   ([`LmError::is_fatal`]), and no further call is made.
pub struct StoredModel(Arc<Inner>);

struct Inner {
    model: Arc<dyn LanguageModel>,
    profile: ModelProfile,
    journal: Option<Journal>,
    cache: Option<Cache>,
    redactor: Redactor,
    flights: Flights,
    stats: Mutex<StoredStats>,
}

impl StoredModel {
    /// `model` with a journal, a cache, or both. Secrets are those of the journal.
    ///
    /// Models on one journal (or, without journals, on one cache) share what is under way.
    pub fn new(model: Arc<dyn LanguageModel>, journal: Option<Journal>, cache: Option<Cache>) -> Self {
        let redactor = journal.as_ref().map(|journal| journal.secrets().clone()).unwrap_or_default();
        Self::with_redactor(model, journal, cache, redactor)
    }

    /// The same with secrets of its own.
    pub fn with_redactor(
        model: Arc<dyn LanguageModel>,
        journal: Option<Journal>,
        cache: Option<Cache>,
        redactor: Redactor,
    ) -> Self {
        let flights = match (&journal, &cache) {
            (Some(journal), _) => journal.flights.clone(),
            (None, Some(cache)) => cache.flights.clone(),
            (None, None) => Flights::default(),
        };
        let (profile, stats) = (model.profile(), Mutex::default());
        Self(Arc::new(Inner { model, profile, journal, cache, redactor, flights, stats }))
    }

    /// Where the replies so far came from.
    pub fn stats(&self) -> StoredStats {
        self.0.count(|stats| *stats)
    }
}

/// A journal around the calls that a program makes with a client of its own (`CallContext::metered_kept`).
impl Layer for Journal {
    fn around(&self, model: Arc<dyn LanguageModel>) -> Arc<dyn LanguageModel> {
        Arc::new(StoredModel::new(model, Some(self.clone()), None))
    }
}

#[async_trait]
impl LanguageModel for StoredModel {
    fn profile(&self) -> ModelProfile {
        self.0.profile.clone()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let inner = &self.0;
        let key = reply_key(&inner.profile.id, request);
        if !inner.keeps() {
            return inner.reply(key, request, attempts).await;
        }
        let (flight, begun) = inner.flights.join(key, || {
            let (inner, request, attempts) = (Arc::clone(inner), request.clone(), attempts.clone());
            async move { inner.reply(key, &request, &attempts).await }.boxed()
        });
        let reply = flight.await?;
        if !begun {
            inner.count(|stats| stats.shared += reply.usage);
        }
        Ok(reply)
    }
}

impl Inner {
    /// Whether the next identical request will find the reply.
    fn keeps(&self) -> bool {
        self.journal.is_some()
            || self.cache.as_ref().is_some_and(|cache| cache.mode() == CacheMode::ReadWrite)
    }

    async fn reply(
        &self,
        key: ContentHash,
        request: &LmRequest,
        attempts: &Attempts,
    ) -> Result<LmReply, LmError> {
        if let Some(journal) = &self.journal
            && let Some(reply) = journal.get(&key).await.map_err(|error| before_call(&error))?
        {
            self.count(|stats| stats.replayed += reply.usage);
            return Ok(reply);
        }
        if let Some(cache) = &self.cache
            && let Some(mut reply) = cache.get(&key).await.map_err(|error| before_call(&error))?
        {
            // Another run may have had other secrets.
            self.redactor.redact_reply(&mut reply);
            self.count(|stats| stats.cached += reply.usage);
            self.keep(&key, &reply, false).await?;
            return Ok(reply);
        }
        let mut reply = self.model.complete(request, attempts).await?;
        self.redactor.redact_reply(&mut reply);
        self.count(|stats| stats.paid += reply.usage);
        self.keep(&key, &reply, true).await?;
        Ok(reply)
    }

    /// Keeps a reply wherever it is to be kept. Both writes are handed over in the poll that brought
    /// the reply, so that dropping the call afterwards does not lose it.
    async fn keep(&self, key: &ContentHash, reply: &LmReply, paid: bool) -> Result<(), LmError> {
        let journal = async {
            match &self.journal {
                Some(journal) => journal.put(key, reply.clone()).await,
                None => Ok(()),
            }
        };
        let cache = async {
            if let Some(cache) = self.cache.as_ref().filter(|_| paid) {
                cache.put(key, reply).await;
            }
        };
        join(journal, cache).await.0.map_err(|error| after_call(&error))
    }

    fn count<T>(&self, work: impl FnOnce(&mut StoredStats) -> T) -> T {
        work(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the run hears when the store fails before a call: nothing was paid.
fn before_call(error: &StoreError) -> LmError {
    LmError::Store { message: format!("no call was made, because {error}") }
}

/// What the run hears when a reply is there but cannot be kept.
fn after_call(error: &StoreError) -> LmError {
    match error {
        StoreError::TooLarge { limit, .. } => {
            LmError::TooLarge { limit: usize::try_from(*limit).unwrap_or(usize::MAX) }
        }
        other => LmError::Store {
            message: format!(
                "a reply that was paid for could not be kept and is not used, and no more calls are made: {other}"
            ),
        },
    }
}

impl fmt::Debug for StoredModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StoredModel").field("id", &self.0.profile.id).finish_non_exhaustive()
    }
}
