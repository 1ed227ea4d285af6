//! What the client has learnt about the parameters and the forms of a chat that a server takes.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::MaxTokensField;
use crate::draft::Draft;

/// A parameter that the client can do without, or can send under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Parameter {
    Temperature,
    TopP,
    Stop,
    Seed,
    ReasoningEffort,
    Verbosity,
    /// The bound on the completion, under this name.
    MaxTokens(MaxTokensField),
    ParallelToolCalls,
    ToolChoice,
    /// Of tools.
    Strict,
    /// That the usage is told at the end of a stream.
    StreamOptions,
    /// That the reply comes as a stream.
    Stream,
    /// The role; the server gets `system`.
    Developer,
    /// What a model thought, in the messages that it wrote.
    Reasoning,
    /// A message that only calls tools; the server gets an empty text.
    NullContent,
    /// Ids of calls as another server made them; the server gets nine letters and digits.
    CallIds,
    /// Names of tools with other characters than most providers take.
    ToolNames,
}

impl Parameter {
    /// Those that have a name of their own in a request.
    pub(crate) const ALL: [Self; 13] = [
        Self::Temperature,
        Self::TopP,
        Self::Stop,
        Self::Seed,
        Self::ReasoningEffort,
        Self::Verbosity,
        Self::MaxTokens(MaxTokensField::MaxTokens),
        Self::MaxTokens(MaxTokensField::MaxCompletionTokens),
        Self::ParallelToolCalls,
        Self::ToolChoice,
        Self::Strict,
        Self::StreamOptions,
        Self::Stream,
    ];

    /// Those that are told by how the server speaks of messages and tools, the clearest first.
    pub(crate) const FORMS: [Self; 5] =
        [Self::Reasoning, Self::CallIds, Self::ToolNames, Self::NullContent, Self::Developer];

    /// What becomes of a refused one, where that is more than leaving it out.
    pub(crate) fn instead(self) -> Option<&'static str> {
        match self {
            Self::MaxTokens(field) => Some(field.other().as_str()),
            Self::Developer => Some("the role `system`"),
            Self::NullContent => Some("an empty text"),
            Self::CallIds => Some("ids of nine letters and digits"),
            Self::ToolNames => Some("names of letters, digits, `_` and `-`"),
            _ => None,
        }
    }

    /// The name as it goes over the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::Stop => "stop",
            Self::Seed => "seed",
            Self::ReasoningEffort => "reasoning_effort",
            Self::Verbosity => "verbosity",
            Self::MaxTokens(field) => field.as_str(),
            Self::ParallelToolCalls => "parallel_tool_calls",
            Self::ToolChoice => "tool_choice",
            Self::Strict => "strict",
            Self::StreamOptions => "stream_options",
            Self::Stream => "stream",
            Self::Developer => "developer",
            Self::Reasoning => "reasoning_content",
            Self::NullContent => "content",
            Self::CallIds => "tool_call_id",
            Self::ToolNames => "name",
        }
    }
}

/// Which parameters the server has refused, remembered for the life of the client.
#[derive(Debug, Default)]
pub(crate) struct ParameterSupport(Mutex<HashSet<Parameter>>);

impl ParameterSupport {
    /// Takes out of `draft` what the server is known to refuse.
    pub(crate) fn apply(&self, draft: &mut Draft) {
        let refused = self.refused();
        for parameter in refused.iter().filter(|parameter| !matches!(parameter, Parameter::MaxTokens(_))) {
            draft.leave_out(*parameter);
        }
        if refused.contains(&Parameter::MaxTokens(draft.max_tokens_field)) {
            draft.max_tokens_field = draft.max_tokens_field.other();
        }
    }

    /// Remembers that the server refused `parameter`; says whether that is news.
    pub(crate) fn remember(&self, parameter: Parameter) -> bool {
        let mut refused = self.refused();
        if let Parameter::MaxTokens(field) = parameter {
            // One of the two names is in use, always: the latest refusal is the better guess.
            refused.remove(&Parameter::MaxTokens(field.other()));
        }
        refused.insert(parameter)
    }

    fn refused(&self) -> MutexGuard<'_, HashSet<Parameter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::Sampling;

    use super::*;

    fn draft(field: MaxTokensField) -> Draft {
        let sampling = Sampling::default().with_temperature(0.0).with_seed(1);
        Draft::new(sampling, field, false)
    }

    fn applied(support: &ParameterSupport, field: MaxTokensField) -> Draft {
        let mut draft = draft(field);
        support.apply(&mut draft);
        draft
    }

    #[test]
    fn parameters_are_remembered_apart_and_are_news_once() {
        let support = ParameterSupport::default();
        assert!(support.remember(Parameter::Temperature));
        assert!(!support.remember(Parameter::Temperature));
        let draft = applied(&support, MaxTokensField::MaxTokens);
        assert_eq!((draft.sampling.temperature, draft.sampling.seed), (None, Some(1)));
        assert_eq!(draft.max_tokens_field, MaxTokensField::MaxTokens);
    }

    #[test]
    fn the_latest_refusal_of_a_name_counts() {
        use MaxTokensField::{MaxCompletionTokens, MaxTokens};

        let support = ParameterSupport::default();
        for (refused, used) in [(MaxTokens, MaxCompletionTokens), (MaxCompletionTokens, MaxTokens)] {
            support.remember(Parameter::MaxTokens(refused));
            // Requests that were under way together are refused together.
            support.remember(Parameter::MaxTokens(refused));
            for configured in [MaxTokens, MaxCompletionTokens] {
                assert_eq!(applied(&support, configured).max_tokens_field, used);
            }
        }
    }
}
