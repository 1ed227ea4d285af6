//! Requests and replies as an OpenAI-compatible endpoint has them on the wire.

use promptopt_core::lm::{
    Completion, FinishReason, LmReply, LmRequest, Message, ResponseFormat, Sampling, ToolChoice,
};
use serde_json::{Map, Value, json};

/// The request in a body; `None` when its messages are none.
pub(crate) fn read_request(body: &Value) -> Option<LmRequest> {
    let messages: Vec<Message> = serde_json::from_value(body.get("messages")?.clone()).ok()?;
    let response_format = match body.pointer("/response_format/type").and_then(Value::as_str) {
        Some("json_object" | "json_schema") => ResponseFormat::JsonObject,
        _ => ResponseFormat::Text,
    };
    let n = body.get("n").and_then(Value::as_u64).map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let mut request = LmRequest::new(messages)
        .with_sampling(sampling(body))
        .with_response_format(response_format)
        .with_n(n);
    let part = |name: &str| body.get(name).cloned();
    request.tools = part("tools").and_then(|tools| serde_json::from_value(tools).ok()).unwrap_or_default();
    request.tool_choice = part("tool_choice").map(ToolChoice::from);
    request.parallel_tool_calls = part("parallel_tool_calls").and_then(|parallel| parallel.as_bool());
    Some(request)
}

/// The sampling parameters that a model here can follow.
fn sampling(body: &Value) -> Sampling {
    let whole = |name: &str| body.get(name).and_then(Value::as_u64);
    let mut sampling = Sampling::default();
    sampling.temperature = body.get("temperature").and_then(Value::as_f64);
    sampling.top_p = body.get("top_p").and_then(Value::as_f64);
    sampling.max_tokens =
        whole("max_completion_tokens").or(whole("max_tokens")).and_then(|most| u32::try_from(most).ok());
    sampling.seed = whole("seed");
    sampling.stop = match body.get("stop") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    sampling
}

/// The body of a reply.
pub(crate) fn reply(reply: &LmReply) -> Value {
    let choices: Vec<_> = reply
        .completions
        .iter()
        .enumerate()
        .map(|(index, completion)| {
            let reason = reason(completion);
            json!({"index": index, "finish_reason": reason, "message": completion.to_message()})
        })
        .collect();
    told([
        ("object", Some("chat.completion".into())),
        ("choices", Some(choices.into())),
        ("usage", Some(usage(reply))),
        ("id", reply.id.clone().map(Value::from)),
        ("model", reply.model.clone().map(Value::from)),
    ])
}

/// What a reply took.
fn usage(reply: &LmReply) -> Value {
    let used = &reply.usage;
    let part = |name: &str, tokens: u64| (tokens > 0).then(|| json!({name: tokens}));
    told([
        ("prompt_tokens", Some(used.prompt_tokens.into())),
        ("completion_tokens", Some(used.completion_tokens.into())),
        ("total_tokens", Some(used.total_tokens().into())),
        ("prompt_tokens_details", part("cached_tokens", used.cached_tokens)),
        ("completion_tokens_details", part("reasoning_tokens", used.reasoning_tokens)),
    ])
}

fn reason(completion: &Completion) -> &'static str {
    match completion.finish_reason {
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        _ => "stop",
    }
}

/// Whether a body asks for a stream.
pub(crate) fn wants_stream(body: &Value) -> bool {
    body.get("stream").and_then(Value::as_bool).unwrap_or_default()
}

/// How many letters a piece of a stream has.
const LETTERS: usize = 3;

/// A reply as the events of a stream, a few letters each, with the usage where `body` asks for it.
pub(crate) fn events(body: &Value, reply: &LmReply) -> Vec<String> {
    let model =
        reply.model.clone().map(Value::from).or_else(|| body.get("model").cloned()).unwrap_or_default();
    let id = reply.id.as_deref().unwrap_or("chatcmpl-0");
    let chunk = |choices: Value| json!({"id": id, "object": "chat.completion.chunk", "created": 0, "model": model, "choices": choices});
    let mut chunks = Vec::new();
    for (index, completion) in reply.completions.iter().enumerate() {
        let mut say = |delta: Value, reason: Value| {
            chunks.push(chunk(json!([{"index": index, "delta": delta, "finish_reason": reason}])));
        };
        say(json!({"role": "assistant", "content": ""}), Value::Null);
        let letters: Vec<char> = completion.text.chars().collect();
        for piece in letters.chunks(LETTERS) {
            say(json!({"content": piece.iter().collect::<String>()}), Value::Null);
        }
        let message = serde_json::to_value(completion.to_message()).unwrap_or_default();
        for (number, call) in
            message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let mut call = call.clone();
            call.as_object_mut().into_iter().for_each(|call| {
                call.insert("index".to_owned(), number.into());
            });
            say(json!({"tool_calls": [call]}), Value::Null);
        }
        say(json!({}), reason(completion).into());
    }
    if body.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or_default() {
        let mut last = chunk(json!([]));
        last.as_object_mut().into_iter().for_each(|last| {
            last.insert("usage".to_owned(), usage(reply));
        });
        chunks.push(last);
    }
    let done = std::iter::once("data: [DONE]\n\n".to_owned());
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).chain(done).collect()
}

/// The body of a reply with what OpenAI's own replies always have, because strict clients insist on it.
pub(crate) fn whole_reply(told: &LmReply, request: &Value) -> Value {
    let model = request.get("model").cloned().unwrap_or_default();
    let mut whole = Map::from_iter([("id".to_owned(), "chatcmpl-0".into()), ("model".to_owned(), model)]);
    whole.insert("created".to_owned(), 0.into());
    if let Value::Object(fields) = reply(told) {
        whole.extend(fields);
    }
    whole.into()
}

/// An object of the fields that there are.
fn told<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<Map<_, _>>()
        .into()
}

/// The body of a refusal.
pub(crate) fn error(message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error"}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_its_sampling_parameters() {
        let body = |own: Value| {
            let mut body = json!({"messages": [{"role": "user", "content": "Hi"}]});
            if let (Some(body), Value::Object(own)) = (body.as_object_mut(), own) {
                body.extend(own);
            }
            read_request(&body).unwrap().sampling
        };
        let read =
            body(json!({"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 3, "stop": ["a", "b"]}));
        assert_eq!(
            (read.temperature, read.top_p, read.max_tokens, read.seed),
            (Some(0.5), Some(0.9), Some(7), Some(3))
        );
        assert_eq!(read.stop, ["a", "b"]);
        let other = body(json!({"max_completion_tokens": 9, "stop": "x"}));
        assert_eq!((other.max_tokens, other.stop), (Some(9), vec!["x".to_owned()]));
        assert_eq!(body(json!({})), Sampling::default());
    }
}
