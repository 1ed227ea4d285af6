//! OpenAI responses.

#![expect(clippy::indexing_slicing, reason = "what is indexed is an object that was made here")]

use promptopt_core::lm::{
    Content, FinishReason, Image, LmReply, LmRequest, Message, Part, Role, ToolCall, ToolChoice,
    ToolDefinition,
};
use serde_json::{Value, json};

use super::{
    Asked, Body, CREATED, ask_format, event, reason, take, take_flag, take_sampling, take_text, tokens,
};

pub(super) fn read(mut body: Body) -> Result<Asked, String> {
    if take(&mut body, "previous_response_id").is_some() {
        return Err("`previous_response_id` is not known here: send the whole input, since nothing is kept between calls".to_owned());
    }
    let mut messages = Vec::new();
    if let Some(instructions) = take_text(&mut body, "instructions") {
        messages.push(Message::system(instructions));
    }
    match take(&mut body, "input") {
        Some(Value::String(text)) => messages.push(Message::user(text)),
        Some(Value::Array(items)) => items.iter().for_each(|item| add_item(item, &mut messages)),
        _ => return Err("`input` is missing: give a text or a list of items".to_owned()),
    }
    let model = take_text(&mut body, "model").unwrap_or_default();
    let stream = take_flag(&mut body, "stream");
    let mut request = LmRequest::new(messages);
    request.sampling = take_sampling(&mut body, &["max_output_tokens"], "stop");
    request.sampling.reasoning_effort =
        take(&mut body, "reasoning").and_then(|it| it.get("effort")?.as_str().map(str::to_owned));
    if let Some(text) = take(&mut body, "text") {
        request.sampling.verbosity = text.get("verbosity").and_then(Value::as_str).map(str::to_owned);
        if let Some(Value::Object(mut format)) = text.get("format").cloned() {
            // Here the fields of a schema stand beside its type.
            let kind = format.shift_remove("type").unwrap_or_default();
            ask_format(&mut request, json!({"type": kind, "json_schema": format}));
        }
    }
    for tool in take(&mut body, "tools").and_then(|tools| tools.as_array().cloned()).unwrap_or_default() {
        request.tools.push(tool_of(&tool)?);
    }
    request.tool_choice =
        take(&mut body, "tool_choice").map(|choice| match choice.get("name").and_then(Value::as_str) {
            Some(name) => ToolChoice::Tool(name.to_owned()),
            None => ToolChoice::from(choice),
        });
    request.parallel_tool_calls = take(&mut body, "parallel_tool_calls").and_then(|value| value.as_bool());
    // Whether the provider keeps a reply is between it and whoever has the key.
    for own in ["store", "include", "truncation", "background", "prompt_cache_key", "stream_options"] {
        body.shift_remove(own);
    }
    body.into_iter().filter(|(_, value)| !value.is_null()).for_each(|(name, value)| {
        request.extra.insert(name, value);
    });
    Ok(Asked { request, model, stream, says_usage: true })
}

fn tool_of(tool: &Value) -> Result<ToolDefinition, String> {
    let text = |name: &str| tool.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("type") != "function" || tool.get("function").is_some() {
        return serde_json::from_value(tool.clone())
            .map_err(|error| format!("`tools` cannot be read: {error}"));
    }
    let schema = tool.get("parameters").cloned().unwrap_or_default();
    let definition = ToolDefinition::new(text("name"), text("description"), schema);
    Ok(match tool.get("strict").and_then(Value::as_bool) {
        Some(strict) => definition.with_strict(strict),
        None => definition,
    })
}

/// A message, a call, or the result of one. Calls that follow each other are of one turn.
fn add_item(item: &Value, messages: &mut Vec<Message>) {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    match item.get("type").and_then(Value::as_str).unwrap_or("message") {
        "function_call" => {
            let call = ToolCall::new(text("call_id"), text("name"), text("arguments"));
            match messages.last_mut() {
                Some(last) if last.role == Role::Assistant => last.tool_calls.push(call),
                _ => messages.push(Message::assistant("").with_tool_calls(vec![call])),
            }
        }
        "function_call_output" => {
            let result = item.get("output").map(content).unwrap_or_default();
            messages.push(Message::tool_result(text("call_id"), result));
        }
        "message" => {
            let role = match text("role") {
                "assistant" => Role::Assistant,
                "system" => Role::System,
                "developer" => Role::Developer,
                _ => Role::User,
            };
            messages.push(Message::new(role, item.get("content").map(content).unwrap_or_default()));
        }
        // What a model reasoned, and items of the provider's own tools.
        _ => {}
    }
}

fn content(value: &Value) -> Content {
    let Value::Array(parts) = value else { return value.as_str().unwrap_or_default().into() };
    let part = |part: &Value| {
        let text = |name: &str| part.get(name).and_then(Value::as_str);
        match part.get("type").and_then(Value::as_str) {
            Some("input_text" | "output_text" | "text") => Part::said(text("text").unwrap_or_default()),
            Some("refusal") => Part::said(text("refusal").unwrap_or_default()),
            Some("input_image") => match text("image_url") {
                Some(url) => match text("detail") {
                    Some(detail) => Image::at(url).with_detail(detail).into(),
                    None => Image::at(url).into(),
                },
                None => Part::Other(part.clone()),
            },
            Some("input_file") => {
                let mut file = part.clone();
                if let Some(file) = file.as_object_mut() {
                    file.shift_remove("type");
                }
                serde_json::from_value(json!({"type": "file", "file": file}))
                    .unwrap_or_else(|_| Part::Other(part.clone()))
            }
            _ => Part::Other(part.clone()),
        }
    };
    Content::parts(parts.iter().map(part))
}

pub(super) fn write(asked: &Asked, reply: &LmReply, id: &str) -> Value {
    let mut output = Vec::new();
    if let Some(completion) = reply.completions.first() {
        if !completion.text.is_empty() || completion.tool_calls.is_empty() {
            let said = match &completion.refusal {
                Some(refusal) if completion.text.is_empty() => json!({"type": "refusal", "refusal": refusal}),
                _ => {
                    json!({"type": "output_text", "text": completion.text, "annotations": [], "logprobs": []})
                }
            };
            output.push(json!({
                "id": format!("msg_{id}"), "type": "message", "status": "completed", "role": "assistant", "content": [said],
            }));
        }
        for (number, call) in completion.tool_calls.iter().enumerate() {
            output.push(json!({
                "id": format!("fc_{id}_{number}"), "type": "function_call", "status": "completed",
                "call_id": call.id, "name": call.name, "arguments": call.arguments,
            }));
        }
    }
    let cut = reason(reply) == FinishReason::Length;
    let request = &asked.request;
    let mut usage = tokens(&reply.usage);
    usage["total_tokens"] = reply.usage.total_tokens().into();
    usage["input_tokens_details"] = json!({"cached_tokens": reply.usage.cached_tokens});
    usage["output_tokens_details"] = json!({"reasoning_tokens": reply.usage.reasoning_tokens});
    json!({
        "id": format!("resp_{id}"),
        "object": "response",
        "created_at": CREATED,
        "status": if cut { "incomplete" } else { "completed" },
        "error": null,
        "incomplete_details": cut.then(|| json!({"reason": "max_output_tokens"})),
        "instructions": null,
        "model": reply.model.as_deref().unwrap_or(&asked.model),
        "output": output,
        "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "tool_choice": request.tool_choice.clone().map_or("auto".into(), Value::from),
        "tools": [],
        "metadata": {},
        "usage": usage,
    })
}

pub(super) fn events(body: &Value) -> String {
    let mut text = String::new();
    let mut number = 0_u64;
    let mut say = |kind: &str, mut data: Value| {
        (data["type"], data["sequence_number"]) = (kind.into(), number.into());
        number += 1;
        text.push_str(&event(Some(kind), &data));
    };
    let mut begun = body.clone();
    (begun["output"], begun["status"], begun["usage"]) = (json!([]), "in_progress".into(), Value::Null);
    say("response.created", json!({"response": begun}));
    say("response.in_progress", json!({"response": begun}));
    for (index, item) in body["output"].as_array().into_iter().flatten().enumerate() {
        let mut empty = item.clone();
        empty["status"] = "in_progress".into();
        let place = json!({"item_id": item["id"], "output_index": index});
        let with = |more: Value| {
            let mut data = place.clone();
            if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
                data.extend(more);
            }
            data
        };
        if item["type"] == "function_call" {
            empty["arguments"] = "".into();
            say("response.output_item.added", json!({"output_index": index, "item": empty}));
            say("response.function_call_arguments.delta", with(json!({"delta": item["arguments"]})));
            say(
                "response.function_call_arguments.done",
                with(json!({"arguments": item["arguments"], "name": item["name"]})),
            );
        } else {
            empty["content"] = json!([]);
            say("response.output_item.added", json!({"output_index": index, "item": empty}));
            let part = &item["content"][0];
            if part["type"] == "output_text" {
                let begun = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
                say("response.content_part.added", with(json!({"content_index": 0, "part": begun})));
                say(
                    "response.output_text.delta",
                    with(json!({"content_index": 0, "delta": part["text"], "logprobs": []})),
                );
                say(
                    "response.output_text.done",
                    with(json!({"content_index": 0, "text": part["text"], "logprobs": []})),
                );
            } else {
                say("response.content_part.added", with(json!({"content_index": 0, "part": part})));
            }
            say("response.content_part.done", with(json!({"content_index": 0, "part": part})));
        }
        say("response.output_item.done", json!({"output_index": index, "item": item}));
    }
    let end = if body["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
    say(end, json!({"response": body}));
    text
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::ResponseFormat;

    use super::*;

    #[test]
    fn items_become_messages_and_what_is_not_strict_stays_so() {
        let format = |strict: bool| {
            let body = json!({
                "model": "m", "instructions": "Be kind.", "max_output_tokens": 9, "metadata": {"a": "b"},
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "Find tea."}]},
                    {"type": "reasoning", "summary": []},
                    {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c1", "output": "none"},
                ],
                "tools": [{"type": "function", "name": "find", "parameters": {"type": "object"}, "strict": false}],
                "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": strict}},
            });
            read(body.as_object().unwrap().clone()).unwrap().request
        };
        let request = format(true);
        let roles: Vec<&str> = request.messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(request.messages[2].tool_calls, [ToolCall::new("c1", "find", "{}")]);
        assert_eq!((request.tools[0].strict, request.sampling.max_tokens), (Some(false), Some(9)));
        assert!(matches!(&request.response_format, ResponseFormat::JsonSchema { name, .. } if name == "n"));
        let loose = format(false);
        assert_eq!(loose.response_format, ResponseFormat::Text);
        assert_eq!(loose.extra["response_format"]["json_schema"]["strict"], false);
        assert_eq!(loose.extra["metadata"], json!({"a": "b"}));
        assert!(
            read(json!({"input": "a", "previous_response_id": "r"}).as_object().unwrap().clone()).is_err()
        );
    }
}
