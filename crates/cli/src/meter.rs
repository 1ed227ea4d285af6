//! What is under way and what was spent, as seen by the models themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::{Money, Price, Prices};

/// Counts calls and tokens of the models of one run.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    in_flight: AtomicU64,
    all: Count,
    judges: Count,
    nanos: AtomicU64,
}

#[derive(Debug, Default)]
struct Count {
    calls: AtomicU64,
    tokens: AtomicU64,
}

impl Gauge {
    /// Calls under way now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Calls that came to an end, failed ones included.
    pub(crate) fn calls(&self) -> u64 {
        self.all.calls.load(Ordering::Relaxed)
    }

    /// Tokens read and written.
    pub(crate) fn tokens(&self) -> u64 {
        self.all.tokens.load(Ordering::Relaxed)
    }

    /// What these calls cost, as far as their prices are known.
    pub(crate) fn money(&self) -> Money {
        Money::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// The calls of judges among them.
    pub(crate) fn judge_calls(&self) -> u64 {
        self.judges.calls.load(Ordering::Relaxed)
    }

    /// The tokens of judges among them.
    pub(crate) fn judge_tokens(&self) -> u64 {
        self.judges.tokens.load(Ordering::Relaxed)
    }

    /// Sets what was counted.
    #[cfg(test)]
    pub(crate) fn count(&self, calls: u64, in_flight: u64, tokens: u64) {
        self.all.calls.store(calls, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.all.tokens.store(tokens, Ordering::Relaxed);
    }

    fn counts(&self, of_judge: bool) -> impl Iterator<Item = &Count> {
        std::iter::once(&self.all).chain(of_judge.then_some(&self.judges))
    }
}

/// A model whose calls are counted.
pub(crate) struct Metered {
    model: Arc<dyn LanguageModel>,
    gauge: Arc<Gauge>,
    price: Option<Price>,
    is_judge: bool,
}

impl Metered {
    /// Counts the calls of a model.
    pub(crate) fn around(model: Arc<dyn LanguageModel>, gauge: &Arc<Gauge>, prices: &Prices) -> Self {
        let price = model.profile().price_in(prices);
        Self { model, gauge: Arc::clone(gauge), price, is_judge: false }
    }

    /// The same for a judge.
    pub(crate) fn judging(self) -> Self {
        Self { is_judge: true, ..self }
    }
}

/// Counts a call down however it ends.
struct InFlight<'a>(&'a Metered);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let Metered { gauge, is_judge, .. } = self.0;
        gauge.in_flight.fetch_sub(1, Ordering::Relaxed);
        gauge.counts(*is_judge).for_each(|count| _ = count.calls.fetch_add(1, Ordering::Relaxed));
    }
}

#[async_trait]
impl LanguageModel for Metered {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let gauge = &self.gauge;
        gauge.in_flight.fetch_add(1, Ordering::Relaxed);
        let _in_flight = InFlight(self);
        let reply = self.model.complete(request, attempts).await?;
        let tokens = reply.usage.total_tokens();
        gauge.counts(self.is_judge).for_each(|count| _ = count.tokens.fetch_add(tokens, Ordering::Relaxed));
        let cost = self.price.map_or(reply.usage, |price| price.priced(reply.usage)).money;
        gauge.nanos.fetch_add(cost.unwrap_or_default().as_nanos(), Ordering::Relaxed);
        Ok(reply)
    }
}
