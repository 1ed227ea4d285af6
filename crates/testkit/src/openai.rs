//! Requests and replies as an OpenAI-compatible endpoint has them on the wire.

use promptopt_core::lm::{FinishReason, LmReply, LmRequest, Message, ResponseFormat, Role, Sampling};
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
        messages.push(Message::new(role, message.get("content")?.as_str()?.to_owned()));
    }
    let response_format = match body.pointer("/response_format/type").and_then(Value::as_str) {
        Some("json_object" | "json_schema") => ResponseFormat::JsonObject,
        _ => ResponseFormat::Text,
    };
    let mut sampling = Sampling::default();
    sampling.temperature = body.get("temperature").and_then(Value::as_f64);
    let n = body.get("n").and_then(Value::as_u64).map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX));
    Some(LmRequest::new(messages).with_sampling(sampling).with_response_format(response_format).with_n(n))
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
