//! A request to a language model, and its reply: values, nothing else.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::thinking::{add, apart};
use crate::money::Usage;

/// The longest reasoning that is kept beside an answer, in bytes.
const MAX_REASONING_BYTES: usize = 64 * 1024;

/// Who speaks in a chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// The standing instruction.
    System,
    /// The person, or the program that asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Its name, as in files and requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text, as it goes over the wire.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }

    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// An assistant message.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }
}

/// Sampling parameters. What is `None` is left to the model's own settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
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

impl Sampling {
    /// With a temperature.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// With a nucleus mass.
    #[must_use]
    pub fn with_top_p(mut self, top_p: f64) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// With an upper bound on the completion, in tokens.
    #[must_use]
    pub fn with_max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// With texts at which the completion ends.
    #[must_use]
    pub fn with_stop(mut self, stop: Vec<String>) -> Self {
        self.stop = stop;
        self
    }

    /// With a seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
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
#[non_exhaustive]
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
}

impl LmRequest {
    /// A request for one completion of `messages` under the model's own settings.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { messages, n: 1, ..Self::default() }
    }

    /// With sampling parameters.
    #[must_use]
    pub fn with_sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// With a form that the reply is to have.
    #[must_use]
    pub fn with_response_format(mut self, response_format: ResponseFormat) -> Self {
        self.response_format = response_format;
        self
    }

    /// For so many completions.
    #[must_use]
    pub fn with_n(mut self, n: u32) -> Self {
        self.n = n;
        self
    }

    /// As another draw of the same request.
    #[must_use]
    pub fn with_sample_index(mut self, sample_index: u64) -> Self {
        self.sample_index = sample_index;
        self
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
    /// The model called a tool in place of an answer.
    ToolCalls,
    /// Anything else.
    Other,
}

/// One completion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Completion {
    /// The text of the reply. Once [read](Completion::read), nothing in it is thinking.
    pub text: String,
    /// What the model thought before it answered, where that is known. Never an answer; cut to 64 KiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: FinishReason,
}

impl Completion {
    /// A completion that ended by itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// That ended for another reason.
    #[must_use]
    pub fn with_finish_reason(mut self, finish_reason: FinishReason) -> Self {
        self.finish_reason = finish_reason;
        self
    }

    /// With what the model thought before it answered.
    #[must_use]
    pub fn with_reasoning(mut self, reasoning: impl Into<String>) -> Self {
        self.reasoning = reasoning.into();
        self.reasoning.truncate(self.reasoning.floor_char_boundary(MAX_REASONING_BYTES));
        self
    }

    /// The answer alone: what the model thought aloud in the text becomes reasoning. Models write it between tags
    /// (`<think>…</think>`, `[THINK]…[/THINK]` and others; the opening tag may be missing, or the closing one where
    /// the reply was cut off) or in channels (`<|channel|>analysis<|message|>…`). Tags in code or quotes, or opened and
    /// closed in the middle of a line, are part of the answer. Reading twice is reading once.
    ///
    /// ```
    /// use promptopt_core::lm::Completion;
    ///
    /// let read = Completion::new("<think>\nIs it sales?\n</think>\n\nbilling").read();
    /// assert_eq!((read.text.as_str(), read.reasoning.as_str()), ("billing", "Is it sales?"));
    /// ```
    #[must_use]
    pub fn read(mut self) -> Self {
        let Some((answer, thinking)) = apart(&self.text) else { return self };
        self.text = answer;
        let mut reasoning = std::mem::take(&mut self.reasoning);
        add(&mut reasoning, &thinking);
        self.with_reasoning(reasoning)
    }

    /// Why the text may be less than an answer, in words; `None` where nothing speaks against it. `max_tokens` is the
    /// bound that was in force.
    pub fn shortfall(&self, max_tokens: Option<u32>) -> Option<String> {
        let is_empty = self.text.trim().is_empty();
        let has_reasoning = !self.reasoning.trim().is_empty();
        let cut_off = || match max_tokens {
            Some(bound) => format!("the reply was cut off at max_tokens ({bound})"),
            None => {
                "the reply was cut off at the server's own bound, because no max_tokens is set".to_owned()
            }
        };
        let words = match self.finish_reason {
            FinishReason::Length if is_empty && has_reasoning => {
                format!("{}, before the model had done reasoning", cut_off())
            }
            FinishReason::Length => cut_off(),
            FinishReason::ContentFilter if is_empty => {
                "the provider's content filter withheld the reply".to_owned()
            }
            FinishReason::ContentFilter => "the provider's content filter cut the reply short".to_owned(),
            FinishReason::ToolCalls if is_empty => "the model called a tool and gave no answer".to_owned(),
            _ if is_empty && has_reasoning => "the model only reasoned and gave no answer".to_owned(),
            _ if is_empty => "the reply is empty".to_owned(),
            _ => return None,
        };
        Some(words)
    }
}

/// What came back: one completion or more, and what they cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LmReply {
    /// The completions; at least one.
    pub completions: Vec<Completion>,
    /// Tokens and calls of this request.
    pub usage: Usage,
}

impl LmReply {
    /// A reply with these completions.
    pub fn new(completions: Vec<Completion>, usage: Usage) -> Self {
        Self { completions, usage }
    }

    /// A reply with one completion.
    pub fn text(text: impl Into<String>, usage: Usage) -> Self {
        Self::new(vec![Completion::new(text)], usage)
    }

    /// The reply with every completion [read](Completion::read). [`CallContext::complete`] does so with the reply of
    /// any model, so that a program, a judge and whoever has texts written see answers alone.
    ///
    /// [`CallContext::complete`]: crate::program::CallContext::complete
    #[must_use]
    pub fn read(mut self) -> Self {
        for completion in &mut self.completions {
            *completion = std::mem::take(completion).read();
        }
        self
    }

    /// The text of the first completion, empty when there is none.
    pub fn first_text(&self) -> &str {
        self.completions.first().map_or("", |completion| completion.text.as_str())
    }
}
