//! The client: what it holds, and what it leaves out when a provider does not take it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use genai::ServiceTarget;
use promptopt_core::{LanguageModel, LmError, LmReply, LmRequest, Price};
use rand_chacha::ChaCha8Rng;
use tracing::{debug, warn};

use super::request::Prepared;
use crate::bill::Bill;
use crate::body::{BodyTemplate, check_sampling};
use crate::classify::{AttemptError, Classifier};
use crate::draft::Draft;
use crate::format_support::FormatSupport;
use crate::parameter_support::{Parameter, ParameterSupport};
use crate::provider::Dialect;
use crate::rate::estimated_tokens;
use crate::retry::RetryPolicy;
use crate::{Clock, KnownPrices, RateControl};

/// A chat model behind an API of its provider's own. Made by [`ProviderClient::builder`].
///
/// The `genai` crate writes the requests and reads the replies. Waits, retries, limits, classification of
/// errors, prices and the masking of secrets are the same as with [`ChatClient`](crate::ChatClient);
/// nothing is retried within `genai`.
///
/// | | Anthropic | Gemini | Ollama |
/// | --- | --- | --- | --- |
/// | Prefix | `anthropic` | `gemini` | `ollama` |
/// | Key | `ANTHROPIC_API_KEY` | `GEMINI_API_KEY` | `OLLAMA_API_KEY`, may be missing |
/// | Address | `api.anthropic.com/v1` | `generativelanguage.googleapis.com/v1beta` | `localhost:11434` |
/// | Request | `messages` | `models/…:generateContent` | `api/chat` |
/// | `temperature`, `top_p`, `stop` | yes | yes | yes |
/// | `max_tokens` | yes, 4096 by default | yes | yes |
/// | `seed` | no | yes | yes |
/// | Any JSON object | not asked for | yes | yes |
/// | JSON schema | yes | yes | as any JSON object |
/// | Extra parameters | yes | yes | no |
/// | More than one completion | no | no | no |
///
/// # What a provider does not take
///
/// - [`LmRequest::n`] above 1 is [`LmError::InvalidRequest`], and nothing is sent: whoever wants several
///   completions asks for them one by one.
/// - A seed for Anthropic is a [`ConfigError`](crate::ConfigError) in the client's own sampling; one that comes
///   with a request is left out, with one warning in the log.
/// - A format that the provider does not have is not asked for, so that the prompt alone says what the reply
///   is to look like. One that the model rejects is left out, and so is a sampling parameter that it does
///   not support: the latter with one warning in the log, from then on. Neither changes the client's `id`.
/// - Extra parameters for Ollama are a [`ConfigError`](crate::ConfigError). `MODEL@http://localhost:11434/v1`
///   names the same model for [`ChatClient`](crate::ChatClient), which sends them.
/// - Ollama cuts a prompt that is longer than its context window, and says nothing of it.
///
/// # What is less than with `ChatClient`
///
/// - The size of a reply is not bounded, only its time: `genai` reads replies whole. An honest provider is
///   bounded by `max_tokens`; be careful with a base URL that you do not trust.
/// - There is one time limit for a whole attempt, and no hedge.
///
/// # Replies
///
/// - [`Usage`](promptopt_core::Usage) counts tokens that were read from or written to a provider's cache as
///   prompt tokens, and those of hidden reasoning as completion tokens. Their price is not told apart.
/// - Hidden reasoning is no part of the text.
/// - Text that a filter cut short comes as it is, with
///   [`FinishReason::ContentFilter`](promptopt_core::FinishReason::ContentFilter); nothing left at all is
///   [`LmError::Refused`].
/// - Attempts that may be billed although no reply came count as with `ChatClient`.
///
/// # Logs
///
/// What `genai` and the HTTP library log of a request is dropped, since it holds prompts and replies. The
/// client's own log holds neither.
pub struct ProviderClient {
    pub(super) id: String,
    pub(super) dialect: Dialect,
    pub(super) template: BodyTemplate,
    pub(super) client: genai::Client,
    pub(super) target: ServiceTarget,
    pub(super) headers: genai::Headers,
    pub(super) host: String,
    pub(super) classifier: Classifier,
    pub(super) retry: RetryPolicy,
    pub(super) rate: RateControl,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) max_attempts_billed: u32,
    pub(super) formats: FormatSupport,
    pub(super) parameters: ParameterSupport,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) jitter: Mutex<ChaCha8Rng>,
}

impl ProviderClient {
    /// The model's name, without the provider's prefix.
    pub fn model(&self) -> &str {
        &self.template.model
    }

    /// The address of the provider's API.
    pub fn url(&self) -> &str {
        &self.classifier.url
    }

    /// The limits that this client keeps. Give them to other clients of the same provider.
    pub fn rate_control(&self) -> &RateControl {
        &self.rate
    }

    /// `text` with the key and secret headers of this client masked.
    pub fn redact(&self, text: &str) -> String {
        self.classifier.redactor.redact(text)
    }

    /// What `request` sends to a model that takes all of it.
    fn draft(&self, request: &LmRequest) -> Result<Draft, LmError> {
        let refuse = |reason: String| LmError::InvalidRequest {
            status: 400,
            message: format!("{reason} (nothing was sent)"),
        };
        check_sampling(&request.sampling).map_err(refuse)?;
        if request.n > 1 {
            let message = format!("`n` is {}, and this provider writes one completion a request", request.n);
            return Err(refuse(message));
        }
        let with_format = self.formats.is_worth_sending(&request.response_format);
        let mut draft = self.template.draft(request, with_format);
        if self.dialect == Dialect::Anthropic && draft.give_up(Parameter::Seed) {
            self.left_out(Parameter::Seed);
        }
        self.parameters.apply(&mut draft);
        Ok(draft)
    }

    /// Takes out of `draft` what the model objects to; says whether that makes another request.
    fn fall_back(&self, request: &LmRequest, failure: &AttemptError, draft: &mut Draft) -> bool {
        if let Some(refusal) = failure.format_refusal.filter(|_| draft.with_format) {
            debug!("the model rejects the response format: sending the request without");
            self.formats.remember(&request.response_format, refusal);
            draft.with_format = false;
            return true;
        }
        let refused = failure.refused_parameters.iter().copied();
        // The bound on the completion has one name only in each of these APIs.
        let mut refused = refused.filter(|parameter| !matches!(parameter, Parameter::MaxTokens(_)));
        let Some(parameter) = refused.find(|parameter| draft.give_up(*parameter)) else {
            return false;
        };
        self.left_out(parameter);
        true
    }

    fn left_out(&self, parameter: Parameter) {
        if self.parameters.remember(parameter) {
            warn!(
                model = self.model(),
                "the model does not support `{}` as set: it is left out of this and all further requests",
                parameter.as_str()
            );
        }
    }
}

#[async_trait]
impl LanguageModel for ProviderClient {
    fn id(&self) -> String {
        self.id.clone()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let mut draft = self.draft(request)?;
        let bill = Bill::new(self.max_attempts_billed, request.attempts.clone());
        loop {
            let prepared = Prepared {
                chat: super::request::chat(request),
                options: self.options(request, &draft),
                tokens: estimated_tokens(request, draft.sampling.max_tokens),
            };
            match self.exchange(&prepared, &bill).await {
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
        self.template.sampling.max_tokens
    }

    /// The price in [`KnownPrices`], if it is there.
    fn price(&self) -> Option<Price> {
        KnownPrices::table().find(&self.host, &self.template.model).map(|(price, _)| price)
    }
}

impl fmt::Debug for ProviderClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProviderClient")
            .field("id", &self.id)
            .field("url", &self.url())
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
