//! A request in the terms of `genai`.

use genai::chat::{ChatOptions, ChatResponseFormat, JsonSpec, ReasoningEffort};
use promptopt_core::lm::{LmRequest, ResponseFormat, Sampling, ToolChoice};
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
        options.tool_choice = request.tool_choice.as_ref().and_then(tool_choice);
        options.extra_headers = Some(self.headers.clone());
        let mut own = self.peer.template.extra.clone();
        own.extend((*request.extra).clone());
        if let (Dialect::Anthropic, Some(parallel)) =
            (self.dialect, self.peer.template.parallel_tool_calls(request, draft))
            && !request.tools.is_empty()
        {
            let choice = json!({"disable_parallel_tool_use": !parallel});
            own.insert("tool_choice".to_owned(), with(choice, request.tool_choice.as_ref()));
        }
        let mut extra = extra(self.dialect, sampling, format, own);
        if let Some(Value::Object(config)) = extra.get_mut(GENERATION_CONFIG) {
            // The library's own entry is replaced, so what it says of thinking has to be said once more.
            let thinking =
                options.reasoning_effort.as_ref().and_then(|it| thinking(&self.peer.template.model, it));
            thinking.map(|thinking| config.entry("thinkingConfig").or_insert(thinking));
        }
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

/// A choice of tools in Anthropic's words, with what `extra` says of it.
fn with(mut extra: Value, choice: Option<&ToolChoice>) -> Value {
    let (kind, name) = match choice {
        Some(ToolChoice::None) => return json!({"type": "none"}),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Tool(name)) => ("tool", Some(name)),
        _ => ("auto", None),
    };
    if let Value::Object(fields) = &mut extra {
        fields.insert("type".to_owned(), kind.into());
        fields.extend(name.map(|name| ("name".to_owned(), name.as_str().into())));
    }
    extra
}

/// How much Gemini is to think, in its words, as the library has it.
fn thinking(model: &str, effort: &ReasoningEffort) -> Option<Value> {
    use ReasoningEffort::{Budget, High, Low, Max, Medium, Minimal, XHigh, Zero};
    if ["gemini-3", "gemma-4"].iter().any(|name| model.contains(name)) {
        let level = match effort {
            Minimal => "MINIMAL",
            Low => "LOW",
            Medium => "MEDIUM",
            High | Max | XHigh => "HIGH",
            Zero | Budget(_) => return None,
        };
        return Some(json!({"thinkingLevel": level}));
    }
    let budget = match effort {
        Low | Minimal => 1000,
        Medium => 8000,
        High | Max | XHigh => 24_000,
        Budget(budget) => *budget,
        Zero => return None,
    };
    Some(json!({"thinkingBudget": budget}))
}

/// The extra parameters of a body. They replace whole entries of it, so that what is to be added to Gemini's
/// `generationConfig` takes along all of that.
fn extra(
    dialect: Dialect,
    sampling: &Sampling,
    format: Option<&ResponseFormat>,
    mut extra: Map<String, Value>,
) -> Map<String, Value> {
    let wants_object = matches!(format, Some(ResponseFormat::JsonObject));
    if dialect != Dialect::Gemini || !(wants_object || extra.contains_key(GENERATION_CONFIG)) {
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
    if let Some(Value::Object(own)) = extra.shift_remove(GENERATION_CONFIG) {
        config.extend(own);
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
