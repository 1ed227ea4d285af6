//! OpenAI chat completions.

#![expect(clippy::indexing_slicing, reason = "what is indexed is an object that was made here")]

use promptopt_core::lm::{FinishReason, LmReply, LmRequest, Message, ToolChoice};
use serde_json::{Value, json};

use super::{Asked, Body, CREATED, ask_format, event, take, take_flag, take_sampling, take_text, take_whole};

pub(super) fn read(mut body: Body) -> Result<Asked, String> {
    let messages = take(&mut body, "messages").ok_or("`messages` is missing: give a list of messages")?;
    let messages: Vec<Message> =
        serde_json::from_value(messages).map_err(|error| format!("`messages` cannot be read: {error}"))?;
    let model = take_text(&mut body, "model").unwrap_or_default();
    let stream = take_flag(&mut body, "stream");
    let options = take(&mut body, "stream_options");
    let says_usage = options.and_then(|options| options.get("include_usage")?.as_bool()).unwrap_or_default();
    let mut request = LmRequest::new(messages);
    request.sampling = take_sampling(&mut body, &["max_completion_tokens", "max_tokens"], "stop");
    request.sampling.reasoning_effort = take_text(&mut body, "reasoning_effort");
    request.sampling.verbosity = take_text(&mut body, "verbosity");
    request.n = take_whole(&mut body, &["n"]).unwrap_or(1);
    if let Some(format) = take(&mut body, "response_format") {
        ask_format(&mut request, format);
    }
    if let Some(tools) = take(&mut body, "tools") {
        request.tools =
            serde_json::from_value(tools).map_err(|error| format!("`tools` cannot be read: {error}"))?;
    }
    request.tool_choice = take(&mut body, "tool_choice").map(ToolChoice::from);
    request.parallel_tool_calls = take(&mut body, "parallel_tool_calls").and_then(|value| value.as_bool());
    let likely = take_whole(&mut body, &["top_logprobs"]);
    if take_flag(&mut body, "logprobs") {
        request.logprobs = Some(likely.unwrap_or(0));
    }
    body.into_iter().filter(|(_, value)| !value.is_null()).for_each(|(name, value)| {
        request.extra.insert(name, value);
    });
    Ok(Asked { request, model, stream, says_usage })
}

pub(super) fn write(asked: &Asked, reply: &LmReply, id: &str) -> Value {
    let choices: Vec<Value> = reply
        .completions
        .iter()
        .enumerate()
        .map(|(index, completion)| {
            let reason = match completion.finish_reason {
                FinishReason::Length => "length",
                FinishReason::ContentFilter => "content_filter",
                FinishReason::ToolCalls => "tool_calls",
                _ if !completion.tool_calls.is_empty() => "tool_calls",
                _ => "stop",
            };
            let mut message = json!(completion.to_message());
            if let Some(message) = message.as_object_mut() {
                message.insert("refusal".to_owned(), json!(completion.refusal));
                if !completion.reasoning.is_empty() {
                    message.insert("reasoning_content".to_owned(), completion.reasoning.as_str().into());
                }
            }
            let logprobs = (!completion.logprobs.is_empty()).then(|| json!({"content": completion.logprobs}));
            json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason})
        })
        .collect();
    let mut body = json!({
        "id": format!("chatcmpl-{id}"),
        "object": "chat.completion",
        "created": CREATED,
        "model": reply.model.as_deref().unwrap_or(&asked.model),
        "choices": choices,
        "usage": usage(reply),
        "system_fingerprint": reply.system_fingerprint,
    });
    // What the provider says besides is for whoever asked.
    if let Some(body) = body.as_object_mut() {
        for (name, value) in reply.extra.iter() {
            body.entry(name).or_insert_with(|| value.clone());
        }
    }
    body
}

fn usage(reply: &LmReply) -> Value {
    let usage = &reply.usage;
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens(),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

/// The chunks of a reply: each choice with its role, its text, its calls, and why it ended.
pub(super) fn events(asked: &Asked, body: &Value) -> String {
    let mut head = body.clone();
    if let Some(head) = head.as_object_mut() {
        head.shift_remove("choices");
        head.shift_remove("usage");
    }
    head["object"] = "chat.completion.chunk".into();
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = head.clone();
        chunk["choices"] = choices;
        if asked.says_usage {
            chunk["usage"] = usage;
        }
        event(None, &chunk)
    };
    let mut text = String::new();
    for choice in body["choices"].as_array().into_iter().flatten() {
        let part = |delta: Value, reason: Value| json!([{"index": choice["index"], "delta": delta, "logprobs": null, "finish_reason": reason}]);
        let mut delta = choice["message"].clone();
        for (index, call) in delta["tool_calls"].as_array_mut().into_iter().flatten().enumerate() {
            call["index"] = index.into();
        }
        text.push_str(&chunk(part(json!({"role": "assistant", "content": ""}), Value::Null), Value::Null));
        text.push_str(&chunk(part(delta, Value::Null), Value::Null));
        text.push_str(&chunk(part(json!({}), choice["finish_reason"].clone()), Value::Null));
    }
    if asked.says_usage {
        text.push_str(&chunk(json!([]), body["usage"].clone()));
    }
    text.push_str("data: [DONE]\n\n");
    text
}

#[cfg(test)]
mod tests {
    use promptopt_core::money::Usage;

    use super::*;

    #[test]
    fn what_is_not_known_of_a_request_and_a_reply_passes_through() {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "a", "name": "Ann"}],
            "service_tier": "flex", "modalities": ["text"], "user": null});
        let asked = read(body.as_object().unwrap().clone()).unwrap();
        assert_eq!(asked.request.extra.keys().collect::<Vec<_>>(), ["service_tier", "modalities"]);
        assert_eq!(json!(asked.request.messages[0])["name"], "Ann");
        let mut reply = LmReply::text("b", Usage::call(1, 1));
        reply.extra.insert("citations".to_owned(), json!(["https://example.org"]));
        reply.extra.insert("model".to_owned(), json!("other"));
        reply.completions[0].extra.insert("annotations".to_owned(), json!([1]));
        let written = write(&asked, &reply, "1");
        assert_eq!(written["citations"], json!(["https://example.org"]));
        assert_eq!(written["model"], "m");
        let events = events(&asked, &written);
        let chunk: Value =
            serde_json::from_str(events.strip_prefix("data: ").unwrap().lines().next().unwrap()).unwrap();
        assert_eq!(
            (&chunk["citations"], &chunk["object"]),
            (&written["citations"], &"chat.completion.chunk".into())
        );
        assert_eq!(written["choices"][0]["message"]["annotations"], json!([1]));
    }
}
