//! The JSON format: inputs between markers, outputs as one JSON object.

use promptopt_core::data::Fields;
use promptopt_core::lm::{Content, ResponseFormat};
use promptopt_core::signature::{Field, FieldType, Signature};
use serde_json::{Map, Value, json};

use crate::adapter::{Adapter, check_size, in_order, output_or_missing};
use crate::chat::{STRUCTURE, input_pieces};
use crate::field_reader::FieldReader;
use crate::json_reader::JsonReader;
use crate::python::{field_descriptions, say_objective, type_note, type_request};
use crate::unrequested::Unrequested;
use crate::value::{coerce, parse_json};

/// DSPy's JSON format: what a retry goes out in when a reply in chat form does not fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonAdapter;

impl Adapter for JsonAdapter {
    fn name(&self) -> &'static str {
        "json"
    }

    fn system(&self, signature: &Signature, instruction: &str) -> String {
        let mut text = field_descriptions(signature);
        text.push_str(STRUCTURE);
        text.push_str("Inputs will have the following structure:");
        if signature.inputs().is_empty() {
            text.push_str("\n\n");
        }
        for Field { name, .. } in signature.inputs() {
            for part in ["\n\n[[ ## ", name, " ## ]]\n{", name, "}"] {
                text.push_str(part);
            }
        }
        text.push_str("\n\nOutputs will be a JSON object with the following fields.\n\n");
        let outputs: Fields = signature
            .outputs()
            .iter()
            .map(|field| {
                (field.name.clone(), Value::from(format!("{{{}}}{}", field.name, type_note(&field.kind))))
            })
            .collect();
        text.push_str(&pretty(outputs));
        text.push('\n');
        say_objective(&mut text, instruction);
        text
    }

    fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, ask: bool) -> Content {
        let mut pieces = input_pieces(signature, inputs, preface);
        if ask {
            let outputs: Vec<_> = signature
                .outputs()
                .iter()
                .map(|field| format!("`{}`{}", field.name, type_request(&field.kind)))
                .collect();
            // White space at the end of the last input stays, as in DSPy.
            pieces.say(if pieces.is_empty() { "" } else { "\n\n" });
            pieces.say(&format!(
                "Respond with a JSON object in the following order of fields: {}.",
                outputs.join(", then ")
            ));
        }
        pieces.finish()
    }

    fn assistant(&self, signature: &Signature, outputs: &Fields) -> String {
        let all = signature
            .outputs()
            .iter()
            .map(|field| (field.name.clone(), output_or_missing(outputs, &field.name)))
            .collect();
        pretty(all)
    }

    fn without_request(&self) -> Option<&'static dyn Adapter> {
        Some(&Unrequested(JsonAdapter))
    }

    fn reader(&self, signature: &Signature) -> Option<Box<dyn FieldReader>> {
        Some(Box::new(JsonReader::new(signature)))
    }

    fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String> {
        check_size(reply)?;
        let object = object_in(signature, reply)?;
        let mut found = Fields::new();
        for field in signature.outputs() {
            match entry(&object, &field.name) {
                // Nothing is no text, and not the word for it either.
                Some(Value::Null) if field.kind == FieldType::String => {
                    found.insert(field.name.clone(), Value::Null);
                }
                Some(value) => {
                    let value =
                        coerce(value.clone(), &field.kind).map_err(|mismatch| mismatch.of(&field.name))?;
                    found.insert(field.name.clone(), value);
                }
                None => {}
            }
        }
        in_order(signature, found)
    }

    fn response_format(&self, signature: &Signature) -> ResponseFormat {
        let names: Vec<_> = signature.outputs().iter().map(|field| field.name.as_str()).collect();
        let property = |field: &Field| {
            let mut schema = field.kind.json_schema();
            let place = place_of_schema(&field.kind);
            rebase(&mut schema, &format!("#/properties/{}{place}", field.name));
            make_strict(&mut schema);
            (field.name.clone(), schema)
        };
        let properties: Fields = signature.outputs().iter().map(property).collect();
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

/// Formats of texts that strict schemas may name.
const KNOWN_FORMATS: [&str; 9] =
    ["date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// Where the schema of an object stands in that of a type.
fn place_of_schema(kind: &FieldType) -> String {
    match kind {
        FieldType::List(item) => format!("/items{}", place_of_schema(item)),
        FieldType::Optional(item) => format!("/anyOf/0{}", place_of_schema(item)),
        _ => String::new(),
    }
}

/// Lets the references within a schema point to where it stands now.
fn rebase(schema: &mut Value, place: &str) {
    match schema {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match value {
            Value::String(reference) if name == "$ref" && reference.starts_with('#') => {
                reference.replace_range(..1, place);
            }
            value => rebase(value, place),
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| rebase(item, place)),
        _ => {}
    }
}

/// What servers with strict schemas want of objects with known fields: all of them asked for, and no others. Defaults and
/// the formats of Rust's numbers are refused by some, so they are left out; whoever reads the reply still heeds the bounds.
fn make_strict(schema: &mut Value) {
    let rules = match schema {
        Value::Object(rules) => rules,
        Value::Array(items) => return items.iter_mut().for_each(make_strict),
        _ => return,
    };
    let names = rules.get("properties").and_then(Value::as_object).map(|all| all.keys().cloned().collect());
    if let Some(names) = names {
        let names: Vec<String> = names;
        rules.entry("additionalProperties").or_insert(false.into());
        if rules.get("additionalProperties") == Some(&Value::Bool(false)) {
            rules.insert("required".to_owned(), names.into());
        }
    }
    rules.shift_remove("default");
    let is_known = |format: &Value| format.as_str().is_some_and(|name| KNOWN_FORMATS.contains(&name));
    if rules.get("format").is_some_and(|format| format.is_string() && !is_known(format)) {
        rules.shift_remove("format");
    }
    if let Some(kinds) = rules.shift_remove("oneOf") {
        rules.insert("anyOf".to_owned(), kinds);
    }
    for (name, value) in rules.iter_mut() {
        match name.as_str() {
            // Here keys are names of fields and not of rules.
            "properties" | "$defs" | "definitions" => {
                value.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(make_strict);
            }
            "enum" | "const" | "required" => {}
            _ => make_strict(value),
        }
    }
}

fn pretty(fields: Fields) -> String {
    format!("{:#}", Value::Object(fields))
}

/// Beginnings of objects that are tried in one reply.
const MAX_OBJECTS: usize = 8;

/// The object in a reply: the whole of it, what is between its first and last brace, or the one object among words and
/// other braces that has all fields.
fn object_in(signature: &Signature, reply: &str) -> Result<Fields, String> {
    const NONE: &str = "there is no JSON object";
    let has_all = |object: &Fields| signature.outputs().iter().all(|it| entry(object, &it.name).is_some());
    let end = reply.rfind('}').map_or(reply.len(), |at| at + 1);
    let from_brace = |from: usize| reply.get(from..end).map(parse_json)?.ok().and_then(object_of);
    let whole = parse_json(reply).ok().and_then(object_of);
    let whole = whole.or_else(|| from_brace(reply.find('{')?));
    if let Some(object) = whole.as_ref().filter(|object| has_all(object)) {
        return Ok(object.clone());
    }
    let mut complete: Vec<Fields> = Vec::new();
    let mut behind = 0;
    for (at, _) in reply.match_indices('{').take(MAX_OBJECTS) {
        let mut values = serde_json::Deserializer::from_str(reply.get(at..).unwrap_or_default()).into_iter();
        if at >= behind
            && let Some(Ok(Value::Object(object))) = values.next()
        {
            behind = at + values.byte_offset();
            complete.extend(Some(object).filter(|object| has_all(object) && !complete.contains(object)));
        }
    }
    match complete.pop() {
        Some(_) if !complete.is_empty() => Err("there are several JSON objects".to_owned()),
        Some(object) => Ok(object),
        None => {
            let mut beginnings = reply.match_indices('{').skip(1).take(MAX_OBJECTS).map(|(at, _)| at);
            let repaired = beginnings.find_map(|at| from_brace(at).filter(|object| has_all(object)));
            repaired.or(whole).ok_or_else(|| NONE.to_owned())
        }
    }
}

/// An object, also where it is the only item of a list.
fn object_of(value: Value) -> Option<Fields> {
    match value {
        Value::Object(object) => Some(object),
        Value::Array(mut items) if items.len() == 1 => items.pop().and_then(object_of),
        _ => None,
    }
}

/// The value of a field: under its name, or else under the only key that is the same but for letter case.
fn entry<'a>(object: &'a Fields, name: &str) -> Option<&'a Value> {
    let mut alike =
        object.iter().filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value);
    object.get(name).or_else(|| alike.next().filter(|_| alike.next().is_none()))
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
    fn references_in_a_schema_point_to_where_it_stands() {
        let object = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}});
        let place = |kind: FieldType| {
            let signature = Signature::new([Field::new("q")], [Field::new("out").typed(kind)], "").unwrap();
            let ResponseFormat::JsonSchema { schema, .. } = JsonAdapter.response_format(&signature) else {
                return None;
            };
            let text = schema.to_string();
            let reference = text.split("\"$ref\":\"#").nth(1)?.split('"').next()?.to_owned();
            schema.pointer(&reference).cloned()
        };
        let object = FieldType::Object(object);
        for kind in [object.clone(), FieldType::list(object.clone()), FieldType::optional(object)] {
            assert_eq!(place(kind), Some(json!({"type": "string"})));
        }
    }

    #[test]
    fn schemas_are_what_strict_servers_take() {
        let mut schema = json!({
            "type": "object",
            "properties": {
                "default": {"type": "integer", "format": "uint8", "minimum": 0, "default": 3},
                "day": {"type": "string", "format": "date"},
                "home": {"oneOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
                "names": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["day"],
            "$defs": {"place": {"type": "object", "properties": {"format": {"enum": ["default"]}}}},
        });
        make_strict(&mut schema);
        let expected = json!({
            "type": "object",
            "properties": {
                "default": {"type": "integer", "minimum": 0},
                "day": {"type": "string", "format": "date"},
                "home": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
                "names": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["default", "day", "home", "names"],
            "$defs": {
                "place": {
                    "type": "object",
                    "properties": {"format": {"enum": ["default"]}},
                    "additionalProperties": false,
                    "required": ["format"],
                },
            },
            "additionalProperties": false,
        });
        assert_eq!(schema, expected);
    }

    #[test]
    fn objects_are_found_and_repaired() {
        check(r#"{"a": 1, "b": ["x"]}"#, Ok(r#"{"a":1,"b":["x"]}"#));
        check("```json\n{\"b\": [\"x\"], \"a\": \"2\",}\n```", Ok(r#"{"a":2,"b":["x"]}"#));
        check("Sure: {'a': 3, 'b': []} there you are", Ok(r#"{"a":3,"b":[]}"#));
        check(r#"{"a": 1}"#, Err("`b` is missing"));
        check(r#"{"a": "one", "b": []}"#, Err("`a`"));
        check("no object", Err("no JSON object"));
        for reply in [
            "[{\"a\": 1, \"b\": [\"x\"]}]",
            "I use {braces} first.\n{\"a\": 1, \"b\": [\"x\"]}",
            "I use {braces} first.\n{'a': 1, 'b': ['x'],}",
            "{\"a\": 1, \"b\": [\"x\"]}\n\nHere {a} is the number.",
            "{\"a\": 1, \"b\": [\"x\"]} and again {\"a\": 1, \"b\": [\"x\"]}",
            "{\"A\": 1, \"B\": [\"x\"]}",
            "Sure:\n```json\n{\n  a: 1, // one\n  b: [\"x\"],\n}\n```\nDone.",
        ] {
            check(reply, Ok(r#"{"a":1,"b":["x"]}"#));
        }
        check("{\"a\": 1, \"b\": []} or {\"a\": 2, \"b\": []}", Err("several JSON objects"));
    }

    #[test]
    fn null_is_null_and_not_the_word() {
        let read = |signature: &str, reply: &str| {
            let found = JsonAdapter.parse(&Signature::parse(signature).unwrap(), reply);
            found.map(|fields| Value::Object(fields).to_string())
        };
        assert_eq!(read("q -> a", r#"{"a": null}"#).unwrap(), r#"{"a":null}"#);
        assert_eq!(read("q -> a", r#"{"a": None}"#).unwrap(), r#"{"a":null}"#);
        assert_eq!(read("q -> a: str?", r#"{"a": null}"#).unwrap(), r#"{"a":null}"#);
        assert_eq!(read("q -> a: str?", r#"{"a": "null"}"#).unwrap(), r#"{"a":"null"}"#);
        assert_eq!(read("q -> a: str?", r#"{"a": ""}"#).unwrap(), r#"{"a":null}"#);
        assert_eq!(read("q -> a: int?", r#"{"a": "null"}"#).unwrap(), r#"{"a":null}"#);
        assert_eq!(read("q -> a: enum[null, x]?", r#"{"a": "null"}"#).unwrap(), r#"{"a":"null"}"#);
        assert_eq!(read("q -> a: enum[null, x]?", r#"{"a": null}"#).unwrap(), r#"{"a":null}"#);
        assert_eq!(read("q -> a: int | str", r#"{"a": "7"}"#).unwrap(), r#"{"a":"7"}"#);
        assert_eq!(read("q -> a: int?, b", r#"{"b": "x"}"#).unwrap(), r#"{"a":null,"b":"x"}"#);
        assert_eq!(read("q -> a: int?", r#"{"a": "7"}"#).unwrap(), r#"{"a":7}"#);
        assert!(read("q -> a: int", r#"{"a": null}"#).unwrap_err().contains("should be int, but is `null`"));
        assert!(read("q -> a: list[str]", r#"{"a": ["x", null]}"#).is_err());
        assert!(read("q -> a: int?", "{}").unwrap_err().contains("`a` is missing"));
    }
}
