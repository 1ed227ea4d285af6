//! What the client has learnt about the sampling parameters that a server takes.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::MaxTokensField;
use crate::draft::Draft;

/// A parameter that the client can do without, or can send under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Temperature,
    TopP,
    Stop,
    Seed,
    /// The bound on the completion, under this name.
    MaxTokens(MaxTokensField),
}

impl Parameter {
    pub(crate) const ALL: [Self; 6] = [
        Self::Temperature,
        Self::TopP,
        Self::Stop,
        Self::Seed,
        Self::MaxTokens(MaxTokensField::MaxTokens),
        Self::MaxTokens(MaxTokensField::MaxCompletionTokens),
    ];

    /// The name as it goes over the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::Stop => "stop",
            Self::Seed => "seed",
            Self::MaxTokens(field) => field.as_str(),
        }
    }
}

/// Which parameters the server has refused, remembered for the life of the client.
#[derive(Debug, Default)]
pub(crate) struct ParameterSupport {
    temperature: AtomicBool,
    top_p: AtomicBool,
    stop: AtomicBool,
    seed: AtomicBool,
    max_tokens: AtomicBool,
    max_completion_tokens: AtomicBool,
}

impl ParameterSupport {
    /// Takes out of `draft` what the server is known to refuse.
    pub(crate) fn apply(&self, draft: &mut Draft) {
        for parameter in Parameter::ALL {
            if self.is_refused(parameter) && !matches!(parameter, Parameter::MaxTokens(_)) {
                draft.leave_out(parameter);
            }
        }
        if self.is_refused(Parameter::MaxTokens(draft.max_tokens_field)) {
            draft.max_tokens_field = draft.max_tokens_field.other();
        }
    }

    /// Remembers that the server refused `parameter`; says whether that is news.
    pub(crate) fn remember(&self, parameter: Parameter) -> bool {
        if let Parameter::MaxTokens(field) = parameter {
            // One of the two names is in use, always: the latest refusal is the better guess.
            self.flag(Parameter::MaxTokens(field.other())).store(false, Ordering::Relaxed);
        }
        !self.flag(parameter).swap(true, Ordering::Relaxed)
    }

    fn is_refused(&self, parameter: Parameter) -> bool {
        self.flag(parameter).load(Ordering::Relaxed)
    }

    fn flag(&self, parameter: Parameter) -> &AtomicBool {
        match parameter {
            Parameter::Temperature => &self.temperature,
            Parameter::TopP => &self.top_p,
            Parameter::Stop => &self.stop,
            Parameter::Seed => &self.seed,
            Parameter::MaxTokens(MaxTokensField::MaxTokens) => &self.max_tokens,
            Parameter::MaxTokens(MaxTokensField::MaxCompletionTokens) => &self.max_completion_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::Sampling;

    use super::*;

    fn draft(field: MaxTokensField) -> Draft {
        let sampling = Sampling { temperature: Some(0.0), seed: Some(1), ..Sampling::default() };
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
