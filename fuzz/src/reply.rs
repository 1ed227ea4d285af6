//! Replies of models: bodies read off the wire, thinking told from the answer, the answer read by every adapter.

use std::sync::LazyLock;

use promptopt_core::data::Fields;
use promptopt_core::lm::{Completion, Message};
use promptopt_core::signature::{FieldType, Signature};
use promptopt_predict::{Adapter, ChatAdapter, JsonAdapter, PlainAdapter};
use serde_json::Value;

/// All types of fields, alone and beside others.
static SIGNATURES: LazyLock<Vec<Signature>> = LazyLock::new(|| {
    [
        "q -> a",
        "q -> a: int",
        "q -> a: float",
        "q -> a: bool",
        "q -> a: enum[x, Y z, é]",
        "q -> a: list[str]",
        "q -> a: list[list[float]]",
        "q -> a: object",
        "q -> a: str?, b: enum[x, y]?, c: list[int]?, d: float",
        "q -> a: date, b: datetime?, c: union[int, str], d: list[date]",
        "q -> a: union[bool, list[int], enum[none, x]], b: union[date, float]?",
        "q -> reasoning, a, b: int, c: float, d: bool, e: enum[x, y], f: list[int], g: object, h: list[object]",
    ]
    .iter()
    .filter_map(|text| Signature::parse(text).ok())
    .collect()
});

/// Bytes are a body off the wire, and the text of a reply.
pub fn reply(bytes: &[u8]) {
    if let Some(reply) = promptopt_lm::read_body(bytes) {
        assert!(!reply.completions.is_empty());
        for tokens in [reply.usage.prompt_tokens, reply.usage.completion_tokens] {
            assert!(tokens <= u64::from(u32::MAX), "{tokens}");
        }
        for completion in &reply.completions {
            check_read(completion);
            check_adapters(&completion.text);
            check_calls(completion);
        }
    }
    let read = Completion::new(String::from_utf8_lossy(bytes)).read();
    check_read(&read);
    check_adapters(&read.text);
}

/// What was read once is the same when it is read again.
fn check_read(completion: &Completion) {
    assert_eq!(completion.clone().read().text, completion.text);
}

/// Every call has an id, its arguments are read or refused, and what comes goes back as a message that is read the same.
fn check_calls(completion: &Completion) {
    for call in &completion.tool_calls {
        assert!(!call.id.is_empty());
        let _ = call.read_arguments();
    }
    let message = completion.to_message();
    let Ok(wire) = serde_json::to_value(&message) else { panic!("a message that is not JSON") };
    let Ok(read) = serde_json::from_value::<Message>(wire.clone()) else { panic!("{wire} is no message") };
    assert_eq!(serde_json::to_value(&read).ok(), Some(wire));
}

/// What is read from any text has the fields of the signature, in its order, each of its type, and comes
/// back the same when it is written as a demo.
fn check_adapters(text: &str) {
    assert_eq!(SIGNATURES.len(), 12);
    for signature in SIGNATURES.iter() {
        for adapter in [&ChatAdapter as &dyn Adapter, &JsonAdapter, &PlainAdapter] {
            let Ok(fields) = adapter.parse(signature, text) else { continue };
            let names: Vec<&str> = signature.outputs().iter().map(|field| field.name.as_str()).collect();
            assert_eq!(fields.keys().collect::<Vec<_>>(), names, "{}", adapter.name());
            for field in signature.outputs() {
                // A text may be null as well, where the reply says so in JSON.
                let is_of_type = |value: &Value| {
                    field.kind.admits(value) || (field.kind == FieldType::String && value.is_null())
                };
                assert!(fields.get(&field.name).is_some_and(is_of_type), "{} {field:?}", adapter.name());
            }
            // In the plain format a value may pose as a field, which its documentation says.
            if adapter.name() != "plain" {
                check_round_trip(adapter, signature, &fields);
            }
        }
    }
}

fn check_round_trip(adapter: &dyn Adapter, signature: &Signature, fields: &Fields) {
    let written = adapter.assistant(signature, fields);
    // What is written may be longer than what was read, and then too long.
    if written.len() > 200_000 {
        return;
    }
    let read = adapter.parse(signature, &written);
    let is_same = read.as_ref().is_ok_and(|read| {
        fields.iter().all(|(name, value)| read.get(name).is_some_and(|again| is_alike(value, again)))
    });
    assert!(is_same, "{}: {fields:?} became {read:?} by way of {written:?}", adapter.name());
}

/// The same value, where `1` and `1.0` are one, and white space around a text is none of it. In the chat format nothing
/// is written as Python does.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::String(one), Value::String(other)) => one.trim() == other.trim(),
        (Value::Null, Value::String(other)) => other == "None",
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| is_alike(value, other)))
        }
        _ => one == other,
    }
}
