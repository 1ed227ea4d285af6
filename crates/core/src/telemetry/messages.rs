//! Messages in the JSON of OpenTelemetry's conventions.

use serde_json::{Value, json};

use super::chat::finish_reason;
use crate::lm::{Completion, Message, Part, Role, ToolCall, split_data_url};

/// `gen_ai.input.messages`.
pub(super) fn input<'m>(messages: impl IntoIterator<Item = &'m Message>) -> Value {
    messages
        .into_iter()
        .map(|message| json!({"role": message.role.as_str(), "parts": parts(message)}))
        .collect()
}

/// `gen_ai.system_instructions`.
pub(super) fn instructions(messages: &[Message]) -> Value {
    messages.iter().flat_map(parts).collect()
}

/// `gen_ai.output.messages`.
pub(super) fn output(completions: &[Completion]) -> Value {
    let message = |completion: &Completion| {
        let reasoning = Some(&completion.reasoning).filter(|text| !text.is_empty());
        let reasoning = reasoning.map(|text| json!({"type": "reasoning", "content": text}));
        let text = Some(&completion.text).filter(|text| !text.is_empty()).map(|text| said(text));
        let calls = completion.tool_calls.iter().map(called);
        let parts: Vec<Value> = reasoning.into_iter().chain(text).chain(calls).collect();
        let reason = finish_reason(completion.finish_reason);
        json!({"role": "assistant", "parts": parts, "finish_reason": reason})
    };
    completions.iter().map(message).collect()
}

fn parts(message: &Message) -> Vec<Value> {
    if matches!(message.role, Role::Tool | Role::Function) {
        let id = &message.tool_call_id;
        return vec![json!({"type": "tool_call_response", "id": id, "response": message.text()})];
    }
    let shown = message.content.as_slice();
    let text = (shown.is_empty() && !message.text().is_empty()).then(|| said(message.text()));
    text.into_iter().chain(shown.iter().map(part)).chain(message.tool_calls.iter().map(called)).collect()
}

fn said(text: &str) -> Value {
    json!({"type": "text", "content": text})
}

fn called(call: &ToolCall) -> Value {
    let arguments =
        call.read_arguments().map_or_else(|_| Value::from(call.arguments.as_str()), Value::Object);
    json!({"type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments})
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => said(text),
        Part::Image(image) => shown("image", &image.url),
        Part::Audio(audio) => bytes("audio", &format!("audio/{}", audio.format)),
        Part::File(file) => match (&file.id, &file.data) {
            (Some(id), _) => json!({"type": "file", "modality": "document", "file_id": id}),
            (None, Some(data)) => shown("document", data),
            (None, None) => json!({"type": "file", "modality": "document", "file_id": ""}),
        },
        other => match other.text() {
            Some(text) => said(text),
            None => json!({"type": other.kind()}),
        },
    }
}

/// Something at an address, or with its bytes.
fn shown(modality: &str, url: &str) -> Value {
    match split_data_url(url) {
        Some((media_type, _)) => bytes(modality, media_type),
        None => json!({"type": "uri", "modality": modality, "uri": url}),
    }
}

/// Something with bytes, without them.
fn bytes(modality: &str, media_type: &str) -> Value {
    json!({"type": "blob", "modality": modality, "mime_type": media_type, "content": ""})
}
