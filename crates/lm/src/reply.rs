//! Reads the body of a successful reply.

mod choice;
mod usage;

use promptopt_core::data::shorten;
use promptopt_core::lm::{FinishReason, LmReply};
use promptopt_core::money::Usage;
use serde_json::Value;

use self::choice::Choice;
pub(crate) use self::usage::read_usage;
use crate::payload::Payload;
use crate::provider_error::ProviderError;

/// The most that is kept of an id or a name, in characters.
const MAX_HEAD_CHARS: usize = 200;

/// The fields of a body that are read, and those that are other for each reply and so are not kept.
const READ: [&str; 9] =
    ["id", "object", "created", "model", "choices", "usage", "system_fingerprint", "error", "obfuscation"];

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
    let mut reader = ReplyReader::new(payload.is_stream);
    payload.values.iter().try_for_each(|value| reader.read(value))?;
    reader.finish(payload.is_done, bytes)
}

/// Puts a reply together from its values, one after the other.
pub(crate) struct ReplyReader {
    is_stream: bool,
    choices: Vec<Choice>,
    usage: Usage,
    head: LmReply,
}

impl ReplyReader {
    /// For the values of a stream, or for the one value that is a reply.
    pub(crate) fn new(is_stream: bool) -> Self {
        Self { is_stream, choices: Vec::new(), usage: Usage::call(0, 0), head: LmReply::default() }
    }

    /// Reads the next value.
    pub(crate) fn read(&mut self, value: &Value) -> Result<(), ReplyProblem> {
        read_head(value, &mut self.head);
        let entries = value.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let error = value.get("error").and_then(ProviderError::from_error);
        if let Some(error) = error.filter(|_| entries.is_empty() || self.is_stream) {
            return Err(ReplyProblem::Failed(error));
        }
        for entry in entries {
            let index = entry.get("index").and_then(Value::as_u64);
            let known = self.choices.iter_mut().find(|choice| self.is_stream && choice.index == index);
            match known {
                Some(choice) => choice.read(entry)?,
                None => {
                    let mut choice = Choice::default();
                    choice.index = index;
                    choice.read(entry)?;
                    self.choices.push(choice);
                }
            }
        }
        self.usage = read_usage(value).unwrap_or(self.usage);
        Ok(())
    }

    /// Whether the model has said or thought nothing yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.choices.iter().all(Choice::is_empty)
    }

    /// The text so far of the completion that will be the first.
    pub(crate) fn text(&self) -> &str {
        let first = self.choices.iter().min_by_key(|choice| choice.index);
        first.map_or("", |choice| choice.text.as_str())
    }

    /// How much the reply holds so far, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.choices.iter().map(Choice::bytes).sum()
    }

    /// The reply.
    pub(crate) fn finish(self, is_done: bool, bytes: usize) -> Result<LmReply, ReplyProblem> {
        let Self { is_stream, mut choices, usage, mut head } = self;
        if choices.is_empty() {
            return Err(ReplyProblem::Malformed("it has no `choices`".to_owned()));
        }
        if is_stream && !is_done && choices.iter().all(|choice| choice.finish_reason.is_none()) {
            return Err(ReplyProblem::Malformed(format!("the stream ends early, after {bytes} bytes")));
        }
        // Some servers write every field that there is, with nothing in it.
        choices.iter_mut().for_each(|choice| choice.calls.retain(|called| !called.says_nothing()));
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
    for (name, value) in value.as_object().into_iter().flatten() {
        if !READ.contains(&name.as_str()) && !value.is_null() {
            head.extra.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
