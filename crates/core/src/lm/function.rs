//! Closures as language models, and around them.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, Tell};

/// A closure as a language model; see [`lm_fn`].
#[derive(Debug, Clone)]
pub struct LmFn<F> {
    profile: ModelProfile,
    complete: F,
}

/// Makes a language model of a closure that takes a request and gives a reply. The first argument is the model's
/// id, or its whole [`ModelProfile`]. What it thinks aloud in a reply is taken out where a program gets it, see
/// [`LmReply::read`].
///
/// ```
/// use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
/// use promptopt_core::money::Usage;
///
/// let echo = lm_fn("echo", |request: LmRequest| async move {
///     let last = request.messages.last().map_or("", |message| message.text());
///     Ok(LmReply::text(last.to_uppercase(), Usage::call(1, 1)))
/// });
/// # let _: &dyn promptopt_core::lm::LanguageModel = &echo;
/// ```
pub fn lm_fn<F, R>(profile: impl Into<ModelProfile>, complete: F) -> LmFn<F>
where
    F: Fn(LmRequest) -> R + Send + Sync,
    R: Future<Output = Result<LmReply, LmError>> + Send,
{
    LmFn { profile: profile.into(), complete }
}

impl From<&str> for ModelProfile {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for ModelProfile {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

#[async_trait]
impl<F, R> LanguageModel for LmFn<F>
where
    F: Fn(LmRequest) -> R + Send + Sync,
    R: Future<Output = Result<LmReply, LmError>> + Send,
{
    fn profile(&self) -> ModelProfile {
        self.profile.clone()
    }

    async fn complete(&self, request: &LmRequest, _attempts: &Attempts) -> Result<LmReply, LmError> {
        (self.complete)(request.clone()).await
    }
}

/// A model whose requests are changed on their way; see [`with_requests`].
pub struct WithRequests<F> {
    model: Arc<dyn LanguageModel>,
    profile: ModelProfile,
    change: F,
}

/// Puts a closure before a model that changes every request on its way. `note` says what it changes; it becomes part of
/// the model's id, so that replies are not taken for those of the model as it is.
///
/// ```
/// use std::sync::Arc;
/// use promptopt_core::lm::{LanguageModel as _, LmReply, LmRequest, lm_fn, with_requests};
///
/// let model = lm_fn("m", |_: LmRequest| async { Ok(LmReply::default()) });
/// let warm = with_requests(Arc::new(model), "temperature=1", |request| request.sampling.temperature = Some(1.0));
/// assert_eq!(warm.profile().id, "m temperature=1");
/// ```
pub fn with_requests<F>(model: Arc<dyn LanguageModel>, note: &str, change: F) -> WithRequests<F>
where
    F: Fn(&mut LmRequest) + Send + Sync,
{
    let profile = model.profile();
    let id = format!("{} {note}", profile.id);
    WithRequests { model, profile: profile.with_id(id), change }
}

#[async_trait]
impl<F: Fn(&mut LmRequest) + Send + Sync> LanguageModel for WithRequests<F> {
    fn profile(&self) -> ModelProfile {
        self.profile.clone()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let mut request = request.clone();
        (self.change)(&mut request);
        self.model.complete(&request, attempts).await
    }

    async fn stream(
        &self,
        request: &LmRequest,
        attempts: &Attempts,
        tell: Tell<'_>,
    ) -> Result<LmReply, LmError> {
        let mut request = request.clone();
        (self.change)(&mut request);
        self.model.stream(&request, attempts, tell).await
    }
}
