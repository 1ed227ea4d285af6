//! Replies of models, read by every adapter.

use std::sync::LazyLock;

use promptopt_core::data::Fields;
use promptopt_core::signature::Signature;
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
        "q -> reasoning, a, b: int, c: float, d: bool, e: enum[x, y], f: list[int], g: object, h: list[object]",
    ]
    .iter()
    .filter_map(|text| Signature::parse(text).ok())
    .collect()
});

/// What is read from any text has the fields of the signature, in its order, each of its type, and comes
/// back the same when it is written as a demo.
pub fn reply(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(SIGNATURES.len(), 9);
    for signature in SIGNATURES.iter() {
        for adapter in [&ChatAdapter as &dyn Adapter, &JsonAdapter, &PlainAdapter] {
            let Ok(fields) = adapter.parse(signature, &text) else { continue };
            let names: Vec<&str> = signature.outputs().iter().map(|field| field.name.as_str()).collect();
            assert_eq!(fields.keys().collect::<Vec<_>>(), names, "{}", adapter.name());
            for field in signature.outputs() {
                let value = fields.get(&field.name);
                assert!(value.is_some_and(|value| field.kind.admits(value)), "{} {field:?}", adapter.name());
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

/// The same value, where `1` and `1.0` are one, and white space around a text is none of it.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::String(one), Value::String(other)) => one.trim() == other.trim(),
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
