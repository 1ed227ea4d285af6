//! One choice of a reply, whole or put together from its pieces.

use promptopt_core::lm::{Completion, FinishReason, TokenLogprob, ToolCall};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::ReplyProblem;
use crate::forms::{REASONING, THOUGHTS, made_id};
use crate::provider_error::ProviderError;

/// One entry of `choices`, put together from all events where it came as a stream.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) index: Option<u64>,
    pub(super) text: String,
    reasoning: String,
    pub(super) refusal: String,
    pub(super) calls: Vec<Called>,
    logprobs: Vec<TokenLogprob>,
    extra: Map<String, Value>,
    pub(super) finish_reason: Option<FinishReason>,
    pub(super) error: Option<ProviderError>,
}

impl Choice {
    pub(super) fn bytes(&self) -> usize {
        let calls: usize = self.calls.iter().map(|called| called.call.arguments.len()).sum();
        self.text.len() + self.reasoning.len() + self.refusal.len() + calls
    }

    pub(super) fn read(&mut self, entry: &Value) -> Result<(), ReplyProblem> {
        let error = entry.get("error").and_then(ProviderError::from_error);
        let finish_reason = entry.get("finish_reason").and_then(Value::as_str).map(finish_reason);
        let message =
            ["message", "delta"].iter().find_map(|name| entry.get(name).filter(|it| it.is_object()));
        match (message, entry.get("text")) {
            (Some(message), _) => self.read_message(message, entry.get("message").is_none())?,
            (None, Some(Value::String(text))) => self.text.push_str(text),
            // A choice that failed has no message to speak of.
            _ if error.is_some() || entry.get("delta").is_some() => {}
            _ => return Err(ReplyProblem::Malformed("a choice has no `message`".to_owned())),
        }
        let logprobs = entry.pointer("/logprobs/content").filter(|content| content.is_array());
        self.logprobs
            .extend(logprobs.and_then(|content| Vec::deserialize(content).ok()).into_iter().flatten());
        self.error = error.or(self.error.take());
        self.finish_reason = finish_reason.or(self.finish_reason);
        Ok(())
    }

    /// Whether nothing was said or thought yet.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.calls.is_empty()
    }

    fn read_message(&mut self, message: &Value, is_piece: bool) -> Result<(), ReplyProblem> {
        match message.get("content") {
            Some(Value::Array(parts)) => parts.iter().for_each(|part| self.read_part(part)),
            Some(part @ (Value::String(_) | Value::Object(_))) => self.read_part(part),
            None | Some(Value::Null) => {}
            Some(_) => {
                return Err(ReplyProblem::Malformed(
                    "`message.content` is neither text nor parts".to_owned(),
                ));
            }
        }
        let reasoning = ["reasoning_content", "reasoning", "thinking", "reasoning_details"]
            .iter()
            .filter_map(|name| message.get(name))
            .map(words)
            .find(|words| !words.is_empty());
        self.reasoning.push_str(&reasoning.unwrap_or_default());
        self.refusal.push_str(message.get("refusal").and_then(Value::as_str).unwrap_or_default());
        let calls =
            message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        calls.iter().filter_map(Value::as_object).for_each(|call| self.read_call(call, is_piece));
        if let Some(function @ Value::Object(_)) = message.get("function_call") {
            self.read_call(&Map::from_iter([("function".to_owned(), function.clone())]), is_piece);
        }
        for (name, value) in message.as_object().into_iter().flatten() {
            if !READ.contains(&name.as_str()) {
                add(self.extra.entry(name).or_insert(Value::Null), value);
            }
        }
        Ok(())
    }

    /// Reads a call of a tool, or a piece of one. A piece belongs to the call of its number, unless it has another id:
    /// some servers give every call the number 0.
    fn read_call(&mut self, wire: &Map<String, Value>, is_piece: bool) {
        let mut wire = wire.clone();
        // Pieces have null where nothing is said.
        wire.values_mut().filter_map(Value::as_object_mut).for_each(|own| own.retain(|_, it| !it.is_null()));
        wire.retain(|_, value| !value.is_null());
        let mut call = ToolCall::from(wire);
        let number = call.extra.shift_remove("index").and_then(|number| number.as_u64());
        call.extra.retain(|_, value| !is_nothing(value));
        let is_same = |known: &Called| {
            let has_number = number.is_none() || known.number == number;
            is_piece && has_number && (call.id.is_empty() || known.call.id == call.id)
        };
        match self.calls.iter_mut().rev().find(|known| is_same(known)) {
            Some(Called { call: known, .. }) => {
                if known.name != call.name {
                    known.name.push_str(&call.name);
                }
                known.arguments.push_str(&call.arguments);
                known.extra.extend(call.extra);
            }
            None => self.calls.push(Called { number, call }),
        }
    }

    /// Reads one part of a content.
    fn read_part(&mut self, part: &Value) {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind.contains("think") || kind.contains("reason") || part.get("thinking").is_some() {
            self.reasoning.push_str(&words(part));
        } else if let Some(words) = part.get("refusal").and_then(Value::as_str) {
            self.refusal.push_str(words);
        } else if let Some(text) = part
            .as_str()
            .or_else(|| part.get("text")?.as_str())
            .or_else(|| part.pointer("/text/value")?.as_str())
        {
            self.text.push_str(text);
        }
    }

    pub(super) fn reason(&self) -> FinishReason {
        let reason = self.finish_reason.unwrap_or(FinishReason::Other);
        if !self.text.is_empty() {
            reason
        } else if !self.refusal.trim().is_empty() {
            FinishReason::ContentFilter
        } else if !self.calls.is_empty() && matches!(reason, FinishReason::Stop | FinishReason::Other) {
            FinishReason::ToolCalls
        } else {
            reason
        }
    }

    pub(super) fn completion(self) -> Completion {
        let reason = self.reason();
        let mut completion =
            Completion::new(self.text).with_finish_reason(reason).with_reasoning(self.reasoning);
        let mut extra = self.extra;
        if self.calls.is_empty() {
            extra.retain(|name, _| !THOUGHTS.contains(&name.as_str()));
        } else if THOUGHTS.iter().any(|name| *name != REASONING && extra.contains_key(*name)) {
            // The same words once more.
            extra.shift_remove(REASONING);
        }
        extra.retain(|_, value| !is_nothing(value));
        if !extra.is_empty() && serde_json::to_string(&extra).map_or(0, |text| text.len()) > MAX_EXTRA_BYTES {
            extra.clear();
        }
        completion.extra = extra.into();
        completion.tool_calls = self.calls.into_iter().map(|called| called.call).collect();
        for (number, call) in completion.tool_calls.iter_mut().enumerate().filter(|(_, it)| it.id.is_empty())
        {
            call.id = made_id(call, number);
        }
        completion.refusal = Some(self.refusal).filter(|words| !words.trim().is_empty());
        completion.logprobs = self.logprobs;
        completion
    }
}

/// A call of a tool, put together from its pieces where they came as a stream.
#[derive(Debug)]
pub(super) struct Called {
    /// Its number in the stream.
    number: Option<u64>,
    call: ToolCall,
}

impl Called {
    pub(super) fn says_nothing(&self) -> bool {
        let ToolCall { name, arguments, extra, .. } = &self.call;
        name.is_empty() && arguments.is_empty() && extra.is_empty()
    }
}

/// The fields of a message that are read.
const READ: [&str; 8] =
    ["role", "content", "tool_calls", "tool_call_id", "function_call", "refusal", "thinking", "name"];

/// The most of what is not known that is kept, in bytes.
const MAX_EXTRA_BYTES: usize = 256 * 1024;

/// Adds a piece of a value to it.
fn add(value: &mut Value, piece: &Value) {
    match (value, piece) {
        (Value::String(text), Value::String(piece)) => text.push_str(piece),
        (Value::Array(items), Value::Array(piece)) => items.extend(piece.iter().cloned()),
        (value, piece) if !piece.is_null() => *value = piece.clone(),
        _ => {}
    }
}

/// Whether a value says nothing: it is empty, zero or false, or all that it holds is.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_nothing),
        Value::Object(fields) => fields.values().all(is_nothing),
    }
}

/// The words in what a model thought: a text, or parts with texts in them.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(words).collect(),
        Value::Object(part) => {
            let names = ["thinking", "text", "reasoning", "summary", "content"];
            names
                .iter()
                .filter_map(|name| part.get(*name))
                .map(words)
                .find(|it| !it.is_empty())
                .unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason.to_ascii_lowercase().as_str() {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" => FinishReason::Stop,
        "length" | "max_tokens" | "max_output_tokens" | "max_length" | "model_length" | "token_limit" => {
            FinishReason::Length
        }
        "content_filter" | "safety" | "recitation" | "prohibited_content" | "refusal" | "sensitive" => {
            FinishReason::ContentFilter
        }
        "tool_calls" | "tool_use" | "function_call" => FinishReason::ToolCalls,
        _ => FinishReason::Other,
    }
}
