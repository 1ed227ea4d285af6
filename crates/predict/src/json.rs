//! The JSON format: inputs between markers, outputs as one JSON object.

use promptopt_core::data::Fields;
use promptopt_core::lm::ResponseFormat;
use promptopt_core::signature::Signature;
use serde_json::{Value, json};

use crate::adapter::{Adapter, check_size, in_order, output_or_missing};
use crate::chat::input_parts;
use crate::python::{field_descriptions, objective, type_note, type_request};
use crate::value::{coerce, parse_json};

/// DSPy's JSON format: what a retry goes out in when a reply in chat form does not fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonAdapter;

impl Adapter for JsonAdapter {
    fn name(&self) -> &'static str {
        "json"
    }

    fn system(&self, signature: &Signature, instruction: &str) -> String {
        let inputs: Vec<_> = signature
            .inputs()
            .iter()
            .map(|field| format!("[[ ## {} ## ]]\n{{{}}}", field.name, field.name))
            .collect();
        let outputs: Fields = signature
            .outputs()
            .iter()
            .map(|field| {
                (field.name.clone(), Value::from(format!("{{{}}}{}", field.name, type_note(&field.kind))))
            })
            .collect();
        format!(
            "{}\nAll interactions will be structured in the following way, with the appropriate values filled in.\n\n\
             Inputs will have the following structure:\n\n{}\n\n\
             Outputs will be a JSON object with the following fields.\n\n{}\n{}",
            field_descriptions(signature),
            inputs.join("\n\n"),
            pretty(outputs),
            objective(instruction)
        )
    }

    fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, ask: bool) -> String {
        let mut parts = input_parts(signature, inputs, preface);
        if ask {
            let outputs: Vec<_> = signature
                .outputs()
                .iter()
                .map(|field| format!("`{}`{}", field.name, type_request(&field.kind)))
                .collect();
            parts.push(format!(
                "Respond with a JSON object in the following order of fields: {}.",
                outputs.join(", then ")
            ));
        }
        // White space at the end of the last input stays, as in DSPy.
        parts.join("\n\n").trim().to_owned()
    }

    fn assistant(&self, signature: &Signature, outputs: &Fields) -> String {
        let all = signature
            .outputs()
            .iter()
            .map(|field| (field.name.clone(), output_or_missing(outputs, &field.name)))
            .collect();
        pretty(all)
    }

    fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String> {
        check_size(reply)?;
        let object = match parse_json(reply) {
            Ok(Value::Object(object)) => object,
            Ok(_) | Err(_) => match braced(reply).map(parse_json) {
                Some(Ok(Value::Object(object))) => object,
                _ => return Err("there is no JSON object".to_owned()),
            },
        };
        let mut found = Fields::new();
        for field in signature.outputs() {
            if let Some(value) = object.get(&field.name) {
                let value = coerce(value.clone(), &field.kind)
                    .map_err(|reason| format!("the field `{}` {reason}", field.name))?;
                found.insert(field.name.clone(), value);
            }
        }
        in_order(signature, found)
    }

    fn response_format(&self, signature: &Signature) -> ResponseFormat {
        let names: Vec<_> = signature.outputs().iter().map(|field| field.name.as_str()).collect();
        let properties: Fields =
            signature.outputs().iter().map(|field| (field.name.clone(), field.kind.json_schema())).collect();
        ResponseFormat::JsonSchema {
            name: "outputs".to_owned(),
            schema: json!({
                "type": "object",
                "properties": properties,
                "required": names,
                "additionalProperties": false,
            }),
        }
    }
}

fn pretty(fields: Fields) -> String {
    format!("{:#}", Value::Object(fields))
}

/// From the first `{` to the last `}`.
fn braced(text: &str) -> Option<&str> {
    text.get(text.find('{')?..=text.rfind('}')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &str, expected: Result<&str, &str>) {
        let signature = Signature::parse("q -> a: int, b: list[str]").unwrap();
        let found = JsonAdapter.parse(&signature, reply);
        match expected {
            Ok(json) => assert_eq!(serde_json::to_string(&found.unwrap()).unwrap(), json),
            Err(reason) => assert!(found.as_ref().unwrap_err().contains(reason), "{found:?}"),
        }
    }

    #[test]
    fn objects_are_found_and_repaired() {
        check(r#"{"a": 1, "b": ["x"]}"#, Ok(r#"{"a":1,"b":["x"]}"#));
        check("```json\n{\"b\": [\"x\"], \"a\": \"2\",}\n```", Ok(r#"{"a":2,"b":["x"]}"#));
        check("Sure: {'a': 3, 'b': []} there you are", Ok(r#"{"a":3,"b":[]}"#));
        check(r#"{"a": 1}"#, Err("`b` is missing"));
        check(r#"{"a": "one", "b": []}"#, Err("`a`"));
        check("no object", Err("no JSON object"));
    }
}
