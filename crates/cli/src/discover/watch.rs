//! The calls of a program, as they are made.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::data::Fields;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The model that the program asked for.
    pub(crate) model: String,
    /// Whether it asked for embeddings.
    pub(crate) embeds: bool,
    pub(crate) request: LmRequest,
    /// The reply, or why there is none; `None` while nobody has answered.
    pub(crate) result: Option<Result<LmReply, String>>,
}

/// What a program did with one row.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) inputs: Fields,
    pub(crate) calls: Vec<Call>,
    /// What it answered, or why it did not.
    pub(crate) answer: Result<Fields, String>,
    /// Whether what it answered is no answer to this signature, while all else went well.
    pub(crate) is_unusable: bool,
}

/// Keeps the calls that are made.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Vec<Call>>);

impl Watch {
    /// A model whose calls are kept here; `name` is what the program asked for.
    pub(crate) fn around(
        self: &Arc<Self>,
        model: Arc<dyn LanguageModel>,
        name: &str,
        embeds: bool,
    ) -> Arc<dyn LanguageModel> {
        Arc::new(Watched { model, name: name.to_owned(), embeds, watch: Arc::clone(self) })
    }

    /// Hands the calls over, in the order in which they began.
    pub(crate) fn take(&self) -> Vec<Call> {
        self.with(std::mem::take)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Call>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Watched {
    model: Arc<dyn LanguageModel>,
    name: String,
    embeds: bool,
    watch: Arc<Watch>,
}

#[async_trait]
impl LanguageModel for Watched {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let call =
            Call { model: self.name.clone(), embeds: self.embeds, request: request.clone(), result: None };
        let at = self.watch.with(|calls| {
            calls.push(call);
            calls.len() - 1
        });
        let result = self.model.complete(request, attempts).await;
        let kept = result.clone().map_err(|error| error.to_string());
        self.watch.with(|calls| {
            if let Some(call) = calls.get_mut(at) {
                call.result = Some(kept);
            }
        });
        result
    }
}
