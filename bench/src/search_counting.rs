//! A model whose calls are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promptopt_core::lm::LanguageModel;
use promptopt_testkit::around;

/// How often a model was called so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<AtomicU64>);

impl Calls {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A model, and how often it is called. A request for several completions is one call.
pub(crate) fn counted(model: Arc<dyn LanguageModel>) -> (Arc<dyn LanguageModel>, Calls) {
    let calls = Calls::default();
    let count = Arc::clone(&calls.0);
    let counted = around(model, move |next, request| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { next.complete(&request).await }
    });
    (Arc::new(counted), calls)
}
