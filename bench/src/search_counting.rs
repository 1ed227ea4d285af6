//! A model whose calls are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use promptopt_core::{LanguageModel, LmError, LmReply, LmRequest, Price};

/// A model, and how often it was called. A request for several completions is one call.
pub(crate) struct Counting {
    model: Arc<dyn LanguageModel>,
    calls: AtomicU64,
}

impl Counting {
    pub(crate) fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self { model, calls: AtomicU64::new(0) }
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl LanguageModel for Counting {
    fn id(&self) -> String {
        self.model.id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.model.complete(request).await
    }

    fn price(&self) -> Option<Price> {
        self.model.price()
    }
}
