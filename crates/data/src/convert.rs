//! Values and their types: conversion of cells, and the words for what was expected.

use promptopt_core::signature::FieldType;
use serde_json::{Number, Value};

use crate::words;

/// The value that a text cell has under a type, or `None` when it has none.
pub(crate) fn from_text(text: &str, kind: &FieldType) -> Option<Value> {
    let trimmed = text.trim();
    match kind {
        FieldType::String => Some(Value::from(text)),
        FieldType::Integer => {
            let signed = trimmed.parse::<i64>().ok().map(Value::from);
            signed.or_else(|| trimmed.parse::<u64>().ok().map(Value::from))
        }
        // A number that is not finite has no JSON form.
        FieldType::Float => trimmed.parse().ok().and_then(Number::from_f64).map(Value::Number),
        FieldType::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(Value::Bool(true)),
            "false" | "no" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        FieldType::Enum(literals) => {
            let exact = literals.iter().find(|literal| literal.as_str() == text);
            exact
                .or_else(|| literals.iter().find(|literal| literal.as_str() == trimmed))
                .map(|one| one.as_str().into())
        }
        FieldType::Optional(_) if trimmed.is_empty() || trimmed == "null" => Some(Value::Null),
        FieldType::Optional(item) => from_text(text, item),
        _ => serde_json::from_str(trimmed).ok().filter(|value| kind.admits(value)),
    }
}

/// What a value of a type is, in words.
pub(crate) fn describe(kind: &FieldType) -> String {
    match kind {
        FieldType::String => "a text".to_owned(),
        FieldType::Integer => "a whole number".to_owned(),
        FieldType::Float => "a number".to_owned(),
        FieldType::Bool => "true or false".to_owned(),
        FieldType::Enum(literals) => format!("one of {}", words::list(literals.iter().map(String::as_str))),
        FieldType::List(item) => format!("a JSON list in which each item is {}", describe(item)),
        FieldType::Object(_) => "a JSON object".to_owned(),
        FieldType::Optional(item) => format!("{}, or nothing", describe(item)),
        other => format!("of type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, text: &str, expected: Option<Value>) {
        let kind = FieldType::parse(kind).unwrap();
        assert_eq!(from_text(text, &kind), expected, "{text} as {kind}");
    }

    #[test]
    fn cells_are_converted_by_type() {
        check("str", " 1 ", Some(json!(" 1 ")));
        check("int", " -7 ", Some(json!(-7)));
        check("int", "18446744073709551615", Some(json!(u64::MAX)));
        check("int", "1.0", None);
        check("int", "", None);
        check("float", "2", Some(json!(2.0)));
        check("float", "1e-3", Some(json!(0.001)));
        check("float", "nan", None);
        check("float", "1e999", None);
        check("bool", "Yes", Some(json!(true)));
        check("bool", "FALSE", Some(json!(false)));
        check("bool", "maybe", None);
        check("enum[a, b]", " b", Some(json!("b")));
        check("enum[a, b]", "B", None);
        check("list[int]", "[1, 2]", Some(json!([1, 2])));
        check("list[int]", "[1, \"2\"]", None);
        check("object", "{\"a\": 1}", Some(json!({"a": 1})));
        check("object", "[]", None);
        check("optional[int]", " 7", Some(json!(7)));
        check("optional[int]", "seven", None);
        check("optional[str]", "", Some(json!(null)));
        check("optional[enum[a, b]]", " b", Some(json!("b")));
    }
}
