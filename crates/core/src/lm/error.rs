//! What can go wrong between a request and its reply.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FinishReason;
use crate::money::Limit;

/// Why a provider refuses one request while others go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// What it holds, such as a text that a policy withholds, or that the server cannot read.
    Content,
    /// It does not fit the context window, so a shorter prompt might.
    Length,
}

/// Why a language model gave no reply.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LmError {
    /// The provider refused the key (HTTP 401 or 403).
    #[error("the provider refused the credentials (HTTP {status}): {message}")]
    Unauthorized {
        /// HTTP status.
        status: u16,
        /// The provider's words and what to do.
        message: String,
    },
    /// The request itself is wrong: unknown model, bad parameter (HTTP 400, 404, 422 …).
    #[error("the provider rejected the request (HTTP {status}): {message}")]
    InvalidRequest {
        /// HTTP status.
        status: u16,
        /// The provider's words and what to do.
        message: String,
    },
    /// The prompt and the completion do not fit the model's context window.
    #[error("the prompt does not fit the model's context window: {message}")]
    ContextLength {
        /// The provider's words.
        message: String,
    },
    /// The provider withheld the reply.
    #[error("the provider withheld the reply: {message}")]
    Refused {
        /// The provider's words.
        message: String,
    },
    /// Too many requests (HTTP 429), and the retries are used up.
    #[error("rate limited by the provider: {message}")]
    RateLimited {
        /// The provider's words.
        message: String,
        /// How long the provider asked to wait.
        retry_after: Option<Duration>,
    },
    /// As many requests are under way as may be, or the minute's share is used up, and no room came free in time. The
    /// attempt was not sent.
    #[error("too many requests at once: {message}")]
    Overloaded {
        /// How many, and for how long it waited.
        message: String,
    },
    /// The provider failed (HTTP 408, 409, 5xx), and the retries are used up.
    #[error("the provider failed (HTTP {status}): {message}")]
    Server {
        /// HTTP status.
        status: u16,
        /// The provider's words.
        message: String,
        /// How long the provider asked to wait.
        retry_after: Option<Duration>,
    },
    /// The endpoint could not be reached, or the connection broke.
    #[error("no connection to the model: {message}")]
    Connection {
        /// What failed, and what to do.
        message: String,
    },
    /// No reply in time.
    #[error("no reply within {} s: {message}", .after.as_secs_f64())]
    Timeout {
        /// The limit that passed.
        after: Duration,
        /// What was being waited for.
        message: String,
    },
    /// The reply is not what the protocol says.
    #[error("the model's reply could not be read: {message}")]
    MalformedReply {
        /// What was wrong with it.
        message: String,
    },
    /// The reply is larger than the bound.
    #[error("the model's reply is larger than {limit} bytes and was cut off; lower `max_tokens`")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// The embedded model could not be loaded or run.
    #[error("the embedded model failed: {message}")]
    Engine {
        /// What failed, and what to do.
        message: String,
    },
    /// A call failed that a program made with a client of its own
    /// ([`CallContext::metered`](crate::program::CallContext::metered)).
    #[error("the program's own call failed: {message}")]
    Call {
        /// What the program's client said.
        message: String,
    },
    /// The store that replies are kept in failed.
    #[error("the store of replies failed: {message}")]
    Store {
        /// What failed, whether something was paid, and what to do.
        message: String,
    },
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The budget has no room for the most that the request may cost. It was not sent.
    #[error("the budget of {limit} has no room for another request; raise the limit to go on")]
    Budget {
        /// The limit that was met.
        limit: Limit,
    },
    /// Money is limited, and nobody knows what the model costs. Nothing was sent.
    #[error("the price of `{model}` is not known, which a limit of money needs; give it in `prices`")]
    Unpriced {
        /// What identifies the model.
        model: String,
    },
    /// One rollout wanted more calls than its bound, while a budget is in force.
    #[error(
        "one rollout made more than {limit} language-model calls; raise the program's `calls_per_rollout`"
    )]
    CallLimit {
        /// Calls that one rollout may make.
        limit: u64,
    },
}

impl LmError {
    /// Whether the same request could succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Overloaded { .. }
                | Self::Server { .. }
                | Self::Connection { .. }
                | Self::Timeout { .. }
                | Self::MalformedReply { .. }
                | Self::TooLarge { .. }
        )
    }

    /// Whether every further request would fail the same way, so that a run should end at once. Where
    /// [`LmError::refusal`] gives a reason as well, that is so only as long as no other request went through.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. }
                | Self::InvalidRequest { .. }
                | Self::Engine { .. }
                | Self::Store { .. }
                | Self::Cancelled
                | Self::Budget { .. }
                | Self::Unpriced { .. }
        )
    }

    /// Why the provider may have refused this one request while others go through; `None` where it was no refusal,
    /// or one that every request would meet.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::ContextLength { .. } => Some(Refusal::Length),
            Self::Refused { .. } | Self::Unauthorized { status: 403, .. } => Some(Refusal::Content),
            // The others are about account, address or model, which every request shares.
            Self::InvalidRequest { status: 401 | 402 | 404 | 405 | 407 | 410 | 429, .. } => None,
            Self::InvalidRequest { status: 400..500, .. } => Some(Refusal::Content),
            _ => None,
        }
    }

    /// Whether a provider may bill the attempt that ended so, although it brought no reply.
    pub fn may_be_billed(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Connection { .. }
                | Self::Timeout { .. }
                | Self::MalformedReply { .. }
                | Self::TooLarge { .. }
                | Self::Call { .. }
                | Self::Store { .. }
                | Self::Cancelled
        )
    }

    /// How long the provider asked to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the prompt (and not the provider's state) brought this about, so that it counts
    /// against the prompt like an unreadable reply does.
    pub fn is_caused_by_prompt(&self) -> bool {
        matches!(self, Self::ContextLength { .. } | Self::Refused { .. })
    }
}

/// A reply that arrived but does not hold what the signature asks for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the reply of predictor `{predictor}` does not fit its signature: {reason}")]
#[non_exhaustive]
pub struct ReplyError {
    /// Path of the predictor.
    pub predictor: String,
    /// Which field is missing or wrong, and how.
    pub reason: String,
    /// The reply itself, cut to a bound.
    pub reply: String,
    /// Why the completion ended; `Length` means that `max_tokens` cut it off.
    pub finish_reason: FinishReason,
}

impl ReplyError {
    /// An error about a predictor's reply.
    pub fn new(
        predictor: impl Into<String>,
        reason: impl Into<String>,
        reply: impl Into<String>,
        finish_reason: FinishReason,
    ) -> Self {
        Self { predictor: predictor.into(), reason: reason.into(), reply: reply.into(), finish_reason }
    }
}
