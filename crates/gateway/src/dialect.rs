//! The ways in which programs speak to language models.

mod chat;
mod messages;
mod responses;

use promptopt_core::lm::{FinishReason, LmReply, LmRequest, ResponseFormat, Sampling};
use promptopt_core::money::Usage;
use serde_json::{Map, Value, json};

/// A body as it came.
pub(crate) type Body = Map<String, Value>;

/// What a program asks for.
pub(crate) struct Asked {
    pub(crate) request: LmRequest,
    /// The model that it names.
    pub(crate) model: String,
    /// Whether the reply is to come as a stream of events.
    pub(crate) stream: bool,
    /// Whether the stream ends with what the call cost.
    pub(crate) says_usage: bool,
}

impl Asked {
    /// The request, without a copy of what may be long. What replies repeat of it stays.
    pub(crate) fn hand_over(&mut self) -> LmRequest {
        let mut stays = LmRequest::default();
        stays.sampling.clone_from(&self.request.sampling);
        stays.tool_choice.clone_from(&self.request.tool_choice);
        stays.parallel_tool_calls = self.request.parallel_tool_calls;
        std::mem::replace(&mut self.request, stays)
    }
}

/// A way to ask for a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    /// `POST /chat/completions` of OpenAI.
    Chat,
    /// `POST /responses` of OpenAI.
    Responses,
    /// `POST /messages` of Anthropic.
    Messages,
}

impl Dialect {
    /// What a body asks for, or what is wrong with it.
    pub(crate) fn read(self, body: Body) -> Result<Asked, String> {
        match self {
            Self::Chat => chat::read(body),
            Self::Responses => responses::read(body),
            Self::Messages => messages::read(body),
        }
    }

    /// The body of a reply.
    pub(crate) fn write(self, asked: &Asked, reply: &LmReply, id: &str) -> Value {
        match self {
            Self::Chat => chat::write(asked, reply, id),
            Self::Responses => responses::write(asked, reply, id),
            Self::Messages => messages::write(asked, reply, id),
        }
    }

    /// A reply as the events of a stream.
    pub(crate) fn events(self, asked: &Asked, body: &Value) -> String {
        match self {
            Self::Chat => chat::events(asked, body),
            Self::Responses => responses::events(body),
            Self::Messages => messages::events(body),
        }
    }

    /// The body of an error.
    pub(crate) fn error(self, kind: &str, message: &str) -> Value {
        match self {
            Self::Messages => json!({"type": "error", "error": {"type": kind, "message": message}}),
            _ => json!({"error": {"message": message, "type": kind, "param": null, "code": kind}}),
        }
    }
}

/// Takes a field out of a body; a null is none.
fn take(body: &mut Body, name: &str) -> Option<Value> {
    body.shift_remove(name).filter(|value| !value.is_null())
}

fn take_text(body: &mut Body, name: &str) -> Option<String> {
    take(body, name).and_then(|value| value.as_str().map(str::to_owned))
}

fn take_flag(body: &mut Body, name: &str) -> bool {
    take(body, name).is_some_and(|value| value == true)
}

fn take_whole(body: &mut Body, names: &[&str]) -> Option<u32> {
    let all: Vec<Option<Value>> = names.iter().map(|name| take(body, name)).collect();
    all.into_iter().flatten().find_map(|value| u32::try_from(value.as_u64()?).ok())
}

/// The sampling parameters of a body, taken out of it.
fn take_sampling(body: &mut Body, max_tokens: &[&str], stop: &str) -> Sampling {
    let mut sampling = Sampling::default();
    sampling.temperature = take(body, "temperature").and_then(|value| value.as_f64());
    sampling.top_p = take(body, "top_p").and_then(|value| value.as_f64());
    sampling.max_tokens = take_whole(body, max_tokens);
    sampling.seed = take(body, "seed").and_then(|value| value.as_u64());
    sampling.stop = match take(body, stop) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    sampling
}

/// Asks for a form of the reply, as chat completions say it. A schema that is no strict one goes over the wire as it is:
/// held strictly, it may be refused.
fn ask_format(request: &mut LmRequest, format: Value) {
    let own = format.get("json_schema");
    let field = |name: &str| own?.get(name);
    request.response_format = match format.get("type").and_then(Value::as_str) {
        Some("text") => ResponseFormat::Text,
        Some("json_object") => ResponseFormat::JsonObject,
        Some("json_schema") if field("strict") == Some(&Value::Bool(true)) => ResponseFormat::JsonSchema {
            name: field("name").and_then(Value::as_str).unwrap_or("output").to_owned(),
            schema: field("schema").cloned().unwrap_or_default(),
        },
        _ => {
            request.extra.insert("response_format".to_owned(), format);
            return;
        }
    };
}

/// One event of a stream.
fn event(name: Option<&str>, data: &Value) -> String {
    match name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    }
}

/// The first completion's reason to end, in the words of a dialect.
fn reason(reply: &LmReply) -> FinishReason {
    reply.completions.first().map_or(FinishReason::Other, |completion| completion.finish_reason)
}

/// The tokens of a call as the newer dialects of both providers have them.
fn tokens(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
    })
}

/// The instants that bodies name are those of nothing: replies are kept, and kept replies do not age.
const CREATED: u64 = 0;
