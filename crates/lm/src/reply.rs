//! Reads the body of a successful reply.

use promptopt_core::data::shorten;
use promptopt_core::lm::{Completion, FinishReason, LmReply, TokenLogprob, ToolCall};
use promptopt_core::money::Usage;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::forms::made_id;
use crate::payload::Payload;
use crate::provider_error::ProviderError;

/// The most that is kept of an id or a name, in characters.
const MAX_HEAD_CHARS: usize = 200;

/// Why a reply with a success status holds no completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReplyProblem {
    /// It is not what the protocol says.
    Malformed(String),
    /// Every completion was withheld; the model's or the provider's words.
    Refused(String),
    /// It holds an error object: gateways answer 200 before they know how it ends.
    Failed(ProviderError),
}

/// What is read from any body of a reply with a success status. Not for use: it is here for fuzzing.
pub fn read_body(body: &[u8]) -> Option<LmReply> {
    read_reply(body).ok().map(LmReply::read)
}

/// Reads a chat completion, whole or as a stream that nobody asked for.
///
/// Numbers of `usage` that are missing, or are no numbers, are 0: not told. Choices are put in the order of their
/// `index`. Some of several may have been withheld: they are empty completions with
/// [`FinishReason::ContentFilter`]. What the model thought aloud in a text is still in it.
pub(crate) fn read_reply(body: &[u8]) -> Result<LmReply, ReplyProblem> {
    let payload = Payload::read(body).map_err(ReplyProblem::Malformed)?;
    read_payload(&payload, body.len())
}

/// The same of values that were read from a body of `bytes` bytes.
pub(crate) fn read_payload(payload: &Payload, bytes: usize) -> Result<LmReply, ReplyProblem> {
    let mut choices: Vec<Choice> = Vec::new();
    let mut usage = Usage::call(0, 0);
    let mut head = LmReply::default();
    for value in &payload.values {
        read_head(value, &mut head);
        let entries = value.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let error = value.get("error").and_then(ProviderError::from_error);
        if let Some(error) = error.filter(|_| entries.is_empty() || payload.is_stream) {
            return Err(ReplyProblem::Failed(error));
        }
        for entry in entries {
            let index = entry.get("index").and_then(Value::as_u64);
            let known = choices.iter_mut().find(|choice| payload.is_stream && choice.index == index);
            match known {
                Some(choice) => choice.read(entry)?,
                None => {
                    let mut choice = Choice { index, ..Choice::default() };
                    choice.read(entry)?;
                    choices.push(choice);
                }
            }
        }
        usage = read_usage(value).unwrap_or(usage);
    }
    if choices.is_empty() {
        return Err(ReplyProblem::Malformed("it has no `choices`".to_owned()));
    }
    if payload.is_stream && !payload.is_done && choices.iter().all(|choice| choice.finish_reason.is_none()) {
        return Err(ReplyProblem::Malformed(format!("the stream ends early, after {bytes} bytes")));
    }
    choices.sort_by_key(|choice| choice.index);
    if choices.iter().all(|choice| choice.text.is_empty() && choice.calls.is_empty()) {
        if let Some(error) = choices.iter().find_map(|choice| choice.error.clone()) {
            return Err(ReplyProblem::Failed(error));
        }
        if choices.iter().all(|choice| choice.reason() == FinishReason::ContentFilter) {
            let words =
                choices.into_iter().map(|choice| choice.refusal).find(|words| !words.trim().is_empty());
            return Err(ReplyProblem::Refused(
                words.unwrap_or_else(|| "its content filter left nothing of the reply".to_owned()),
            ));
        }
    }
    head.completions = choices.into_iter().map(Choice::completion).collect();
    head.usage = usage;
    Ok(head)
}

/// Reads what a reply says of itself. The first event of a stream that says it counts.
fn read_head(value: &Value, head: &mut LmReply) {
    let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    for (name, place) in [
        ("id", &mut head.id),
        ("model", &mut head.model),
        ("system_fingerprint", &mut head.system_fingerprint),
    ] {
        *place = place.take().or_else(|| text(name).map(|text| shorten(text, MAX_HEAD_CHARS)));
    }
}

/// One entry of `choices`, put together from all events where it came as a stream.
#[derive(Debug, Default)]
struct Choice {
    index: Option<u64>,
    text: String,
    reasoning: String,
    refusal: String,
    calls: Vec<Called>,
    logprobs: Vec<TokenLogprob>,
    extra: Map<String, Value>,
    finish_reason: Option<FinishReason>,
    error: Option<ProviderError>,
}

impl Choice {
    fn read(&mut self, entry: &Value) -> Result<(), ReplyProblem> {
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

    fn reason(&self) -> FinishReason {
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

    fn completion(self) -> Completion {
        let reason = self.reason();
        let mut completion =
            Completion::new(self.text).with_finish_reason(reason).with_reasoning(self.reasoning);
        completion.extra = self.extra.into();
        if self.calls.is_empty() {
            WANTED_BACK.iter().for_each(|name| drop(completion.extra.shift_remove(*name)));
        } else if WANTED_BACK.iter().any(|name| *name != REASONING && completion.extra.contains_key(*name)) {
            // The same words once more.
            completion.extra.shift_remove(REASONING);
        }
        completion.extra.retain(|_, value| !is_nothing(value));
        if serde_json::to_string(&completion.extra).map_or(0, |text| text.len()) > MAX_EXTRA_BYTES {
            completion.extra.clear();
        }
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
struct Called {
    /// Its number in the stream.
    number: Option<u64>,
    call: ToolCall,
}

/// The fields of a message that are read.
const READ: [&str; 7] = ["role", "content", "tool_calls", "function_call", "refusal", "thinking", "name"];

/// What vLLM, Ollama and OpenRouter call the thoughts.
const REASONING: &str = "reasoning";

/// What a model thought, which some providers want back with the results of the tools that it called.
const WANTED_BACK: [&str; 3] = ["reasoning_content", "reasoning_details", REASONING];

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

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
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

/// The tokens that a value tells; `None` where it tells none. Some providers leave the tokens of hidden reasoning out of
/// those of the completion, and count them in the total.
fn read_usage(value: &Value) -> Option<Usage> {
    let places = ["/usage", "/x_groq/usage", "/choices/0/usage"];
    let usage = places.iter().filter_map(|place| value.pointer(place)).find(|usage| usage.is_object())?;
    let tokens = |names: [&str; 2]| names.iter().filter_map(|name| usage.get(name)).find_map(read_tokens);
    let prompt = tokens(["prompt_tokens", "input_tokens"]);
    let apart = |name: &str| usage.get(name).and_then(read_tokens).unwrap_or_default();
    let apart = apart("cache_read_input_tokens") + apart("cache_creation_input_tokens");
    // Anthropic does not count these among `input_tokens`.
    let prompt = match usage.get("prompt_tokens") {
        None => prompt.map_or(Some(apart).filter(|it| *it > 0), |prompt| Some(prompt + apart)),
        Some(_) => prompt,
    };
    let completion = tokens(["completion_tokens", "output_tokens"]);
    let total = tokens(["total_tokens", "total"]);
    let rest = |part: Option<u64>| Some(total?.saturating_sub(part?));
    let completion = completion.max(rest(prompt)).unwrap_or_default();
    let prompt = prompt.or_else(|| rest(Some(completion).filter(|it| *it > 0))).unwrap_or_default();
    let detail = |places: &[&str]| {
        places.iter().filter_map(|place| usage.pointer(place)).find_map(read_tokens).unwrap_or_default()
    };
    let cached = detail(&[
        "/prompt_tokens_details/cached_tokens",
        "/input_tokens_details/cached_tokens",
        "/prompt_cache_hit_tokens",
        "/cached_tokens",
        "/cache_read_input_tokens",
    ]);
    let written = detail(&[
        "/cache_creation_input_tokens",
        "/prompt_tokens_details/cache_write_tokens",
        "/prompt_tokens_details/cache_creation_tokens",
    ]);
    let cached = cached.min(prompt);
    let reasoning = detail(&[
        "/completion_tokens_details/reasoning_tokens",
        "/output_tokens_details/reasoning_tokens",
        "/reasoning_tokens",
    ]);
    Some(
        Usage::call(prompt, completion)
            .with_cached(cached)
            .with_cache_write(written.min(prompt - cached))
            .with_reasoning(reasoning.min(completion)),
    )
}

/// A count of tokens, written as a number or as text. What no count can be is not told.
fn read_tokens(value: &Value) -> Option<u64> {
    let count = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (1.0..=f64::from(u32::MAX)).contains(&count).then(|| count.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<LmReply, ReplyProblem> {
        read_reply(body.to_string().as_bytes())
    }

    fn check(choice: Value, text: &str, finish_reason: FinishReason) {
        check_with(choice, text, finish_reason, Vec::new());
    }

    fn check_with(choice: Value, text: &str, finish_reason: FinishReason, calls: Vec<ToolCall>) {
        let reply = read(json!({"choices": [choice]})).unwrap();
        let expected = Completion::new(text).with_finish_reason(finish_reason).with_tool_calls(calls);
        assert_eq!(reply.completions, [expected], "{choice}");
    }

    #[test]
    fn content_comes_as_text_as_parts_or_not_at_all() {
        use FinishReason::{Length, Other, Stop, ToolCalls};
        check(json!({"message": {"content": "a"}, "finish_reason": "stop"}), "a", Stop);
        let parts = json!([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]);
        check(json!({"message": {"content": parts}, "finish_reason": "stop"}), "ab", Stop);
        check(json!({"message": {"content": null}, "finish_reason": "length"}), "", Length);
        check(json!({"message": {"tool_calls": []}, "finish_reason": "tool_calls"}), "", ToolCalls);
        let call = json!([{"type": "function", "function": {"name": "route", "arguments": "{}"}}]);
        let made = |mut call: ToolCall| {
            call.id = made_id(&call, 0);
            call
        };
        let called = || vec![made(ToolCall::new("", "route", "{}"))];
        check_with(
            json!({"message": {"content": null, "tool_calls": call}, "finish_reason": "stop"}),
            "",
            ToolCalls,
            called(),
        );
        check_with(
            json!({"message": {"content": "", "function_call": {"name": "x"}}, "finish_reason": "stop"}),
            "",
            ToolCalls,
            vec![made(ToolCall::new("", "x", ""))],
        );
        check_with(
            json!({"message": {"content": "a", "tool_calls": call}, "finish_reason": "stop"}),
            "a",
            Stop,
            called(),
        );
        let parts = json!([{"type": "output_text", "text": "a", "annotations": []}, "b"]);
        check(json!({"message": {"content": parts}, "finish_reason": "stop"}), "ab", Stop);
        check(
            json!({"message": {"content": {"type": "text", "text": "a"}}, "finish_reason": "stop"}),
            "a",
            Stop,
        );
        check(json!({"text": "a", "finish_reason": "length"}), "a", Length);
        check(json!({"message": {"content": "a"}, "finish_reason": null}), "a", Other);
    }

    #[test]
    fn calls_that_come_in_pieces_are_put_together() {
        let body = |deltas: &[Value]| -> String {
            let event = |delta: &Value| {
                let chunk = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
                format!("data: {chunk}\n\n")
            };
            deltas.iter().map(event).chain(["data: [DONE]\n\n".to_owned()]).collect()
        };
        let function = |name: Option<&str>, arguments: &str| match name {
            Some(name) => json!({"name": name, "arguments": arguments}),
            None => json!({"arguments": arguments}),
        };
        let wanted = [ToolCall::new("a", "f", "{\"x\": 1}"), ToolCall::new("b", "g", "{}")];
        let pieces = [
            // As OpenAI, vLLM and llama.cpp do: the first piece has id and name, the others the number alone.
            vec![
                json!({"role": "assistant", "content": null, "tool_calls": [
                    {"index": 0, "id": "a", "type": "function", "function": function(Some("f"), "")}]}),
                json!({"tool_calls": [{"index": 0, "function": function(None, "{\"x\"")}]}),
                json!({"tool_calls": [{"index": 0, "function": function(None, ": 1}")}]}),
                json!({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": function(Some("g"), "{}")}]}),
            ],
            // Whole calls, all with the number 0, as some compatible endpoints do.
            vec![
                json!({"tool_calls": [{"index": 0, "id": "a", "function": function(Some("f"), "{\"x\": 1}")}]}),
                json!({"tool_calls": [{"index": 0, "id": "b", "function": function(Some("g"), "{}")}]}),
            ],
            // Without numbers, and with the id and the name in every piece.
            vec![
                json!({"tool_calls": [{"id": "a", "function": function(Some("f"), "{\"x\"")}]}),
                json!({"tool_calls": [{"id": "a", "function": function(Some("f"), ": 1}")}]}),
                json!({"tool_calls": [{"id": "b", "function": function(Some("g"), "{}")}]}),
            ],
        ];
        for deltas in pieces {
            let reply = read_reply(body(&deltas).as_bytes()).unwrap();
            assert_eq!(reply.completions[0].tool_calls, wanted, "{deltas:?}");
            assert_eq!(reply.completions[0].finish_reason, FinishReason::ToolCalls);
        }
    }

    #[test]
    fn what_is_not_known_of_a_message_is_kept_for_the_next_request() {
        let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0,
                          "extra_content": {"google": {"thought_signature": "s"}}});
        let message = json!({"role": "assistant", "content": null, "reasoning_content": "I look it up.",
                             "tool_calls": [call], "refusal": null, "annotations": []});
        let reply = read(json!({"id": "r1", "model": "m-2", "system_fingerprint": "fp",
                                "choices": [{"message": message, "finish_reason": "tool_calls"}]}))
        .unwrap();
        assert_eq!((reply.id.as_deref(), reply.model.as_deref()), (Some("r1"), Some("m-2")));
        assert_eq!(reply.system_fingerprint.as_deref(), Some("fp"));
        let back = serde_json::to_value(reply.completions[0].to_message()).unwrap();
        let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"},
                          "extra_content": {"google": {"thought_signature": "s"}}});
        let wanted = json!({"role": "assistant", "content": null, "tool_calls": [call], "reasoning_content": "I look it up."});
        assert_eq!(back, wanted);
    }

    #[test]
    fn log_probabilities_and_the_parts_of_usage_are_read() {
        let logprobs = json!({"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [
            {"token": "b", "logprob": -1.5, "bytes": null}]}], "refusal": null});
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130,
                           "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
                           "completion_tokens_details": {"reasoning_tokens": 20}});
        let choice = json!({"message": {"content": "a"}, "logprobs": logprobs, "finish_reason": "stop"});
        let reply = read(json!({"choices": [choice], "usage": usage})).unwrap();
        let told = &reply.completions[0].logprobs[0];
        assert_eq!((told.token.as_str(), told.logprob, told.top[0].token.as_str()), ("a", -0.5, "b"));
        assert_eq!(reply.usage, Usage::call(100, 30).with_cached(64).with_reasoning(20));
        for usage in [
            json!({"prompt_tokens": 100, "completion_tokens": 30, "prompt_cache_hit_tokens": 64}),
            json!({"input_tokens": 100, "output_tokens": 30, "input_tokens_details": {"cached_tokens": 64}}),
        ] {
            let choice = json!({"message": {"content": "a"}, "finish_reason": "stop"});
            let reply = read(json!({"choices": [choice], "usage": usage})).unwrap();
            assert_eq!(reply.usage, Usage::call(100, 30).with_cached(64));
        }
    }

    #[test]
    fn reasoning_is_told_from_the_answer() {
        let think =
            |parts: Value| json!([{"type": "thinking", "thinking": parts}, {"type": "text", "text": "a"}]);
        for message in [
            json!({"content": "a", "reasoning_content": "sales?"}),
            json!({"content": "a", "reasoning": "sales?", "reasoning_details": [{"type": "reasoning.text", "text": "sales?"}]}),
            json!({"content": "a", "reasoning_content": null, "reasoning": "sales?"}),
            json!({"content": "a", "reasoning_details": [{"type": "reasoning.summary", "summary": "sales?"}]}),
            json!({"content": think(json!([{"type": "text", "text": "sales?"}]))}),
            json!({"content": think(json!("sales?"))}),
            json!({"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "sales?"}]}, "a"]}),
        ] {
            let reply = read(json!({"choices": [{"message": message, "finish_reason": "stop"}]})).unwrap();
            assert_eq!(reply.completions, [Completion::new("a").with_reasoning("sales?")], "{message}");
        }
        let only = json!({"choices": [{"message": {"content": null, "reasoning_content": "x"}, "finish_reason": "length"}]});
        let completion = read(only).unwrap().completions.remove(0);
        assert_eq!(
            completion,
            Completion::new("").with_reasoning("x").with_finish_reason(FinishReason::Length)
        );
    }

    #[test]
    fn a_stream_comes_to_the_same_as_a_whole_reply() {
        let chunk = |delta: Value, finish: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        let chunks = [
            chunk(json!({"role": "assistant", "content": "", "reasoning_content": null}), json!(null)),
            chunk(json!({"reasoning_content": "sal"}), json!(null)),
            chunk(json!({"reasoning_content": "es?"}), json!(null)),
            chunk(json!({"content": "bill"}), json!(null)),
            chunk(json!({"content": [{"type": "text", "text": "ing"}]}), json!(null)),
            chunk(json!({}), json!("stop")),
            json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}),
        ];
        let expected =
            LmReply::new(vec![Completion::new("billing").with_reasoning("sales?")], Usage::call(3, 4));
        let stream = |chunks: &[Value], end: &str| {
            let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
            read_reply(format!(": ping\r\n\r\n{events}{end}").as_bytes())
        };
        assert_eq!(stream(&chunks, "data: [DONE]\r\n\r\n").unwrap(), expected);
        assert_eq!(stream(&chunks, "").unwrap(), expected);
        let lines: String = chunks.iter().map(|chunk| format!("{chunk}\n")).collect();
        assert_eq!(read_reply(lines.as_bytes()).unwrap(), expected);
        // One that breaks off is no reply, and neither is one that ends in an error.
        let Err(ReplyProblem::Malformed(reason)) = stream(&chunks[..4], "") else { panic!("read") };
        assert!(reason.contains("the stream ends early"), "{reason}");
        let failed = json!({"error": {"code": 502, "message": "down"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]});
        let with_error = [&chunks[..4], &[failed]].concat();
        assert!(matches!(stream(&with_error, ""), Err(ReplyProblem::Failed(_))));
        // Some servers send one event with all of it.
        let whole = json!({"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]});
        assert_eq!(stream(&[whole], "").unwrap().first_text(), "a");
        let two = [(1, "b"), (0, "a"), (1, "b")].map(|(index, text)| {
            json!({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": "stop"}]})
        });
        let texts: Vec<_> = stream(&two, "").unwrap().completions.into_iter().map(|one| one.text).collect();
        assert_eq!(texts, ["a", "bb"]);
    }

    #[test]
    fn text_that_the_filter_cut_short_is_kept() {
        check(
            json!({"message": {"content": "a"}, "finish_reason": "content_filter"}),
            "a",
            FinishReason::ContentFilter,
        );
    }

    #[test]
    fn a_reply_withheld_whole_is_a_refusal() {
        for (choice, words) in [
            (json!({"message": {"content": null, "refusal": "I can't."}, "finish_reason": "stop"}), "can't"),
            (json!({"message": {"content": [{"refusal": "No."}]}, "finish_reason": "stop"}), "No."),
            (json!({"message": {"content": ""}, "finish_reason": "content_filter"}), "content filter"),
        ] {
            let Err(ReplyProblem::Refused(message)) = read(json!({"choices": [choice]})) else {
                panic!("not refused: {choice}")
            };
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn choices_follow_their_index_and_one_may_be_withheld() {
        let body = json!({
            "choices": [
                {"index": 1, "message": {"content": "b"}, "finish_reason": "stop"},
                {"index": 0, "message": {"refusal": "no"}, "finish_reason": "stop"},
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        });
        let reply = read(body).unwrap();
        assert_eq!(reply.completions[0].finish_reason, FinishReason::ContentFilter);
        assert_eq!(reply.completions[1].text, "b");
        assert_eq!(reply.usage, Usage::call(3, 4));
    }

    #[test]
    fn what_is_not_told_of_the_usage_is_nothing() {
        let check = |usage: Value, prompt: u64, completion: u64| {
            let body = json!({"choices": [{"message": {"content": "a"}}], "usage": usage});
            assert_eq!(read(body.clone()).unwrap().usage, Usage::call(prompt, completion), "{body}");
        };
        for usage in
            [json!(null), json!({}), json!({"prompt_tokens": "many"}), json!("x"), json!([]), json!(7)]
        {
            check(usage, 0, 0);
        }
        for none in [
            json!(null),
            json!(-4),
            json!(1e30),
            json!("NaN"),
            json!("inf"),
            json!(u64::MAX),
            json!([4]),
            json!(""),
        ] {
            check(json!({"prompt_tokens": 3, "completion_tokens": none}), 3, 0);
            check(json!({"prompt_tokens": none, "completion_tokens": 4}), 0, 4);
        }
        for (three, four) in
            [(json!(3.0), json!(4.0)), (json!("3"), json!(" 4 ")), (json!(2.5), json!("3.5"))]
        {
            check(json!({"prompt_tokens": three, "completion_tokens": four}), 3, 4);
            check(json!({"input_tokens": three, "output_tokens": four}), 3, 4);
        }
        check(json!({"prompt_tokens": 3, "total_tokens": 7}), 3, 4);
        check(json!({"completion_tokens": 4, "total_tokens": 7}), 3, 4);
        check(json!({"total_tokens": 7}), 0, 0);
        // The total counts hidden reasoning that the completion does not.
        check(json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 27}), 3, 24);
        check(json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 5}), 3, 4);
        let body = json!({"choices": [{"message": {"content": "a"}, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]});
        assert_eq!(read(body).unwrap().usage, Usage::call(3, 4));
    }

    #[test]
    fn what_nobody_reads_does_not_spoil_a_reply() {
        let body = r#"{"id": "\ud83d", "choices": [{"logprobs": {"a": [NaN, -Infinity, 1e999]}, "message": {"content":
            "ok \ud83d\n[[ ## department ## ]]\nbilling"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": NaN,
            "completion_tokens": 4}, "timings": {"x": [[[["#
            .to_owned()
            + &"[".repeat(500)
            + &"]".repeat(504)
            + "}}";
        let reply = read_reply(body.as_bytes()).unwrap();
        assert_eq!(reply.first_text(), "ok \u{fffd}\n[[ ## department ## ]]\nbilling");
        assert_eq!(reply.usage, Usage::call(0, 4));
    }

    #[test]
    fn an_error_inside_a_success_is_a_failure() {
        let error = json!({"code": 502, "message": "upstream died"});
        for body in [
            json!({"error": error}),
            json!({"error": error, "choices": []}),
            json!({"choices": [{"error": error, "finish_reason": "error"}]}),
            json!({"choices": [{"error": error, "message": {"content": ""}, "finish_reason": "error"}]}),
        ] {
            let Err(ReplyProblem::Failed(failure)) = read(body.clone()) else { panic!("no failure: {body}") };
            assert_eq!((failure.status, failure.message.as_str()), (Some(502), "upstream died"));
        }
    }

    #[test]
    fn what_is_no_completion_is_malformed() {
        for body in [
            json!({}),
            json!([]),
            json!({"choices": []}),
            json!({"choices": [{}]}),
            json!({"choices": [{"message": {"content": 3}}]}),
            json!({"choices": "x"}),
        ] {
            assert!(matches!(read(body.clone()), Err(ReplyProblem::Malformed(_))), "{body}");
        }
        let Err(ReplyProblem::Malformed(reason)) = read_reply(b"{\"choices\": [{\"mess") else { panic!() };
        assert!(reason.contains("ends early, after 19 bytes"), "{reason}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read_reply(&bytes);
        }

        #[test]
        fn any_text_comes_back_as_it_was(text in any::<String>()) {
            let body = json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]});
            let reply = read(body).unwrap();
            prop_assert_eq!(reply.first_text(), text);
        }
    }
}
