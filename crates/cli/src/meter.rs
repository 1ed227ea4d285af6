//! What is under way and what was spent, as seen by the models themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use promptopt_core::{LanguageModel, LmError, LmReply, LmRequest, Money, Price, Prices};

/// Counts calls and tokens. Shared by the models of one run.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    in_flight: AtomicU64,
    calls: AtomicU64,
    tokens: AtomicU64,
    nanos: AtomicU64,
}

impl Gauge {
    /// Calls under way now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Calls that came to an end, failed ones included.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// What these calls cost, as far as their prices are known.
    pub(crate) fn money(&self) -> Money {
        Money::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// Sets what was counted.
    #[cfg(test)]
    pub(crate) fn count(&self, calls: u64, in_flight: u64, tokens: u64) {
        self.calls.store(calls, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.tokens.store(tokens, Ordering::Relaxed);
    }

    /// Tokens read and written.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }
}

/// A model whose calls are counted.
pub(crate) struct Metered {
    model: Arc<dyn LanguageModel>,
    gauge: Arc<Gauge>,
    price: Option<Price>,
}

impl Metered {
    /// Counts the calls of `model`; what they cost is by `prices`, or else by the model.
    pub(crate) fn around(
        model: Arc<dyn LanguageModel>,
        gauge: &Arc<Gauge>,
        prices: &Prices,
    ) -> Arc<dyn LanguageModel> {
        let price = prices.find(&model.id()).or_else(|| model.price());
        Arc::new(Self { model, gauge: Arc::clone(gauge), price })
    }
}

/// Counts a call down however it ends.
struct UnderWay<'a>(&'a Gauge);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl LanguageModel for Metered {
    fn id(&self) -> String {
        self.model.id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        self.gauge.in_flight.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(&self.gauge);
        let reply = self.model.complete(request).await?;
        self.gauge.tokens.fetch_add(reply.usage.total_tokens(), Ordering::Relaxed);
        let cost = self.price.map_or(reply.usage, |price| price.priced(reply.usage)).money;
        self.gauge.nanos.fetch_add(cost.unwrap_or_default().as_nanos(), Ordering::Relaxed);
        Ok(reply)
    }

    fn max_attempts_billed(&self) -> u32 {
        self.model.max_attempts_billed()
    }

    fn count_tokens(&self, request: &LmRequest) -> Option<u64> {
        self.model.count_tokens(request)
    }

    fn max_tokens(&self) -> Option<u32> {
        self.model.max_tokens()
    }

    fn price(&self) -> Option<Price> {
        self.model.price()
    }
}
