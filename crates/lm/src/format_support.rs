//! What the client has learnt about a server's support for structured output.

use std::sync::atomic::{AtomicBool, Ordering};

use promptopt_core::lm::ResponseFormat;

use crate::provider_error::ProviderError;

/// Which response formats the server has refused, remembered for the life of the client.
#[derive(Debug, Default)]
pub(crate) struct FormatSupport {
    json_object_refused: AtomicBool,
    json_schema_refused: AtomicBool,
}

/// How a refusal of `response_format` is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatRefusal {
    /// The server does not know the format: it is not sent again.
    Always,
    /// Something in this one request does not go with the format, such as its schema.
    ThisRequest,
}

impl FormatSupport {
    /// Whether `format` is worth sending.
    pub(crate) fn is_worth_sending(&self, format: &ResponseFormat) -> bool {
        self.flag(format).is_some_and(|refused| !refused.load(Ordering::Relaxed))
    }

    /// Remembers that the server refused `format`.
    pub(crate) fn remember(&self, format: &ResponseFormat, refusal: FormatRefusal) {
        if let (Some(flag), FormatRefusal::Always) = (self.flag(format), refusal) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    fn flag(&self, format: &ResponseFormat) -> Option<&AtomicBool> {
        match format {
            ResponseFormat::JsonObject => Some(&self.json_object_refused),
            ResponseFormat::JsonSchema { .. } => Some(&self.json_schema_refused),
            _ => None,
        }
    }
}

/// Whether an error with this status objects to `response_format`, and to what about it.
pub(crate) fn format_refusal(status: u16, error: &ProviderError) -> Option<FormatRefusal> {
    if status != 400 && status != 422 {
        return None;
    }
    let message = error.message.to_lowercase();
    let says = |needles: &[&str]| needles.iter().any(|needle| message.contains(needle));
    // Some servers check the model's output themselves and blame the request when it is no JSON.
    if error.has_label(&["json_validate_failed"]) {
        return Some(FormatRefusal::ThisRequest);
    }
    let names_it = error.param.starts_with("response_format")
        || says(&["response_format", "response format", "json_schema", "json_object", "structured output"]);
    if !names_it {
        return None;
    }
    let about_this_request = says(&["invalid schema", "invalid json schema", "must contain the word"]);
    Some(if about_this_request { FormatRefusal::ThisRequest } else { FormatRefusal::Always })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, message: &str, param: &str, expected: Option<FormatRefusal>) {
        let error = ProviderError { message: message.into(), param: param.into(), ..Default::default() };
        assert_eq!(format_refusal(status, &error), expected, "{message}");
    }

    #[test]
    fn a_refusal_is_known_by_its_words() {
        let always = Some(FormatRefusal::Always);
        check(400, "'response_format' is not supported by this model", "", always);
        check(422, "Extra inputs are not permitted", "response_format.type", always);
        check(400, "This model does not support structured output", "", always);
        let once = Some(FormatRefusal::ThisRequest);
        check(400, "Invalid schema for response_format 'x': 'required' is missing", "response_format", once);
        check(400, "'messages' must contain the word 'json' to use 'json_object'", "messages", once);
        check(400, "temperature must be below 2", "temperature", None);
        check(500, "response_format crashed", "", None);
    }

    #[test]
    fn formats_are_remembered_apart() {
        let support = FormatSupport::default();
        let schema = ResponseFormat::JsonSchema { name: "s".into(), schema: serde_json::json!({}) };
        support.remember(&schema, FormatRefusal::ThisRequest);
        assert!(support.is_worth_sending(&schema));
        support.remember(&schema, FormatRefusal::Always);
        assert!(!support.is_worth_sending(&schema));
        assert!(support.is_worth_sending(&ResponseFormat::JsonObject));
        assert!(!support.is_worth_sending(&ResponseFormat::Text));
    }
}
