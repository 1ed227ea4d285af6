//! What was seen, for people and for machines.

use std::fmt::Write as _;

use promptopt_core::data::{plain_text, shorten};
use promptopt_core::lm::Message;
use serde_json::{Value, json};

use super::files::{TextFile, place_of};
use super::texts::{Found, Place};
use super::watch::{Call, Seen};
use crate::words::counted;

/// How wide a line of a text is, in characters, and how long a text for machines.
const WIDTH: usize = 66;
const MAX_TEXT: usize = 8_000;

/// A row: what went in, each call, and what came out.
pub(crate) fn row(number: usize, seen: &Seen) -> String {
    let inputs = seen.inputs.iter().map(|(name, value)| format!("{name}: {}", line(&plain_text(value), 60)));
    let inputs: Vec<String> = inputs.collect();
    let mut text = format!("row {}  {}", number + 1, inputs.join(" | ")).trim_end().to_owned() + "\n";
    let mut before: &[Message] = &[];
    for (number, call) in seen.calls.iter().enumerate() {
        let kind = if call.embeds { ", embeddings" } else { "" };
        let tools: Vec<&str> = call.request.tools.iter().map(|tool| tool.name.as_str()).collect();
        let tools =
            if tools.is_empty() { String::new() } else { format!(", tools {}", line(&tools.join(", "), 60)) };
        let tokens = match &call.result {
            Some(Ok(reply)) => format!(", {}", reply.usage.tokens_in_words()),
            _ => String::new(),
        };
        let _ = writeln!(text, "  call {}  {}{kind}{tools}{tokens}", number + 1, line(&call.model, 60));
        // An agent sends again what it sent before.
        let messages = call.request.messages.as_slice();
        let again = before.iter().zip(messages).take_while(|(before, now)| before == now).count();
        let again = if again == before.len() { again } else { 0 };
        if again > 0 {
            let _ = writeln!(text, "    …         {} as before", counted(again, "message"));
        }
        before = messages;
        for message in messages.get(again..).unwrap_or_default() {
            let _ = writeln!(text, "    {:<10}{}", message.role.as_str(), line(&said(message), WIDTH));
        }
        let reply = match &call.result {
            Some(Ok(_)) if call.embeds => continue,
            Some(Ok(reply)) => reply.completions.first().map_or(String::new(), |one| said(&one.to_message())),
            Some(Err(error)) => format!("error: {error}"),
            None => "no reply".to_owned(),
        };
        let _ = writeln!(text, "    {:<10}{}", "=> reply", line(&reply, WIDTH));
    }
    match &seen.answer {
        Ok(fields) => {
            for (name, value) in fields {
                let _ = writeln!(text, "  {name}: {}", line(&plain_text(value), WIDTH));
            }
        }
        Err(error) => {
            let _ = writeln!(text, "  error: {}", shorten(error, 600));
        }
    }
    text
}

/// What a message says, with the calls of tools that it makes.
fn said(message: &Message) -> String {
    let calls = message.tool_calls.iter().map(|call| format!("{}({})", call.name, call.arguments));
    let text = message.content.to_string();
    Some(text).filter(|text| !text.is_empty()).into_iter().chain(calls).collect::<Vec<_>>().join(" ")
}

/// A text in one line.
fn line(text: &str, most: usize) -> String {
    shorten(&text.split_whitespace().collect::<Vec<_>>().join(" "), most)
}

/// The texts that can be improved.
pub(crate) fn found(found: &[Found], files: &[TextFile], rows: usize) -> String {
    if found.is_empty() {
        return "no text that stays the same from row to row was found, or all of them are known already"
            .to_owned();
    }
    let mut text = format!("{} can be improved:\n", counted(found.len(), "text"));
    for found in found {
        let place = match (&found.file, place_of(&found.text, files)) {
            (Some(file), _) => format!("file {}", file.display()),
            (None, Some((file, line))) => format!("{}:{line}", file.display()),
            (None, None) => "in no file".to_owned(),
        };
        let (name, message) = (&found.name, found.place.in_words());
        let _ = writeln!(text, "  {name}: {message}, {} of {rows} rows, {place}", found.rows);
        let _ = writeln!(text, "    {}", line(&found.text, WIDTH + 8));
    }
    text
}

pub(crate) fn found_json(found: &Found, files: &[TextFile]) -> Value {
    let place = place_of(&found.text, files).filter(|_| found.file.is_none());
    json!({
        "name": found.name,
        "kind": if matches!(found.place, Place::Tool(_)) { "tool_description" } else { "instruction" },
        "place": found.place.in_words(),
        "text": found.text,
        "file": found.file,
        "source": place.map(|(path, line)| json!({"file": path, "line": line})),
        "rows": found.rows,
    })
}

pub(crate) fn row_json(seen: &Seen) -> Value {
    let (answer, error) = match &seen.answer {
        Ok(fields) => (json!(fields), Value::Null),
        Err(error) => (Value::Null, json!(error)),
    };
    json!({
        "inputs": seen.inputs,
        "calls": seen.calls.iter().map(call_json).collect::<Vec<_>>(),
        "answer": answer,
        "error": error,
    })
}

fn call_json(call: &Call) -> Value {
    let message =
        |message: &Message| json!({"role": message.role.as_str(), "text": shorten(&said(message), MAX_TEXT)});
    let tool = |tool: &promptopt_core::lm::ToolDefinition| json!({"name": tool.name, "description": shorten(&tool.description, MAX_TEXT)});
    let (reply, error) = match &call.result {
        Some(Ok(reply)) if !call.embeds => {
            (reply.completions.first().map(|one| said(&one.to_message())), None)
        }
        Some(Err(error)) => (None, Some(error)),
        _ => (None, None),
    };
    let usage = call.result.as_ref().and_then(|result| Some(result.as_ref().ok()?.usage));
    json!({
        "model": call.model,
        "embeddings": call.embeds,
        "messages": call.request.messages.iter().map(message).collect::<Vec<_>>(),
        "tools": call.request.tools.iter().map(tool).collect::<Vec<_>>(),
        "reply": reply.map(|text| shorten(&text, MAX_TEXT)),
        "error": error,
        "usage": usage,
    })
}
