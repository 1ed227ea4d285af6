//! The client: renders a request, sends it, reads the reply, and tries again where that makes sense.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::{LanguageModel, LmError, LmReply, LmRequest};
use rand_chacha::ChaCha8Rng;
use tracing::{debug, warn};

use crate::Clock;
use crate::body::BodyTemplate;
use crate::classify::{AttemptError, Classifier};
use crate::draft::Draft;
use crate::format_support::FormatSupport;
use crate::parameter_support::{Parameter, ParameterSupport};
use crate::reply::read_reply;
use crate::retry::{Decision, RetryPolicy, annotate};
use crate::transport::Transport;

/// A chat model behind an OpenAI-compatible HTTP endpoint. Made by [`ChatClient::builder`].
///
/// One client serves any number of concurrent requests and reuses its connections; share it in an
/// [`Arc`].
///
/// # Replies
///
/// - [`LmRequest::n`] is sent when it is above 1. A server that ignores it returns one completion: what
///   came is returned, and the caller counts.
/// - A reply without `usage` counts as one call with 0 tokens.
/// - A `response_format` that the server rejects is left out, and the request sent once more. Where the
///   server does not know the format at all, the client remembers and sends it no more.
/// - `max_tokens` that the server rejects under the one name goes by the other, `max_completion_tokens`,
///   from then on; or the other way round.
/// - `temperature`, `top_p`, `stop` or `seed` that the model does not support is left out from then on,
///   with one warning in the log. A value out of range is an error as ever.
/// - None of these fallbacks changes the client's `id`.
/// - Text that the content filter cut short comes as it is, with
///   [`FinishReason::ContentFilter`](promptopt_core::FinishReason::ContentFilter); nothing left at all is
///   [`LmError::Refused`].
///
/// # Errors
///
/// An HTTP 429 that says the account has no credit left (`insufficient_quota` and its like) and an
/// HTTP 402 are [`LmError::InvalidRequest`]: no retry helps, and every further request fails the same
/// way. Redirects are not followed, since they could lead the key elsewhere.
pub struct ChatClient {
    pub(crate) id: String,
    pub(crate) body: BodyTemplate,
    pub(crate) transport: Transport,
    pub(crate) classifier: Classifier,
    pub(crate) retry: RetryPolicy,
    pub(crate) formats: FormatSupport,
    pub(crate) parameters: ParameterSupport,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) jitter: Mutex<ChaCha8Rng>,
}

impl ChatClient {
    /// The model's name, as it is sent.
    pub fn model(&self) -> &str {
        &self.body.model
    }

    /// The address that requests go to, without user name, password and query.
    pub fn url(&self) -> &str {
        &self.classifier.url
    }

    /// Sends one request until it succeeds or a retry makes no sense.
    async fn exchange(&self, body: Vec<u8>) -> Result<LmReply, AttemptError> {
        let mut attempt = 1_u32;
        loop {
            let failure = match self.attempt(body.clone(), attempt).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            match self.decide(&failure.error, attempt) {
                Decision::Retry(wait) => {
                    debug!(attempt, wait_ms = wait.as_millis() as u64, "waiting before the next attempt");
                    self.clock.sleep(wait).await;
                }
                Decision::GiveUp(Some(note)) => return Err(annotate(failure.error, &note).into()),
                Decision::GiveUp(None) => return Err(failure),
            }
            attempt = attempt.saturating_add(1);
        }
    }

    /// Sends one request once.
    async fn attempt(&self, body: Vec<u8>, attempt: u32) -> Result<LmReply, AttemptError> {
        let reply = self.transport.post(body).await.inspect_err(|error| {
            debug!(attempt, failure = kind(error), "no reply");
        })?;
        debug!(attempt, status = reply.status, bytes = reply.body.len(), "reply");
        if !(200..300).contains(&reply.status) {
            return Err(self.classifier.failed_status(&reply, self.clock.now()));
        }
        read_reply(&reply.body).map_err(|problem| {
            let error = self.classifier.failed_reply(problem, &reply);
            debug!(attempt, failure = kind(&error), "reply without a completion");
            error.into()
        })
    }

    /// Takes out of `draft` what the server objects to; says whether that makes another request.
    fn fall_back(&self, request: &LmRequest, failure: &AttemptError, draft: &mut Draft) -> bool {
        if let Some(refusal) = failure.format_refusal.filter(|_| draft.with_format) {
            debug!("the server rejects `response_format`: sending the request without");
            self.formats.remember(&request.response_format, refusal);
            draft.with_format = false;
            return true;
        }
        let mut refused = failure.refused_parameters.iter().copied();
        let Some(parameter) = refused.find(|parameter| draft.give_up(*parameter)) else {
            return false;
        };
        let is_news = self.parameters.remember(parameter);
        let name = parameter.as_str();
        match parameter {
            Parameter::MaxTokens(field) => {
                debug!("the server rejects `{name}`: sending `{}` instead", field.other().as_str());
            }
            _ if is_news => warn!(
                model = self.model(),
                "the model does not support `{name}` as set: it is left out of this and all further requests"
            ),
            _ => debug!("the server rejects `{name}`: sending the request without"),
        }
        true
    }

    fn decide(&self, error: &LmError, attempt: u32) -> Decision {
        let mut rng = self.jitter.lock().unwrap_or_else(PoisonError::into_inner);
        self.retry.decide(error, attempt, &mut *rng)
    }
}

#[async_trait]
impl LanguageModel for ChatClient {
    fn id(&self) -> String {
        self.id.clone()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let with_format = self.formats.is_worth_sending(&request.response_format);
        let mut draft = self.body.draft(request, with_format);
        self.parameters.apply(&mut draft);
        loop {
            match self.exchange(self.body.render(request, &draft)?).await {
                Ok(reply) => return Ok(reply),
                Err(failure) if self.fall_back(request, &failure, &mut draft) => {}
                Err(failure) => return Err(failure.error),
            }
        }
    }
}

impl fmt::Debug for ChatClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChatClient")
            .field("id", &self.id)
            .field("url", &self.url())
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// The class of an error, for logs: its message could quote the prompt.
fn kind(error: &LmError) -> &'static str {
    match error {
        LmError::Connection { .. } => "connection",
        LmError::Timeout { .. } => "timeout",
        LmError::MalformedReply { .. } => "malformed reply",
        LmError::TooLarge { .. } => "too large",
        LmError::Refused { .. } => "refused",
        _ => "provider error",
    }
}
