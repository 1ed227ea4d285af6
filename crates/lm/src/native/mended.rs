//! Replies that the library does not take for JSON, read all the same: half characters, and streams that nobody asked
//! for.

use genai::Error;
use genai::webc::Error as WebError;
use promptopt_core::lm::LmReply;
use serde_json::{Value, json};

use super::wire::NativeWire;
use crate::classify::AttemptError;
use crate::payload::Payload;
use crate::provider::Dialect;
use crate::reply::read_payload;

impl NativeWire {
    /// The reply in the body that `error` is about; `None` where there is none.
    pub(super) fn mended(&self, error: &Error) -> Option<Result<LmReply, AttemptError>> {
        let (Error::WebModelCall { webc_error, .. } | Error::WebAdapterCall { webc_error, .. }) = error
        else {
            return None;
        };
        let (WebError::ResponseFailedInvalidJson { body, .. } | WebError::ResponseFailedNotJson { body, .. }) =
            webc_error
        else {
            return None;
        };
        let payload = Payload::read(body.as_bytes()).ok()?;
        let values = payload.values.iter().map(|value| openai(self.dialect, value)).collect::<Option<_>>()?;
        let reply = read_payload(&Payload { values, ..payload }, body.len());
        Some(reply.map_err(|problem| self.failed_reply(problem, "application/json", body.clone())))
    }
}

/// The calls of tools among parts. `call` gives the call in a part, and the name of its arguments.
fn called<'a>(parts: &'a Value, call: impl Fn(&'a Value) -> Option<(&'a Value, &'static str)>) -> Value {
    let calls = parts.as_array().into_iter().flatten().filter_map(call);
    let calls = calls.map(|(call, arguments)| {
        json!({"id": call.get("id"), "function": {"name": call.get("name"), "arguments": call.get(arguments)}})
    });
    calls.collect()
}

/// A reply, or an event of one, in the shape that the OpenAI dialect has.
fn openai(dialect: Dialect, value: &Value) -> Option<Value> {
    let at = |path: &str| value.pointer(path).cloned().unwrap_or_default();
    let (message, finish_reason, usage) = match dialect {
        Dialect::Anthropic => {
            let content = value.get("content")?;
            let calls = called(content, |part| {
                part.get("type").is_some_and(|kind| kind == "tool_use").then_some((part, "input"))
            });
            (json!({"content": content, "tool_calls": calls}), at("/stop_reason"), at("/usage"))
        }
        Dialect::Gemini => {
            let parts = value.pointer("/candidates/0/content/parts")?.as_array()?;
            let part = |part: &Value| match part.get("thought").and_then(Value::as_bool) {
                Some(true) => json!({"type": "thinking", "thinking": part.get("text")}),
                _ => part.clone(),
            };
            let content: Value = parts.iter().map(part).collect();
            let usage = json!({
                "prompt_tokens": at("/usageMetadata/promptTokenCount"),
                "completion_tokens": at("/usageMetadata/candidatesTokenCount"),
                "total_tokens": at("/usageMetadata/totalTokenCount"),
            });
            let calls = called(&content, |part| Some((part.get("functionCall")?, "args")));
            (json!({"content": content, "tool_calls": calls}), at("/candidates/0/finishReason"), usage)
        }
        Dialect::Ollama => {
            let message = value.get("message")?;
            let usage =
                json!({"prompt_tokens": at("/prompt_eval_count"), "completion_tokens": at("/eval_count")});
            (message.clone(), at("/done_reason"), usage)
        }
        Dialect::OpenAi => return Some(value.clone()),
    };
    Some(json!({"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}))
}
