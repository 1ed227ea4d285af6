//! The client: renders a request, and leaves out what the server does not take.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use promptopt_core::{LanguageModel, LmError, LmReply, LmRequest, Price};
use rand_chacha::ChaCha8Rng;
use tracing::{debug, warn};

use crate::bill::Bill;
use crate::body::BodyTemplate;
use crate::classify::{AttemptError, Classifier};
use crate::draft::Draft;
use crate::exchange::Sendable;
use crate::format_support::FormatSupport;
use crate::parameter_support::{Parameter, ParameterSupport};
use crate::rate::estimated_tokens;
use crate::retry::RetryPolicy;
use crate::transport::Transport;
use crate::{Clock, KnownPrices, RateControl};

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
/// # Costs
///
/// [`LmReply::usage`] counts the attempt that answered, and every other one that a provider may bill although
/// it brought no reply: one that timed out, broke off, brought an unreadable or too large body, or was dropped
/// because a hedge was sooner. What those cost is not said anywhere, so each is taken to have cost the tokens of the one
/// that answered. What a provider refused (any error status) and what never reached it is not counted, except
/// for a hedge: with one sent, the usage says 2 calls at least.
///
/// There are never more than [`max_attempts_billed`](ChatClient::max_attempts_billed) of them, and each beyond
/// the first is asked for ([`LmRequest::attempts`]), so that a budget can say no. An error carries no usage:
/// a call that failed may have cost as much.
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
    pub(crate) rate: RateControl,
    pub(crate) hedge_after: Option<Duration>,
    pub(crate) max_attempts_billed: u32,
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

    /// The limits that this client keeps. Give them to other clients of the same endpoint.
    pub fn rate_control(&self) -> &RateControl {
        &self.rate
    }

    /// The most attempts that one call may be billed for, the one that answers included.
    pub fn max_attempts_billed(&self) -> u32 {
        self.max_attempts_billed
    }

    /// `text` with every secret of this client masked: the key, secret headers, the login and the query of
    /// the base URL. For what others write about its requests, such as a panic message.
    pub fn redact(&self, text: &str) -> String {
        self.classifier.redactor.redact(text)
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
        let bill = Bill::new(self.max_attempts_billed, request.attempts.clone());
        loop {
            let sendable = Sendable {
                body: self.body.render(request, &draft)?,
                tokens: estimated_tokens(request, draft.sampling.max_tokens),
            };
            match self.exchange(&sendable, &bill).await {
                Ok(mut reply) => {
                    reply.usage = bill.total(reply.usage);
                    return Ok(reply);
                }
                Err(failure) if self.fall_back(request, &failure, &mut draft) => {}
                Err(failure) => return Err(failure.error),
            }
        }
    }

    fn max_attempts_billed(&self) -> u32 {
        self.max_attempts_billed
    }

    fn max_tokens(&self) -> Option<u32> {
        self.body.sampling.max_tokens
    }

    /// The price in [`KnownPrices`], if it is there.
    fn price(&self) -> Option<Price> {
        let host = self.transport.host();
        KnownPrices::table().find(host, &self.body.model).map(|(price, _)| price)
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
