//! What the client has learnt about a server's support for structured output.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use promptopt_core::data::ContentHash;
use promptopt_core::lm::ResponseFormat;

use crate::provider_error::ProviderError;

/// Which response formats the server has refused, remembered for the life of the client.
#[derive(Debug, Default)]
pub(crate) struct FormatSupport {
    json_object_refused: AtomicBool,
    json_schema_refused: AtomicBool,
    /// Schemas that the server did not take, while it may take others.
    schemas_refused: Mutex<HashSet<ContentHash>>,
}

/// So many schemas are remembered.
const MOST_SCHEMAS: usize = 1000;

/// How a refusal of `response_format` is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatRefusal {
    /// The server does not know the format: it is not sent again.
    Always,
    /// The server does not take this schema.
    ThisSchema,
    /// Something else in this one request does not go with the format.
    ThisRequest,
}

impl FormatSupport {
    /// Whether `format` is worth sending.
    pub(crate) fn is_worth_sending(&self, format: &ResponseFormat) -> bool {
        self.flag(format).is_some_and(|refused| !refused.load(Ordering::Relaxed))
            && self.with_schemas(|refused| refused.is_empty() || !refused.contains(&ContentHash::of(format)))
    }

    fn with_schemas<T>(&self, work: impl FnOnce(&mut HashSet<ContentHash>) -> T) -> T {
        work(&mut self.schemas_refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers that the server refused `format`.
    pub(crate) fn remember(&self, format: &ResponseFormat, refusal: FormatRefusal) {
        match (self.flag(format), refusal) {
            (Some(flag), FormatRefusal::Always) => flag.store(true, Ordering::Relaxed),
            (Some(_), FormatRefusal::ThisSchema) => self.with_schemas(|refused| {
                if refused.len() < MOST_SCHEMAS {
                    refused.insert(ContentHash::of(format));
                }
            }),
            _ => {}
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

/// Whether an error objects to `response_format`, and to what about it. Servers say so with any status: beside the two
/// that mean it (400, 422) the words must be those of a refusal, and not those of a crash.
pub(crate) fn format_refusal(status: u16, error: &ProviderError) -> Option<FormatRefusal> {
    if !may_be_about_the_request(status) {
        return None;
    }
    let message = error.message.to_lowercase();
    let says = |needles: &[&str]| needles.iter().any(|needle| message.contains(needle));
    // Some servers check the model's output themselves and blame the request when it is no JSON.
    if error.has_label(&["json_validate_failed"]) {
        return Some(FormatRefusal::ThisRequest);
    }
    let names_it = error.param.starts_with("response_format") || says(&NAMES);
    if !names_it || !(matches!(status, 400 | 422) || says(&REFUSALS)) {
        return None;
    }
    Some(if says(&["invalid schema", "invalid json schema", "too complex", "too many states"]) {
        FormatRefusal::ThisSchema
    } else if says(&["must contain the word"]) {
        FormatRefusal::ThisRequest
    } else {
        FormatRefusal::Always
    })
}

/// Whether an error with this status can be about a part of the request: not about the key, the credit or the rate.
pub(crate) fn may_be_about_the_request(status: u16) -> bool {
    status >= 400 && !matches!(status, 401 | 402 | 403 | 429)
}

/// What servers call the format: those of the OpenAI dialect, Anthropic and Gemini.
const NAMES: [&str; 17] = [
    "output_config",
    "output_format",
    "response_schema",
    "responseschema",
    "responsejsonschema",
    "response_mime_type",
    "responsemimetype",
    "response_format",
    "response format",
    "responseformat",
    "json_schema",
    "json schema",
    "json_object",
    "json mode",
    "structured output",
    "guided decoding",
    "guided_json",
];

/// How they refuse it.
const REFUSALS: [&str; 18] = [
    "must be",
    "should be",
    "not support",
    "n't support",
    "unsupported",
    "only support",
    "not available",
    "type is unavailable",
    "invalid",
    "not valid",
    "unknown",
    "unrecognized",
    "not allowed",
    "not permitted",
    "not enabled",
    "not implemented",
    "expected one of",
    "can't be used",
];

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
        let schema = Some(FormatRefusal::ThisSchema);
        check(
            400,
            "Invalid schema for response_format 'x': 'required' is missing",
            "response_format",
            schema,
        );
        check(400, "'messages' must contain the word 'json' to use 'json_object'", "messages", once);
        check(400, "temperature must be below 2", "temperature", None);
        check(400, "output_config: Extra inputs are not permitted", "", always);
        check(400, "output_config.format.schema: Invalid schema", "", schema);
        check(400, "generation_config.response_schema: too many states", "", schema);
        check(400, "Unknown name \"responseJsonSchema\" at 'generation_config'", "", always);
        check(500, "response_format crashed", "", None);
        check(500, "unexpected failure in guided decoding, contact support", "", None);
        check(503, "json_schema service temporarily unavailable", "", None);
        check(429, "response_format is not supported at this rate", "", None);
        check(401, "response_format is not supported for this key", "", None);
    }

    #[test]
    fn the_words_decide_and_not_the_status() {
        // From llama.cpp, LM Studio, DeepSeek, Groq, Mistral, vLLM, and an OpenAI-compatible gateway.
        for words in [
            "response_format type must be one of \"text\" or \"json_object\", but got: json_schema",
            "'response_format.type' must be 'json_schema' or 'text'",
            "This response_format type is unavailable now",
            "response_format: invalid type: string \"text\", expected internally tagged enum ResponseFormat",
            "This model does not support response format `json_schema`.",
            "Structured output is not supported for this model",
            "Guided decoding is not enabled on this server",
            "JSON mode is not supported",
            "Unsupported parameter: json_schema",
            "not implemented: response_format",
            "output_config: Extra inputs are not permitted",
        ] {
            for status in [400, 404, 422, 500, 501, 502, 503] {
                check(status, words, "", Some(FormatRefusal::Always));
            }
        }
    }

    #[test]
    fn formats_are_remembered_apart() {
        let support = FormatSupport::default();
        let schema = ResponseFormat::JsonSchema { name: "s".into(), schema: serde_json::json!({}) };
        let other =
            ResponseFormat::JsonSchema { name: "s".into(), schema: serde_json::json!({"type": "object"}) };
        support.remember(&schema, FormatRefusal::ThisRequest);
        assert!(support.is_worth_sending(&schema));
        support.remember(&other, FormatRefusal::ThisSchema);
        assert!(support.is_worth_sending(&schema) && !support.is_worth_sending(&other));
        support.remember(&schema, FormatRefusal::Always);
        assert!(!support.is_worth_sending(&schema));
        assert!(support.is_worth_sending(&ResponseFormat::JsonObject));
        assert!(!support.is_worth_sending(&ResponseFormat::Text));
    }
}
