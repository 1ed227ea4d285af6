//! A request to a language model: a value, nothing else.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Extra, Message, ToolChoice, ToolDefinition};

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
    /// How much a reasoning model is to reason, in the provider's words: `none`, `minimal`, `low`, `medium`, `high` and
    /// the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// How much a model is to say, in the provider's words: `low`, `medium` or `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<String>,
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

    /// With how much a reasoning model is to reason, such as `low`.
    #[must_use]
    pub fn with_reasoning_effort(mut self, effort: impl Into<String>) -> Self {
        self.reasoning_effort = Some(effort.into());
        self
    }

    /// With how much a model is to say, such as `low`.
    #[must_use]
    pub fn with_verbosity(mut self, verbosity: impl Into<String>) -> Self {
        self.verbosity = Some(verbosity.into());
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
    /// The tools that the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolDefinition>,
    /// Which of them it may or must call. `None`: the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once. `None`: the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// For how many likely tokens in each place their log-probabilities are told; 0: for the one that was chosen.
    /// `None`: none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<u32>,
    /// Fields of the body that are not known here. They go over the wire as they are.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
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

    /// With tools that the model may call.
    #[must_use]
    pub fn with_tools(mut self, tools: Vec<ToolDefinition>) -> Self {
        self.tools = tools;
        self
    }

    /// With which tools the model may or must call.
    #[must_use]
    pub fn with_tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = Some(choice);
        self
    }

    /// With whether the model may call several tools at once.
    #[must_use]
    pub fn with_parallel_tool_calls(mut self, parallel: bool) -> Self {
        self.parallel_tool_calls = Some(parallel);
        self
    }

    /// With the log-probabilities of so many likely tokens in each place; 0: of the one that was chosen.
    #[must_use]
    pub fn with_logprobs(mut self, likely: u32) -> Self {
        self.logprobs = Some(likely);
        self
    }

    /// With one more field of the body that is not known here.
    #[must_use]
    pub fn with_extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }
}
