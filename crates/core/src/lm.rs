//! The language model seam: a request, a reply, and the one trait between them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{LmError, Price, Usage};

/// Who speaks in a chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The standing instruction.
    System,
    /// The person, or the program that asks.
    User,
    /// The model.
    Assistant,
}

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text, as it goes over the wire.
    pub content: String,
}

impl Message {
    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: Role::System, content: content.into() }
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// An assistant message.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}

/// Sampling parameters. What is `None` is left to the model's own settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Softmax temperature; 0 is greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus mass, in (0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Upper bound on the completion, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Texts at which the completion ends; they are not part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Seed for models that can sample repeatably.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The form the reply is asked to have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// A JSON object that adheres to a JSON schema.
    JsonSchema {
        /// A name for the schema, `[a-zA-Z0-9_-]{1,64}`.
        name: String,
        /// The schema itself.
        schema: Value,
    },
}

/// One request to a language model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LmRequest {
    /// The chat so far. A last message by the assistant is a prefix that the model continues,
    /// where the model can do so.
    pub messages: Vec<Message>,
    /// Sampling parameters.
    #[serde(default)]
    pub sampling: Sampling,
    /// The form the reply is asked to have.
    #[serde(default)]
    pub response_format: ResponseFormat,
    /// How many completions are wanted; 0 counts as 1.
    #[serde(default)]
    pub n: u32,
    /// Which draw this is, for repeated sampling of one and the same request. Part of every
    /// store key, never sent to a provider.
    #[serde(default)]
    pub sample_index: u64,
    /// Asked before every attempt but the first that may be billed. No part of what is requested: two
    /// requests that differ in nothing else are equal.
    #[serde(skip)]
    pub attempts: Attempts,
}

/// The permission to try a request again at the run's expense. Everything is permitted unless a
/// budget is in force.
#[derive(Clone, Default)]
pub struct Attempts(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Attempts {
    /// Attempts for which `permit` is asked.
    pub fn asking(permit: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(permit)))
    }

    /// Whether one more attempt may be made that a provider may bill besides the others. It is paid for
    /// when the answer is yes.
    pub fn another(&self) -> bool {
        self.0.as_ref().is_none_or(|permit| permit())
    }
}

impl PartialEq for Attempts {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Attempts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.0.is_some() { "Attempts(asking)" } else { "Attempts(any)" })
    }
}

impl LmRequest {
    /// A request for one completion of `messages` under the model's own settings.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, n: 1, ..Self::default() }
    }
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model was done, or met a stop text.
    #[default]
    Stop,
    /// The token limit cut it off.
    Length,
    /// The provider withheld (part of) the text.
    ContentFilter,
    /// Anything else.
    Other,
}

/// One completion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The text of the reply.
    pub text: String,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: FinishReason,
}

impl Completion {
    /// A completion that ended by itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), finish_reason: FinishReason::Stop }
    }
}

/// What came back: one completion or more, and what they cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LmReply {
    /// The completions; at least one.
    pub completions: Vec<Completion>,
    /// Tokens and calls of this request.
    pub usage: Usage,
}

impl LmReply {
    /// A reply with one completion.
    pub fn text(text: impl Into<String>, usage: Usage) -> Self {
        Self { completions: vec![Completion::new(text)], usage }
    }

    /// The text of the first completion, empty when there is none.
    pub fn first_text(&self) -> &str {
        self.completions.first().map_or("", |completion| completion.text.as_str())
    }
}

/// A language model: anything that completes a chat.
///
/// Implementations retry what is worth a retry themselves; an error that comes back is final for
/// this request. The reply's usage says one call, unless it took several.
#[async_trait]
pub trait LanguageModel: Send + Sync {
    /// What identifies the model and every setting that changes its replies, such as
    /// `openai/gpt-5-mini temperature=0`. Part of every store key, so it never holds a key or
    /// token.
    fn id(&self) -> String;

    /// Completes one request.
    ///
    /// # Errors
    ///
    /// [`LmError`] says what failed and whether a retry could help.
    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError>;

    /// The most attempts that one call may be billed for, the one that answers included. A model that
    /// says more than 1 asks [`LmRequest::attempts`] before each attempt beyond the first, and makes none
    /// where the answer is no.
    fn max_attempts_billed(&self) -> u32 {
        1
    }

    /// An upper bound on the tokens of a request's prompt, for budgets. `None`: every byte may be one.
    fn count_tokens(&self, _request: &LmRequest) -> Option<u64> {
        None
    }

    /// The bound on a completion, in tokens, that holds where a request sets none. `None`: there is no
    /// such bound.
    fn max_tokens(&self) -> Option<u32> {
        None
    }

    /// What its tokens cost. `None`: not known.
    fn price(&self) -> Option<Price> {
        None
    }
}

#[async_trait]
impl<T: LanguageModel + ?Sized> LanguageModel for &T {
    fn id(&self) -> String {
        (**self).id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        (**self).complete(request).await
    }

    fn max_attempts_billed(&self) -> u32 {
        (**self).max_attempts_billed()
    }

    fn count_tokens(&self, request: &LmRequest) -> Option<u64> {
        (**self).count_tokens(request)
    }

    fn max_tokens(&self) -> Option<u32> {
        (**self).max_tokens()
    }

    fn price(&self) -> Option<Price> {
        (**self).price()
    }
}

#[async_trait]
impl<T: LanguageModel + ?Sized> LanguageModel for Box<T> {
    fn id(&self) -> String {
        (**self).id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        (**self).complete(request).await
    }

    fn max_attempts_billed(&self) -> u32 {
        (**self).max_attempts_billed()
    }

    fn count_tokens(&self, request: &LmRequest) -> Option<u64> {
        (**self).count_tokens(request)
    }

    fn max_tokens(&self) -> Option<u32> {
        (**self).max_tokens()
    }

    fn price(&self) -> Option<Price> {
        (**self).price()
    }
}

#[async_trait]
impl<T: LanguageModel + ?Sized> LanguageModel for Arc<T> {
    fn id(&self) -> String {
        (**self).id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        (**self).complete(request).await
    }

    fn max_attempts_billed(&self) -> u32 {
        (**self).max_attempts_billed()
    }

    fn count_tokens(&self, request: &LmRequest) -> Option<u64> {
        (**self).count_tokens(request)
    }

    fn max_tokens(&self) -> Option<u32> {
        (**self).max_tokens()
    }

    fn price(&self) -> Option<Price> {
        (**self).price()
    }
}
