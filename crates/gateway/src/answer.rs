//! What a program answers, as a prediction.

use promptopt_core::data::{Fields, Prediction, shown};
use promptopt_core::signature::{FieldType, Signature};
use serde_json::Value;

use crate::Error;

/// Outputs of a program: an object with the outputs, or, where there is one output, its value.
pub(crate) fn of_value(value: Value, signature: &Signature) -> Result<Prediction, Error> {
    let wrong = |reason: String| Err(Error::Answer { reason });
    let outputs = signature.outputs();
    let mut given = match (value, outputs) {
        (Value::Object(fields), outputs) if outputs.iter().any(|field| fields.contains_key(&field.name)) => {
            fields
        }
        (value, [only]) => Fields::from_iter([(only.name.clone(), value)]),
        (value, _) => {
            let names: Vec<String> = outputs.iter().map(|field| format!("`{}`", field.name)).collect();
            return wrong(format!("it is {}, and not an object with {}", shown(&value), names.join(", ")));
        }
    };
    for field in outputs {
        let value = given.remove(&field.name).unwrap_or_default();
        if value.is_null() && !matches!(field.kind, FieldType::Optional(_)) {
            return wrong(format!("the field `{}` is missing", field.name));
        }
        match field.kind.read(value) {
            Ok(value) => given.insert(field.name.clone(), value),
            Err(found) => {
                return wrong(format!(
                    "the field `{}` should be {}, but is {}",
                    field.name,
                    field.kind,
                    shown(&found)
                ));
            }
        };
    }
    Ok(Prediction::new(given))
}

/// Outputs in what a program wrote: JSON, or a text where there is one output.
pub(crate) fn of_text(text: &str, signature: &Signature) -> Result<Prediction, Error> {
    let text = text.trim();
    // Programs log to standard output as well: the last line may be the object.
    let lines = text.lines().rev().find(|line| !line.trim().is_empty());
    let object =
        [Some(text), lines].into_iter().flatten().find_map(|text| serde_json::from_str(text.trim()).ok());
    match object {
        Some(value @ Value::Object(_)) => of_value(value, signature),
        _ => of_value(text.into(), signature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(signature: &str, text: &str, expected: Result<&str, &str>) {
        let signature = Signature::parse(signature).unwrap();
        let read = of_text(text, &signature).map(|read| Value::Object(read.into_fields()).to_string());
        match (read, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (read, _) => panic!("{text}: {read:?}"),
        }
    }

    #[test]
    fn answers_are_texts_or_objects() {
        check("q -> a", " Paris \n", Ok(r#"{"a":"Paris"}"#));
        check("q -> a", "7", Ok(r#"{"a":"7"}"#));
        check("q -> a: int", "7\n", Ok(r#"{"a":7}"#));
        check("q -> a: int", "seven", Err("the field `a` should be int, but is the text `seven`"));
        check("q -> a", r#"{"a": "Paris", "why": 1}"#, Ok(r#"{"why":1,"a":"Paris"}"#));
        check("q -> a, b: int", "loading…\n{\"a\": \"x\", \"b\": \"2\"}\n", Ok(r#"{"a":"x","b":2}"#));
        check("q -> a, b: int", "x", Err("not an object with `a`, `b`"));
        check("q -> a, b: int", r#"{"a": "x"}"#, Err("`b` is missing"));
        check("q -> a, b: int?", r#"{"a": "x"}"#, Ok(r#"{"a":"x","b":null}"#));
        check("q -> a: object", r#"{"x": 1}"#, Ok(r#"{"a":{"x":1}}"#));
    }
}
