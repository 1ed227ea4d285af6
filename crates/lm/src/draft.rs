//! What goes into the body of one request, and what is left of it once the server has refused parts.

use promptopt_core::lm::Sampling;

use crate::MaxTokensField;
use crate::classify::AttemptError;
use crate::parameter_support::Parameter;

/// The parts of one request that a server may refuse. It only ever loses parts, and changes the name of
/// `max_tokens` at most once, so that a request has an end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    pub(crate) sampling: Sampling,
    pub(crate) max_tokens_field: MaxTokensField,
    pub(crate) with_format: bool,
    /// What of the messages and tools a server may refuse, and is sent.
    offered: Vec<Parameter>,
    /// What of it is not sent any more.
    refused: Vec<Parameter>,
    is_renamed: bool,
}

impl Draft {
    pub(crate) fn new(sampling: Sampling, max_tokens_field: MaxTokensField, with_format: bool) -> Self {
        let (offered, refused) = (Vec::new(), Vec::new());
        Self { sampling, max_tokens_field, with_format, offered, refused, is_renamed: false }
    }

    /// With what of its messages and tools a server may refuse.
    pub(crate) fn with_offered(self, offered: Vec<Parameter>) -> Self {
        Self { offered, ..self }
    }

    /// Asks for a stream, as far as the server gives one.
    pub(crate) fn offer_stream(&mut self) {
        self.offered.extend([Parameter::Stream, Parameter::StreamOptions]);
    }

    /// Whether `parameter` is sent, one of those that are offered.
    pub(crate) fn offers(&self, parameter: Parameter) -> bool {
        self.offered.contains(&parameter)
    }

    /// What of its messages and tools is not sent as it is.
    pub(crate) fn refused(&self) -> &[Parameter] {
        &self.refused
    }

    /// Whether a failure is about a part that it can do without, so that the same request need not be tried again.
    pub(crate) fn can_answer(&self, failure: &AttemptError) -> bool {
        (self.with_format && failure.format_refusal.is_some())
            || failure.refused_parameters.iter().any(|parameter| self.clone().give_up(*parameter))
    }

    /// Does without `parameter`, or without this name for it; says whether that makes another request.
    pub(crate) fn give_up(&mut self, parameter: Parameter) -> bool {
        let Parameter::MaxTokens(field) = parameter else { return self.leave_out(parameter) };
        let can_rename =
            self.sampling.max_tokens.is_some() && self.max_tokens_field == field && !self.is_renamed;
        if can_rename {
            self.max_tokens_field = field.other();
            self.is_renamed = true;
        }
        can_rename
    }

    /// Takes `parameter` out; says whether it was there.
    pub(crate) fn leave_out(&mut self, parameter: Parameter) -> bool {
        let sampling = &mut self.sampling;
        match parameter {
            Parameter::Temperature => sampling.temperature.take().is_some(),
            Parameter::TopP => sampling.top_p.take().is_some(),
            Parameter::Stop => !std::mem::take(&mut sampling.stop).is_empty(),
            Parameter::Seed => sampling.seed.take().is_some(),
            Parameter::ReasoningEffort => sampling.reasoning_effort.take().is_some(),
            Parameter::Verbosity => sampling.verbosity.take().is_some(),
            Parameter::MaxTokens(_) => sampling.max_tokens.take().is_some(),
            other => {
                let known = self.offered.iter().position(|offered| *offered == other);
                known.map(|at| self.refused.push(self.offered.swap_remove(at))).is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_given_up_once() {
        let sampling = Sampling::default()
            .with_temperature(0.0)
            .with_top_p(0.5)
            .with_max_tokens(9)
            .with_stop(vec!["x".into()])
            .with_seed(1)
            .with_reasoning_effort("low")
            .with_verbosity("low");
        let chat = [
            Parameter::ParallelToolCalls,
            Parameter::ToolChoice,
            Parameter::Strict,
            Parameter::StreamOptions,
            Parameter::Stream,
        ];
        let mut draft = Draft::new(sampling, MaxTokensField::MaxTokens, true).with_offered(chat.into());
        let given_up = |draft: &mut Draft| Parameter::ALL.map(|parameter| draft.give_up(parameter));
        // There is no way back from the other name of `max_tokens`.
        let once = [true, true, true, true, true, true, true, false, true, true, true, true, true];
        assert_eq!(given_up(&mut draft), once);
        assert_eq!(given_up(&mut draft), [false; 13]);
        assert_eq!(draft.refused(), chat);
        assert_eq!(draft.max_tokens_field, MaxTokensField::MaxCompletionTokens);
        assert_eq!(draft.sampling, Sampling::default().with_max_tokens(9));
    }

    #[test]
    fn what_is_not_sent_can_not_be_given_up() {
        let mut draft = Draft::new(Sampling::default(), MaxTokensField::MaxTokens, true);
        for parameter in Parameter::ALL {
            assert!(!draft.give_up(parameter), "{parameter:?}");
        }
    }
}
