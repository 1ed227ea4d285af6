//! The reply of a language model: a value, nothing else.

use serde::{Deserialize, Serialize};

use super::thinking::{add, apart};
use super::{Extra, Message, ToolCall};
use crate::money::Usage;

/// The longest reasoning that is kept beside an answer, in bytes.
const MAX_REASONING_BYTES: usize = 64 * 1024;

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// The tools that it calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// In what words the model refused to answer, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The log-probability of each token, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
    /// Fields of the message that are not known here, such as signatures that a provider wants back with the results
    /// of tools.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

/// How likely a token was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenLogprob {
    /// The token.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// The likeliest tokens in its place.
    #[serde(default, rename = "top_logprobs", skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<TokenLogprob>,
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

    /// With tools that it calls.
    #[must_use]
    pub fn with_tool_calls(mut self, tool_calls: Vec<ToolCall>) -> Self {
        self.tool_calls = tool_calls;
        self
    }

    /// The completion as a message of the chat that goes on after it.
    pub fn to_message(&self) -> Message {
        let mut message = Message::assistant(self.text.as_str()).with_tool_calls(self.tool_calls.clone());
        message.extra.clone_from(&self.extra);
        message
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
    /// Under which the provider knows the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The model that answered, as it names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the provider's set-up was, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<String>,
    /// Fields of the body that are not known here, such as `service_tier` or `citations`.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

impl LmReply {
    /// A reply with these completions.
    pub fn new(completions: Vec<Completion>, usage: Usage) -> Self {
        Self { completions, usage, ..Self::default() }
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
