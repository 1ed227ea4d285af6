//! Anthropic messages.

#![expect(clippy::indexing_slicing, reason = "what is indexed is an object that was made here")]

use promptopt_core::lm::{
    Content, FinishReason, Image, LmReply, LmRequest, Message, Part, Role, ToolCall, ToolChoice,
    ToolDefinition,
};
use serde_json::{Map, Value, json};

use super::{Asked, Body, event, reason, take, take_flag, take_sampling, take_text, tokens};

pub(super) fn read(mut body: Body) -> Result<Asked, String> {
    let turns = match take(&mut body, "messages") {
        Some(Value::Array(turns)) => turns,
        _ => return Err("`messages` is missing: give a list of messages".to_owned()),
    };
    let mut messages = Vec::new();
    if let Some(system) = take(&mut body, "system") {
        messages.push(Message::system(content(&system)));
    }
    for (number, turn) in turns.iter().enumerate() {
        add_turn(turn, &mut messages)
            .ok_or_else(|| format!("`messages[{number}]` needs a role and a content"))?;
    }
    let model = take_text(&mut body, "model").unwrap_or_default();
    let stream = take_flag(&mut body, "stream");
    let mut request = LmRequest::new(messages);
    request.sampling = take_sampling(&mut body, &["max_tokens"], "stop_sequences");
    for tool in take(&mut body, "tools").and_then(|tools| tools.as_array().cloned()).unwrap_or_default() {
        let text = |name: &str| tool.get(name).and_then(Value::as_str).unwrap_or_default();
        request.tools.push(match tool.get("input_schema") {
            Some(schema) => ToolDefinition::new(text("name"), text("description"), schema.clone()),
            // A tool of the provider's own.
            None => serde_json::from_value(tool.clone())
                .map_err(|error| format!("`tools` cannot be read: {error}"))?,
        });
    }
    if let Some(choice) = take(&mut body, "tool_choice") {
        request.tool_choice = match choice.get("type").and_then(Value::as_str) {
            Some("any") => Some(ToolChoice::Required),
            Some("none") => Some(ToolChoice::None),
            Some("tool") => {
                choice.get("name").and_then(Value::as_str).map(|name| ToolChoice::Tool(name.to_owned()))
            }
            _ => Some(ToolChoice::Auto),
        };
        let is_single = choice.get("disable_parallel_tool_use").and_then(Value::as_bool) == Some(true);
        request.parallel_tool_calls = is_single.then_some(false);
    }
    body.into_iter().filter(|(_, value)| !value.is_null()).for_each(|(name, value)| {
        request.extra.insert(name, value);
    });
    Ok(Asked { request, model, stream, says_usage: true })
}

/// The messages of one turn: the results of tools are messages of their own.
fn add_turn(turn: &Value, messages: &mut Vec<Message>) -> Option<()> {
    let role = match turn.get("role")?.as_str()? {
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => Role::User,
    };
    let blocks = match turn.get("content")? {
        Value::Array(blocks) => blocks,
        whole => {
            messages.push(Message::new(role, content(whole)));
            return Some(());
        }
    };
    let (mut calls, mut said) = (Vec::new(), Vec::new());
    for block in blocks {
        let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
        match block.get("type").and_then(Value::as_str) {
            Some("tool_use") => {
                let arguments = block.get("input").map(Value::to_string).unwrap_or_default();
                calls.push(ToolCall::new(text("id"), text("name"), arguments));
            }
            Some("tool_result") => {
                let result = block.get("content").map(content).unwrap_or_default();
                messages.push(Message::tool_result(text("tool_use_id"), result));
            }
            // What a model thought is its own; other providers do not want it back.
            Some("thinking" | "redacted_thinking") => {}
            _ => said.push(block.clone()),
        }
    }
    if !said.is_empty() || !calls.is_empty() {
        messages.push(Message::new(role, content(&Value::Array(said))).with_tool_calls(calls));
    }
    Some(())
}

/// A text, or blocks.
fn content(value: &Value) -> Content {
    let Value::Array(blocks) = value else { return value.as_str().unwrap_or_default().into() };
    let part = |block: &Value| match block.get("type").and_then(Value::as_str) {
        // Marks of a cache are nothing that another provider knows.
        Some("text") => Part::said(block.get("text").and_then(Value::as_str).unwrap_or_default()),
        Some("image") => {
            let source = |name: &str| block.pointer(&format!("/source/{name}")).and_then(Value::as_str);
            match (source("url"), source("media_type"), source("data")) {
                (Some(url), ..) => Image::at(url).into(),
                (_, Some(media_type), Some(data)) => {
                    Image::at(format!("data:{media_type};base64,{data}")).into()
                }
                _ => Part::Other(block.clone()),
            }
        }
        _ => Part::Other(block.clone()),
    };
    Content::parts(blocks.iter().map(part))
}

pub(super) fn write(asked: &Asked, reply: &LmReply, id: &str) -> Value {
    let mut blocks = Vec::new();
    if let Some(completion) = reply.completions.first() {
        let text =
            completion.refusal.as_deref().filter(|_| completion.text.is_empty()).unwrap_or(&completion.text);
        if !text.is_empty() || completion.tool_calls.is_empty() {
            blocks.push(json!({"type": "text", "text": text}));
        }
        for call in &completion.tool_calls {
            let input = call
                .read_arguments()
                .unwrap_or_else(|_| Map::from_iter([("text".to_owned(), call.arguments.as_str().into())]));
            blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
        }
    }
    let has_calls = reply.completions.first().is_some_and(|completion| !completion.tool_calls.is_empty());
    let ended = match reason(reply) {
        FinishReason::Length => "max_tokens",
        FinishReason::ContentFilter => "refusal",
        FinishReason::ToolCalls => "tool_use",
        _ if has_calls => "tool_use",
        _ => "end_turn",
    };
    let mut usage = tokens(&reply.usage);
    usage["cache_read_input_tokens"] = reply.usage.cached_tokens.into();
    usage["cache_creation_input_tokens"] = reply.usage.cache_write_tokens.into();
    json!({
        "id": format!("msg_{id}"),
        "type": "message",
        "role": "assistant",
        "model": reply.model.as_deref().unwrap_or(&asked.model),
        "content": blocks,
        "stop_reason": ended,
        "stop_sequence": null,
        "usage": usage,
    })
}

pub(super) fn events(body: &Value) -> String {
    let mut begun = body.clone();
    (begun["content"], begun["stop_reason"]) = (json!([]), Value::Null);
    let mut text = event(Some("message_start"), &json!({"type": "message_start", "message": begun}));
    let mut say = |kind: &str, mut data: Value| {
        data["type"] = kind.into();
        text.push_str(&event(Some(kind), &data));
    };
    for (index, block) in body["content"].as_array().into_iter().flatten().enumerate() {
        let mut begun = block.clone();
        let delta = if block["type"] == "tool_use" {
            begun["input"] = json!({});
            json!({"type": "input_json_delta", "partial_json": block["input"].to_string()})
        } else {
            begun["text"] = "".into();
            json!({"type": "text_delta", "text": block["text"]})
        };
        say("content_block_start", json!({"index": index, "content_block": begun}));
        say("content_block_delta", json!({"index": index, "delta": delta}));
        say("content_block_stop", json!({"index": index}));
    }
    let delta = json!({"stop_reason": body["stop_reason"], "stop_sequence": null});
    say("message_delta", json!({"delta": delta, "usage": body["usage"]}));
    say("message_stop", json!({}));
    text
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{data_url, split_data_url};

    use super::*;

    #[test]
    fn blocks_become_messages() {
        let png = data_url("image/png", &[1]);
        let (media_type, data) = split_data_url(&png).unwrap();
        let body = json!({
            "model": "m", "max_tokens": 9, "stop_sequences": ["x"], "thinking": {"type": "enabled"},
            "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "find", "description": "Finds.", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}},
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "tea"}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "none"}]},
                    {"type": "text", "text": "Well?"},
                ]},
            ],
        });
        let asked = read(body.as_object().unwrap().clone()).unwrap();
        let roles: Vec<&str> = asked.request.messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool", "user"]);
        let messages = &asked.request.messages;
        assert_eq!(messages[0].text(), "Be kind.");
        assert_eq!(messages[1].content.as_slice()[1], Image::at(png).into());
        assert_eq!(messages[2].tool_calls, [ToolCall::new("t1", "find", r#"{"q":"tea"}"#)]);
        assert_eq!(messages[3].tool_call_id.as_deref(), Some("t1"));
        assert_eq!(asked.request.tool_choice, Some(ToolChoice::Required));
        assert_eq!(
            (asked.request.parallel_tool_calls, asked.request.sampling.max_tokens),
            (Some(false), Some(9))
        );
        assert_eq!(asked.request.extra.keys().collect::<Vec<_>>(), ["thinking"]);
    }
}
