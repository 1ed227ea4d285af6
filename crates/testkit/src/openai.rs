//! Requests and replies as an OpenAI-compatible endpoint has them on the wire.

use promptopt_core::lm::{
    Content, FinishReason, LmReply, LmRequest, Message, ResponseFormat, Role, Sampling,
};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// The request in a body; `None` when its messages are not a list of role and content.
pub(crate) fn read_request(body: &Value) -> Option<LmRequest> {
    let mut messages = Vec::new();
    for message in body.get("messages")?.as_array()? {
        let role = match message.get("role")?.as_str()? {
            "system" => Role::System,
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        messages.push(Message::new(role, Content::deserialize(message.get("content")?).ok()?));
    }
    let response_format = match body.pointer("/response_format/type").and_then(Value::as_str) {
        Some("json_object" | "json_schema") => ResponseFormat::JsonObject,
        _ => ResponseFormat::Text,
    };
    let n = body.get("n").and_then(Value::as_u64).map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX));
    Some(
        LmRequest::new(messages)
            .with_sampling(sampling(body))
            .with_response_format(response_format)
            .with_n(n),
    )
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
            let reason = if completion.finish_reason == FinishReason::Length { "length" } else { "stop" };
            json!({
                "index": index,
                "finish_reason": reason,
                "message": {"role": "assistant", "content": completion.text},
            })
        })
        .collect();
    let usage = json!({
        "prompt_tokens": reply.usage.prompt_tokens,
        "completion_tokens": reply.usage.completion_tokens,
        "total_tokens": reply.usage.total_tokens(),
    });
    json!({"object": "chat.completion", "choices": choices, "usage": usage})
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
