//! The language model: one trait of two methods, and a third for those that stream.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{LmError, LmReply, LmRequest, ModelServer, Piece, Tell};
use crate::money::{Price, Prices};

/// What is known of a language model before it is asked. A wrapper hands the profile on, changed where the wrapper
/// changes something.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ModelProfile {
    /// What identifies the model and every setting that changes its replies, such as
    /// `openai/gpt-5-mini temperature=0`. Part of every store key, so it never holds a key or token.
    pub id: String,
    /// What its tokens cost. `None`: not known.
    pub price: Option<Price>,
    /// The bound on a completion, in tokens, that holds where a request sets none. `None`: there is no such bound.
    pub max_tokens: Option<u32>,
    /// The most attempts that one call may be billed for, the one that answers included. A model that says more
    /// than 1 asks its [`Attempts`] before each attempt beyond the first, and makes none where the answer is no.
    pub max_attempts_billed: u32,
    /// Whether it is known to take no tools ([`LmRequest::tools`]).
    pub takes_no_tools: bool,
    /// Whether it is known to reason before it answers, which takes tokens of the completion.
    pub reasons: bool,
    /// Counts the tokens of a prompt, for budgets. `None`: every byte may be one.
    pub token_counter: Option<TokenCounter>,
    /// Who serves it, for traces. `None`: not known.
    pub server: Option<Arc<ModelServer>>,
}

impl ModelProfile {
    /// A model of which nothing is known but what identifies it: no price, no bound, one attempt a call.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), max_attempts_billed: 1, ..Self::default() }
    }

    /// The same with another id, for a wrapper that changes what the model replies.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The same with a price.
    #[must_use]
    pub fn with_price(mut self, price: impl Into<Option<Price>>) -> Self {
        self.price = price.into();
        self
    }

    /// The same with a bound on completions, in tokens.
    #[must_use]
    pub fn with_max_tokens(mut self, max_tokens: impl Into<Option<u32>>) -> Self {
        self.max_tokens = max_tokens.into();
        self
    }

    /// The same, known to reason before it answers, or not.
    #[must_use]
    pub fn with_reasons(mut self, reasons: bool) -> Self {
        self.reasons = reasons;
        self
    }

    /// The same with a bound on the attempts that one call may be billed for.
    #[must_use]
    pub fn with_max_attempts_billed(mut self, attempts: u32) -> Self {
        self.max_attempts_billed = attempts;
        self
    }

    /// The same, known to take no tools.
    #[must_use]
    pub fn without_tools(mut self) -> Self {
        self.takes_no_tools = true;
        self
    }

    /// The same with a function that gives an upper bound on the tokens of a request's prompt.
    #[must_use]
    pub fn with_token_counter(mut self, count: impl Fn(&LmRequest) -> u64 + Send + Sync + 'static) -> Self {
        self.token_counter = Some(TokenCounter(Arc::new(count)));
        self
    }

    /// The same with who serves it, for traces.
    #[must_use]
    pub fn with_server(mut self, server: ModelServer) -> Self {
        self.server = Some(Arc::new(server));
        self
    }

    /// An upper bound on the tokens of a request's prompt, where the model can count.
    pub fn count_tokens(&self, request: &LmRequest) -> Option<u64> {
        self.token_counter.as_ref().map(|counter| (counter.0)(request))
    }

    /// What its tokens cost: as the table says, and otherwise as the model knows. The one rule of prices.
    pub fn price_in(&self, prices: &Prices) -> Option<Price> {
        prices.find(&self.id).or(self.price)
    }
}

/// Gives an upper bound on the tokens of a request's prompt.
#[derive(Clone)]
pub struct TokenCounter(Arc<dyn Fn(&LmRequest) -> u64 + Send + Sync>);

impl fmt::Debug for TokenCounter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenCounter")
    }
}

/// The permission to try a request again at the run's expense. Everything is permitted unless a budget is in
/// force.
#[derive(Clone, Default)]
pub struct Attempts(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Attempts {
    /// Any number of attempts.
    pub fn any() -> Self {
        Self(None)
    }

    /// Attempts for which `permit` is asked.
    pub fn asking(permit: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(permit)))
    }

    /// Whether one more attempt may be made that a provider may bill besides the others. It is paid for when the
    /// answer is yes.
    pub fn another(&self) -> bool {
        self.0.as_ref().is_none_or(|permit| permit())
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Attempts(asking)" } else { "Attempts(any)" })
    }
}

/// A language model: anything that completes a chat. A closure is one, too: see [`lm_fn`](super::lm_fn).
///
/// Implementations retry what is worth a retry themselves; an error that comes back is final for this request. The
/// reply's usage says one call, unless it took several.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no language model",
    note = "implement `LanguageModel` with `#[async_trait]` above the `impl`, or make one of a closure with `lm_fn`"
)]
pub trait LanguageModel: Send + Sync {
    /// What is known of the model.
    fn profile(&self) -> ModelProfile;

    /// Completes one request. `attempts` is asked before each attempt beyond the first that may be billed.
    ///
    /// # Errors
    ///
    /// [`LmError`] says what failed and whether a retry could help.
    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError>;

    /// As [`LanguageModel::complete`], and `tell` gets the answer piece by piece as it comes: that of the first completion,
    /// without what the model thinks aloud ([`AnswerPieces`](super::AnswerPieces) takes that out). The texts behind the
    /// last [`Piece::Restart`] are its text in the reply.
    ///
    /// A model that cannot stream, or a wrapper that needs the whole reply before anybody sees it, such as a journal,
    /// leaves this method as it is: all of the answer is one piece.
    ///
    /// # Errors
    ///
    /// As [`LanguageModel::complete`]. What was told until then is no answer.
    async fn stream(
        &self,
        request: &LmRequest,
        attempts: &Attempts,
        tell: Tell<'_>,
    ) -> Result<LmReply, LmError> {
        let reply = self.complete(request, attempts).await?.read();
        if !reply.first_text().is_empty() {
            tell(Piece::Text(reply.first_text()));
        }
        Ok(reply)
    }
}

/// The methods of a model that stands behind a pointer.
macro_rules! forward_model {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: LanguageModel + ?Sized> LanguageModel for $pointer<T> {
            fn profile(&self) -> ModelProfile {
                (**self).profile()
            }

            async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
                (**self).complete(request, attempts).await
            }

            async fn stream(
                &self,
                request: &LmRequest,
                attempts: &Attempts,
                tell: Tell<'_>,
            ) -> Result<LmReply, LmError> {
                (**self).stream(request, attempts, tell).await
            }
        }
    )*};
}

forward_model!(Box, Arc);
