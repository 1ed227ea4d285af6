//! A request in the terms of `genai`.

use genai::chat::{ChatOptions, ChatResponseFormat, JsonSpec, ReasoningEffort, Verbosity};
use promptopt_core::lm::{LmRequest, ResponseFormat, Sampling};
use serde_json::{Map, Value, json};

use super::chat::tool_choice;
use super::wire::NativeWire;
use crate::draft::Draft;
use crate::provider::Dialect;

/// Where Gemini has its sampling parameters.
const GENERATION_CONFIG: &str = "generationConfig";

impl NativeWire {
    /// Everything else in `request`, as far as `draft` goes.
    pub(super) fn options(&self, request: &LmRequest, draft: &Draft) -> ChatOptions {
        let sampling = &draft.sampling;
        let format = Some(&request.response_format).filter(|_| draft.with_format);
        // The body of a reply that holds no completion is what tells why.
        let mut options = ChatOptions::default().with_capture_raw_body(true);
        options.temperature = sampling.temperature;
        options.top_p = sampling.top_p;
        options.max_tokens = sampling.max_tokens;
        options.stop_sequences = sampling.stop.clone();
        options.seed = sampling.seed;
        options.response_format = format.and_then(|format| response_format(self.dialect, format));
        options.reasoning_effort =
            sampling.reasoning_effort.as_deref().and_then(ReasoningEffort::from_keyword);
        options.verbosity = sampling.verbosity.as_deref().and_then(Verbosity::from_keyword);
        options.tool_choice = request.tool_choice.as_ref().and_then(tool_choice);
        options.extra_headers = Some(self.headers.clone());
        let mut own = self.peer.template.extra.clone();
        own.extend(request.extra.clone());
        let extra = extra(self.dialect, sampling, format, &own);
        options.extra_body = (!extra.is_empty()).then_some(Value::Object(extra));
        options
    }
}

fn response_format(dialect: Dialect, format: &ResponseFormat) -> Option<ChatResponseFormat> {
    match (dialect, format) {
        (Dialect::Ollama, ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. }) => {
            Some(ChatResponseFormat::JsonMode)
        }
        (Dialect::Anthropic | Dialect::Gemini, ResponseFormat::JsonSchema { name, schema }) => {
            Some(JsonSpec::new(name.as_str(), schema.clone()).into())
        }
        _ => None,
    }
}

/// The extra parameters of a body. They replace whole entries of it, so that what is to be added to Gemini's
/// `generationConfig` takes along all of that.
fn extra(
    dialect: Dialect,
    sampling: &Sampling,
    format: Option<&ResponseFormat>,
    own: &Map<String, Value>,
) -> Map<String, Value> {
    let mut extra = own.clone();
    let wants_object = matches!(format, Some(ResponseFormat::JsonObject));
    if dialect != Dialect::Gemini || !(wants_object || own.contains_key(GENERATION_CONFIG)) {
        return extra;
    }
    let mut config = Map::new();
    let parameters = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("topP", sampling.top_p.map(Value::from)),
        ("maxOutputTokens", sampling.max_tokens.map(Value::from)),
        ("stopSequences", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
        ("seed", sampling.seed.map(Value::from)),
        ("responseMimeType", format.and_then(mime_type).map(Value::from)),
    ];
    config.extend(parameters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    if let Some(ResponseFormat::JsonSchema { schema, .. }) = format {
        config.insert("responseJsonSchema".to_owned(), schema.clone());
    }
    if let Some(Value::Object(own)) = own.get(GENERATION_CONFIG) {
        config.extend(own.clone());
    }
    extra.insert(GENERATION_CONFIG.to_owned(), Value::Object(config));
    extra
}

fn mime_type(format: &ResponseFormat) -> Option<&'static str> {
    match format {
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. } => Some("application/json"),
        _ => None,
    }
}
