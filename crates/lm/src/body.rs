//! The JSON body of a request.

use std::fmt;

use promptopt_core::lm::{LmError, LmRequest, ResponseFormat, Sampling};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ConfigError;
use crate::draft::Draft;
use crate::forms::offered;
use crate::parameter_support::Parameter;

/// The largest request that is sent. Providers take less: 50 MB at OpenAI, 32 at Anthropic.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// The name under which the bound on the completion is sent. A server that refuses it gets the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MaxTokensField {
    /// `max_tokens`: understood by nearly every server.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: the only name that OpenAI's reasoning models take.
    MaxCompletionTokens,
}

impl MaxTokensField {
    /// The name as it goes over the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }
}

/// Everything in a body that is the same for every request of a client.
#[derive(Debug, Clone)]
pub(crate) struct BodyTemplate {
    pub(crate) model: String,
    pub(crate) sampling: Sampling,
    pub(crate) max_tokens_field: MaxTokensField,
    pub(crate) strict_schemas: bool,
    /// For requests with tools that do not say it.
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) extra: Map<String, Value>,
}

impl BodyTemplate {
    /// Checks that the extra parameters leave the client's own alone.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for name in self.extra.keys() {
            let instead = match name.as_str() {
                "model" => "use the option `model`",
                "temperature" | "top_p" | "max_tokens" | "stop" | "seed" | "reasoning_effort"
                | "verbosity" => "set it as a sampling parameter of the model (in Rust, in `sampling`)",
                "max_completion_tokens" => {
                    "use `max_tokens`: it is sent under the name that the server takes"
                }
                "messages" | "n" | "response_format" | "tools" | "tool_choice" => {
                    "it comes from each request"
                }
                "parallel_tool_calls" => "use the option `parallel_tool_calls`: it goes with tools alone",
                "stream" | "stream_options" => "whoever calls says so: `stream` instead of `complete`",
                _ => continue,
            };
            return Err(ConfigError::BodyParameter { name: name.clone(), instead: instead.to_owned() });
        }
        check_sampling(&self.sampling).map_err(|reason| ConfigError::option("sampling", reason))
    }

    /// What `request` sends to a server that takes every parameter.
    pub(crate) fn draft(&self, request: &LmRequest, with_format: bool) -> Draft {
        let draft = Draft::new(self.merged(&request.sampling), self.max_tokens_field, with_format);
        draft.with_offered(offered(request, self.parallel_tool_calls))
    }

    /// The body for `request`, as far as `draft` goes.
    pub(crate) fn render(&self, request: &LmRequest, draft: &Draft) -> Result<Vec<u8>, LmError> {
        check_sampling(&request.sampling).map_err(unsent)?;
        let sampling = &draft.sampling;
        let parts = [
            ("model", Some(json!(self.model))),
            ("messages", Some(messages(request, draft)?)),
            ("temperature", sampling.temperature.map(Value::from)),
            ("top_p", sampling.top_p.map(Value::from)),
            (draft.max_tokens_field.as_str(), sampling.max_tokens.map(Value::from)),
            ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
            ("seed", sampling.seed.map(Value::from)),
            ("reasoning_effort", sampling.reasoning_effort.as_deref().map(Value::from)),
            ("verbosity", sampling.verbosity.as_deref().map(Value::from)),
            ("n", (request.n > 1).then(|| json!(request.n))),
            ("response_format", self.format(&request.response_format).filter(|_| draft.with_format)),
            ("tools", some_of(&request.tools)?),
            ("tool_choice", request.tool_choice.clone().map(Value::from)),
            ("parallel_tool_calls", self.parallel_tool_calls(request, draft).map(Value::from)),
            ("logprobs", request.logprobs.map(|_| true.into())),
            ("stream", draft.offers(Parameter::Stream).then(|| true.into())),
            (
                "stream_options",
                (draft.offers(Parameter::Stream) && draft.offers(Parameter::StreamOptions))
                    .then(|| json!({"include_usage": true})),
            ),
            ("top_logprobs", request.logprobs.filter(|likely| *likely > 0).map(Value::from)),
        ];
        let parts = parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut body: Map<String, Value> = parts.collect();
        let extra = self.extra.iter().chain(request.extra.iter());
        body.extend(extra.map(|(name, value)| (name.clone(), value.clone())));
        let body = serde_json::to_vec(&body)
            .map_err(|error| unsent(format!("the request can not be written as JSON: {error}")))?;
        check_size(body.len())?;
        Ok(body)
    }

    /// Whether several tools may be called at once. The client's own word goes with tools alone, because servers
    /// refuse it without.
    pub(crate) fn parallel_tool_calls(&self, request: &LmRequest, draft: &Draft) -> Option<bool> {
        let is_said = !request.tools.is_empty() && !draft.refused().contains(&Parameter::ParallelToolCalls);
        request.parallel_tool_calls.or(self.parallel_tool_calls.filter(|_| is_said))
    }

    /// The request's own sampling, completed by the client's.
    fn merged(&self, own: &Sampling) -> Sampling {
        let fallback = &self.sampling;
        let mut sampling = Sampling::default().with_stop(if own.stop.is_empty() {
            fallback.stop.clone()
        } else {
            own.stop.clone()
        });
        sampling.temperature = own.temperature.or(fallback.temperature);
        sampling.top_p = own.top_p.or(fallback.top_p);
        sampling.max_tokens = own.max_tokens.or(fallback.max_tokens);
        sampling.seed = own.seed.or(fallback.seed);
        sampling.reasoning_effort =
            own.reasoning_effort.clone().or_else(|| fallback.reasoning_effort.clone());
        sampling.verbosity = own.verbosity.clone().or_else(|| fallback.verbosity.clone());
        sampling
    }

    fn format(&self, format: &ResponseFormat) -> Option<Value> {
        match format {
            ResponseFormat::JsonObject => Some(json!({"type": "json_object"})),
            ResponseFormat::JsonSchema { name, schema } => Some(json!({
                "type": "json_schema",
                "json_schema": {"name": name, "schema": schema, "strict": self.strict_schemas},
            })),
            _ => None,
        }
    }
}

/// The messages in their wire form.
fn messages(request: &LmRequest, draft: &Draft) -> Result<Value, LmError> {
    let mut messages = written(&request.messages)?;
    if draft.refused().contains(&Parameter::NullContent) {
        let contents =
            messages.as_array_mut().into_iter().flatten().filter_map(|message| message.get_mut("content"));
        contents.filter(|content| content.is_null()).for_each(|content| *content = "".into());
    }
    Ok(messages)
}

/// A part of a request in its wire form, which is the form that it is serialized in.
fn written(part: &impl Serialize) -> Result<Value, LmError> {
    serde_json::to_value(part)
        .map_err(|error| unsent(format!("the request can not be written as JSON: {error}")))
}

/// The same of a list; nothing where it is empty.
fn some_of(list: &[impl Serialize]) -> Result<Option<Value>, LmError> {
    if list.is_empty() { Ok(None) } else { written(&list).map(Some) }
}

/// Refuses a request that is larger than any provider takes, before it is sent.
pub(crate) fn check_size(bytes: usize) -> Result<(), LmError> {
    if bytes <= MAX_REQUEST_BYTES {
        return Ok(());
    }
    let mb = |bytes: usize| bytes.div_ceil(1024 * 1024);
    Err(unsent(format!(
        "the request has {} MB, and at most {} are sent; show fewer or smaller images and files",
        mb(bytes),
        mb(MAX_REQUEST_BYTES)
    )))
}

/// JSON has no infinity and no NaN; a `null` in their place would mean "the provider's default".
pub(crate) fn check_sampling(sampling: &Sampling) -> Result<(), String> {
    for (name, value) in [("temperature", sampling.temperature), ("top_p", sampling.top_p)] {
        if value.is_some_and(|value| !value.is_finite()) {
            return Err(format!("`{name}` is not a finite number"));
        }
    }
    Ok(())
}

/// The error for a request that is wrong before it is sent.
pub(crate) fn unsent(reason: impl fmt::Display) -> LmError {
    LmError::InvalidRequest { status: 400, message: format!("{reason} (nothing was sent)") }
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{
        Audio, Content, File, Image, Message, Part, Role, ToolCall, ToolChoice, ToolDefinition,
    };
    use proptest::prelude::*;

    use super::*;

    fn template() -> BodyTemplate {
        BodyTemplate {
            model: "m".into(),
            sampling: Sampling::default()
                .with_temperature(0.5)
                .with_max_tokens(9)
                .with_stop(vec!["a".into()]),
            max_tokens_field: MaxTokensField::MaxCompletionTokens,
            strict_schemas: false,
            parallel_tool_calls: None,
            extra: Map::new(),
        }
    }

    #[test]
    fn a_request_that_no_provider_takes_is_not_sent() {
        let image = Image::of_bytes("image/png", &vec![7; 10 * 1024 * 1024]);
        let shown = Content::parts((0..5).map(|_| Part::Image(image.clone())));
        let request = LmRequest::new(vec![Message::user(shown)]);
        let render = |template: BodyTemplate| template.render(&request, &template.draft(&request, false));
        let error = render(template()).unwrap_err().to_string();
        assert!(error.contains("has 67 MB, and at most 64 are sent"), "{error}");
    }

    fn check(template: &BodyTemplate, request: &LmRequest, with_format: bool, expected: Value) {
        let body = template.render(request, &template.draft(request, with_format)).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }

    #[test]
    fn the_requests_sampling_goes_before_the_clients() {
        let mut request = LmRequest::new(vec![Message::user("hi")]);
        let messages = json!([{"role": "user", "content": "hi"}]);
        check(
            &template(),
            &request,
            true,
            json!({"model": "m", "messages": messages, "temperature": 0.5, "max_completion_tokens": 9,
                   "stop": ["a"]}),
        );
        request.sampling = Sampling::default()
            .with_temperature(0.0)
            .with_top_p(0.9)
            .with_max_tokens(1)
            .with_stop(vec!["b".into()])
            .with_seed(u64::MAX);
        request.n = 3;
        check(
            &template(),
            &request,
            true,
            json!({"model": "m", "messages": messages, "temperature": 0.0, "top_p": 0.9,
                   "max_completion_tokens": 1, "stop": ["b"], "seed": u64::MAX, "n": 3}),
        );
    }

    #[test]
    fn the_format_is_sent_unless_left_out() {
        let mut request = LmRequest::new(Vec::new());
        let schema = json!({"type": "object"});
        request.response_format = ResponseFormat::JsonSchema { name: "s".into(), schema: schema.clone() };
        let plain = json!({"model": "m", "messages": [], "temperature": 0.5, "max_completion_tokens": 9,
                           "stop": ["a"]});
        check(&template(), &request, false, plain.clone());
        let mut with_format = plain;
        with_format["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": false}});
        check(&template(), &request, true, with_format);
    }

    fn any_text() -> impl Strategy<Value = String> {
        "\\PC{0,12}"
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let call = (any_text(), any_text(), any_text())
            .prop_map(|(id, name, arguments)| ToolCall::new(id, name, arguments));
        let part = prop_oneof![
            any_text().prop_map(Part::said),
            any_text().prop_map(|url| Image::at(url).with_detail("low").into()),
            prop::collection::vec(any::<u8>(), 0..9)
                .prop_map(|bytes| Part::Audio(Audio::of_bytes("wav", &bytes))),
            any_text().prop_map(|id| Part::File(File::with_id(id))),
            any_text().prop_map(|text| Part::from(json!({"type": "video_url", "video_url": {"url": text}}))),
        ];
        let roles = vec![Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool];
        let content = prop_oneof![
            any_text().prop_map(Content::from),
            prop::collection::vec(part, 1..4).prop_map(Content::parts),
        ];
        let calls = prop::collection::vec(call, 0..3);
        (prop::sample::select(roles), content, calls, prop::option::of(any_text())).prop_map(
            |(role, content, calls, id)| {
                let mut message =
                    Message::new(role, content).with_tool_calls(calls).with_extra("x", json!([{"y": null}]));
                message.tool_call_id = id;
                message
            },
        )
    }

    proptest! {
        #[test]
        fn any_chat_with_any_tools_comes_back_from_the_body(
            messages in prop::collection::vec(any_message(), 0..5),
            tools in prop::collection::vec((any_text(), any_text(), any::<Option<bool>>()), 0..3),
            parallel_tool_calls in any::<Option<bool>>(),
        ) {
            let tools = tools.into_iter().filter(|(name, ..)| !name.is_empty());
            let tools: Vec<ToolDefinition> = tools
                .map(|(name, text, strict)| {
                    let mut tool = ToolDefinition::new(name, text, json!({"type": "object"}));
                    tool.strict = strict;
                    tool
                })
                .collect();
            let mut request = LmRequest::new(messages).with_tools(tools).with_tool_choice(ToolChoice::Required);
            request.parallel_tool_calls = parallel_tool_calls;
            let body = template().render(&request, &template().draft(&request, true)).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let back: Vec<Message> = serde_json::from_value(body["messages"].clone()).unwrap();
            prop_assert_eq!(back, request.messages);
            let tools = body.get("tools").cloned().unwrap_or_else(|| json!([]));
            prop_assert_eq!(serde_json::from_value::<Vec<ToolDefinition>>(tools).unwrap(), request.tools);
            prop_assert_eq!(body["tool_choice"].as_str(), Some("required"));
            prop_assert_eq!(body.get("parallel_tool_calls").and_then(Value::as_bool), parallel_tool_calls);
        }
    }

    #[test]
    fn a_number_that_json_has_not_is_refused() {
        let mut request = LmRequest::new(Vec::new());
        request.sampling.temperature = Some(f64::NAN);
        let error = template().render(&request, &template().draft(&request, true)).unwrap_err();
        assert!(error.to_string().contains("`temperature` is not a finite number"), "{error}");
        let sampling = Sampling::default().with_top_p(f64::INFINITY);
        assert!(BodyTemplate { sampling, ..template() }.check().is_err());
    }

    #[test]
    fn extra_parameters_may_not_clash() {
        for name in ["model", "messages", "n", "stream", "max_tokens", "max_completion_tokens", "seed"] {
            let extra = Map::from_iter([(name.to_owned(), json!(1))]);
            let error = BodyTemplate { extra, ..template() }.check().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let extra = Map::from_iter([("top_k".to_owned(), json!(1))]);
        assert!(BodyTemplate { extra, ..template() }.check().is_ok());
    }
}
