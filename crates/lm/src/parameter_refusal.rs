//! Tells from a provider's words which parameter the model does not take.

use crate::MaxTokensField;
use crate::form_refusal::refused_forms;
use crate::format_support::may_be_about_the_request;
use crate::parameter_support::Parameter;
use crate::provider_error::ProviderError;

/// The parameters that an error calls unsupported, the likeliest first, whatever its status; then the forms of messages
/// and tools that it may be about.
pub(crate) fn refused_parameters(status: u16, error: &ProviderError) -> Vec<Parameter> {
    if !may_be_about_the_request(status) {
        return Vec::new();
    }
    let message = error.message.to_lowercase();
    let forms = refused_forms(&message, &error.param);
    named_parameters(error).into_iter().chain(forms).collect()
}

/// The parameters that an error calls unsupported.
///
/// A value out of its range is not among them: it is the user's to mend.
fn named_parameters(error: &ProviderError) -> Vec<Parameter> {
    let message = error.message.to_lowercase();
    if let Some(field) = advised_field(&message) {
        return vec![Parameter::MaxTokens(field.other())];
    }
    if contains_any(&message, &OUT_OF_RANGE) {
        return Vec::new();
    }
    let labelled = error.has_label(&LABELS);
    if !error.param.is_empty() {
        let says_so = labelled || contains_any(&message, &WORDINGS);
        return Parameter::ALL
            .into_iter()
            .filter(|parameter| says_so && error.param == parameter.as_str())
            .collect();
    }
    // The next sentence may well list what is supported.
    message
        .split(['\n', ';'])
        .flat_map(|line| line.split(". "))
        .filter(|sentence| labelled || contains_any(sentence, &WORDINGS))
        .flat_map(named_in)
        .collect()
}

/// Codes and types by which providers say that they do not take a parameter.
const LABELS: [&str; 4] =
    ["unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"];

/// Words by which they say it.
const WORDINGS: [&str; 14] = [
    "not supported",
    "n't supported",
    "not support",
    "n't support",
    "unsupported",
    "only the default",
    "unrecognized",
    "unknown parameter",
    "extra inputs are not permitted",
    "additional properties are not allowed",
    "unexpected keyword argument",
    "is deprecated for this model",
    // Anthropic of `tool_choice`, and OpenRouter.
    "may not be enabled when",
    "no endpoints found that support",
];

/// Words about a value that is wrong where another would be right.
const OUT_OF_RANGE: [&str; 11] = [
    "between",
    "at most",
    "at least",
    " range",
    "less than",
    "greater than",
    "above",
    "below",
    "too large",
    "too high",
    "<=",
];

/// The name for `max_tokens` that the message asks to use.
fn advised_field(message: &str) -> Option<MaxTokensField> {
    // The space in front tells "use" from "because".
    let plain = format!(" {}", message.replace(['\'', '"', '`', '\\'], ""));
    [MaxTokensField::MaxTokens, MaxTokensField::MaxCompletionTokens].into_iter().find(|field| {
        let name = field.as_str();
        [
            format!(" use {name}"),
            format!(" use the {name}"),
            format!("{name} instead"),
            format!("favor of {name}"),
        ]
        .iter()
        .any(|advice| plain.contains(advice))
    })
}

/// The parameters that a sentence names, in order.
fn named_in(sentence: &str) -> Vec<Parameter> {
    let mut named: Vec<_> = Parameter::ALL
        .into_iter()
        .filter_map(|parameter| Some((position(sentence, parameter)?, parameter)))
        .collect();
    named.sort_by_key(|(at, _)| *at);
    named.into_iter().map(|(_, parameter)| parameter).collect()
}

/// Where a sentence names `parameter` as a whole word.
fn position(sentence: &str, parameter: Parameter) -> Option<usize> {
    let name = parameter.as_str();
    let is_part_of_name = |character: char| character.is_alphanumeric() || "_-".contains(character);
    sentence.match_indices(name).map(|(at, _)| at).find(|at| {
        let (before, rest) = sentence.split_at(*at);
        let after = rest.strip_prefix(name).unwrap_or(rest);
        // These are words of plain English as well.
        let is_plain_word = matches!(
            parameter,
            Parameter::Stop | Parameter::Seed | Parameter::Verbosity | Parameter::Strict | Parameter::Stream
        );
        !before.ends_with(is_part_of_name)
            && !after.starts_with(is_part_of_name)
            && (!is_plain_word || is_marked_as_name(before, after))
    })
}

/// Whether what stands around a word says that it is the name of a parameter.
fn is_marked_as_name(before: &str, after: &str) -> bool {
    let lead = before.trim_end_matches([' ', ':']);
    before.ends_with(['\'', '"', '`', '.'])
        || lead.is_empty()
        || ["parameter", "parameters", "argument", "supplied", "field", "property"]
            .iter()
            .any(|word| lead.ends_with(word))
        || after.starts_with(" parameter")
}

fn contains_any(text: &str, needles: &[&str]) -> bool {
    needles.iter().any(|needle| text.contains(needle))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Parameter::{Seed, Stop, Temperature, TopP};
    use super::*;

    const SHORT: Parameter = Parameter::MaxTokens(MaxTokensField::MaxTokens);
    const LONG: Parameter = Parameter::MaxTokens(MaxTokensField::MaxCompletionTokens);

    fn error(message: &str, param: &str, labels: &[&str]) -> ProviderError {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        ProviderError { message: message.into(), param: param.into(), labels, status: None }
    }

    fn check(message: &str, param: &str, expected: &[Parameter]) {
        assert_eq!(named_parameters(&error(message, param, &[])), expected, "{message}");
    }

    #[test]
    fn what_is_said_of_tools_is_known() {
        use Parameter::{ParallelToolCalls, Strict, ToolChoice};
        check(
            "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.",
            "",
            &[ParallelToolCalls],
        );
        check("No endpoints found that support the provided 'tool_choice' value.", "", &[ToolChoice]);
        check(
            "The tool_choice parameter does not support being set to required in thinking mode",
            "",
            &[ToolChoice],
        );
        check("Thinking may not be enabled when tool_choice forces tool use.", "", &[ToolChoice]);
        check("body.tools.0.function.strict: Extra inputs are not permitted", "", &[Strict]);
        check("Strict mode is not supported", "", &[Strict]);
        check("We are strict here: this is not supported", "", &[]);
    }

    #[test]
    fn the_other_name_is_known_by_words_or_param() {
        let openai = "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                      'max_completion_tokens' instead.";
        check(openai, "max_tokens", &[SHORT]);
        check(openai, "", &[SHORT]);
        check("Please use max_completion_tokens instead of max_tokens", "", &[SHORT]);
        check("Use `max_tokens` instead of `max_completion_tokens`", "", &[LONG]);
        check("Unrecognized request argument supplied: max_completion_tokens", "", &[LONG]);
        check("body.max_completion_tokens: Extra inputs are not permitted", "", &[LONG]);
        check("property 'max_completion_tokens' is unsupported", "", &[LONG]);
        assert_eq!(refused_parameters(400, &error("No.", "max_tokens", &["unsupported_parameter"])), [SHORT]);
    }

    #[test]
    fn a_parameter_is_known_by_words_or_param() {
        let fixed = "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default \
                     (1) value is supported.";
        check(fixed, "temperature", &[Temperature]);
        check(fixed, "", &[Temperature]);
        check("This model does not support temperature", "", &[Temperature]);
        check("`temperature` is deprecated for this model.", "", &[Temperature]);
        check("Unsupported parameter: 'top_p' is not supported with this model.", "top_p", &[TopP]);
        check("Unsupported parameter: 'stop' is not supported with this model.", "", &[Stop]);
        check("Unrecognized request argument supplied: seed", "", &[Seed]);
        check("stop and temperature are not supported", "", &[Stop, Temperature]);
        check("Unsupported parameter: 'seed'. The others are: 'stop', 'top_p'", "", &[Seed]);
        check("body.seed: Extra inputs are not permitted; body.n: too many", "", &[Seed]);
    }

    #[test]
    fn other_failures_are_left_alone() {
        check("temperature is too high", "temperature", &[]);
        check("Invalid 'temperature': expected a value <= 2, but got 3 instead.", "temperature", &[]);
        check("temperature 3 is not supported. It must be between 0 and 2", "", &[]);
        check("max_tokens is too large: 32768. This model supports at most 16384", "max_tokens", &[]);
        check("'max_tokens' or 'max_completion_tokens' must be positive", "", &[]);
        check("Could not finish because max_tokens or model output limit was reached.", "", &[]);
        check("Images are not supported: we stop here", "", &[]);
        check("stop_sequences and top_p_min are not supported", "", &[]);
        check("'temperature' was fine, but the model is not supported", "model", &[]);
        check("The model 'x' is not supported", "", &[]);
        assert!(refused_parameters(403, &error("'seed' is not supported", "seed", &[])).is_empty());
        assert!(refused_parameters(500, &error("'seed' crashed the worker", "seed", &[])).is_empty());
    }

    #[test]
    fn the_words_decide_and_not_the_status() {
        for status in [400, 422, 500, 501, 503] {
            assert_eq!(refused_parameters(status, &error("'seed' is not supported", "seed", &[])), [Seed]);
        }
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(words in "(\\PC|stop|seed|max_tokens| is not supported|\\. ){0,20}") {
            refused_parameters(400, &error(&words, "", &["unsupported_value"]));
        }
    }
}
