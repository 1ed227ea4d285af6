//! Python's spelling of types and values, which the chat formats are defined in.

use std::borrow::Cow;

use promptopt_core::data::spaced_json;
use promptopt_core::signature::{Field, FieldType, Signature};
use serde_json::Value;

use crate::value::reads_back;

/// The type as Python writes it: `str`, `Literal['a', 'b']`, `list[int]`, `dict[str, Any]`.
pub(crate) fn type_name(kind: &FieldType) -> Cow<'static, str> {
    Cow::from(match kind {
        FieldType::Integer => "int",
        FieldType::Float => "float",
        FieldType::Bool => "bool",
        FieldType::Enum(values) => {
            let quoted: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            return format!("Literal[{}]", quoted.join(", ")).into();
        }
        FieldType::List(item) => return format!("list[{}]", type_name(item)).into(),
        FieldType::Object(_) => "dict[str, Any]",
        FieldType::Optional(item) => match &**item {
            FieldType::Union(kinds) => return format!("Union[{}, NoneType]", type_names(kinds)).into(),
            item => return format!("Union[{}, NoneType]", type_name(item)).into(),
        },
        FieldType::Union(kinds) => return format!("Union[{}]", type_names(kinds)).into(),
        FieldType::Date => "date",
        FieldType::DateTime => "datetime",
        FieldType::Image => "Image",
        FieldType::File => "File",
        FieldType::History => "History",
        _ => "str",
    })
}

fn type_names(kinds: &[FieldType]) -> String {
    kinds.iter().map(type_name).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    match (text.contains('\''), text.contains('"')) {
        (true, false) => format!("\"{text}\""),
        (true, true) => format!("'{}'", text.replace('\'', "\\'")),
        (false, _) => format!("'{text}'"),
    }
}

/// The remark behind an output's placeholder, empty for text.
pub(crate) fn type_note(kind: &FieldType) -> String {
    let note = match kind {
        FieldType::String => return String::new(),
        FieldType::Bool => "must be True or False".to_owned(),
        FieldType::Integer | FieldType::Float => format!("must be a single {} value", type_name(kind)),
        FieldType::Enum(values) => {
            format!("must exactly match (no extra characters) one of: {}", values.join("; "))
        }
        other => {
            format!("must adhere to the JSON schema: {}", spaced_json(&type_first(&other.json_schema())))
        }
    };
    format!("{}# note: the value you produce {note}", " ".repeat(8))
}

/// What the closing request says of an output's type, empty for text.
pub(crate) fn type_request(kind: &FieldType) -> String {
    match kind {
        FieldType::String => String::new(),
        other => format!(" (must be formatted as a valid Python {})", type_name(other)),
    }
}

/// The numbered descriptions of the fields of a signature.
pub(crate) fn field_descriptions(signature: &Signature) -> String {
    let mut text = "Your input fields are:".to_owned();
    list(&mut text, signature.inputs());
    text.push_str("\nYour output fields are:");
    list(&mut text, signature.outputs());
    text
}

fn list(text: &mut String, fields: &[Field]) {
    if fields.is_empty() {
        return text.push('\n');
    }
    for (index, field) in fields.iter().enumerate() {
        let number = (index + 1).to_string();
        let kind = type_name(&field.kind);
        for part in ["\n", &number, ". `", &field.name, "` (", &kind, "): ", &field.description] {
            text.push_str(part);
        }
    }
    text.truncate(text.trim_end().len());
}

/// Adds the sentence that carries the instruction, every line indented by eight spaces.
pub(crate) fn say_objective(text: &mut String, instruction: &str) {
    text.push_str("In adhering to this structure, your objective is: ");
    for line in dedented(instruction) {
        text.push_str("\n        ");
        text.push_str(line);
    }
}

/// The lines without the white space that all with content begin with.
fn dedented(text: &str) -> impl Iterator<Item = &str> {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let margin = text.lines().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    let (before, last) = text.split_at(text.rfind('\n').map_or(0, |end| end + 1));
    let lines = if last.trim().is_empty() { before } else { text }.lines();
    lines.map(move |line| if line.trim().is_empty() { "" } else { line.get(margin..).unwrap_or(line) })
}

/// A value as Python's `str` or `json.dumps` writes it.
pub(crate) fn value_text(value: &Value, kind: &FieldType) -> String {
    match value {
        // A text that says nothing or a number needs quotes where it could be taken for that.
        Value::String(_) if is_ambiguous(kind) && !reads_back(value, kind) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        Value::Array(items) if *kind == FieldType::String => numbered_list(items),
        other => spaced_json(other),
    }
}

fn is_ambiguous(kind: &FieldType) -> bool {
    matches!(kind, FieldType::Optional(_) | FieldType::Union(_))
}

fn numbered_list(items: &[Value]) -> String {
    let blob = |item: &Value| {
        let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
        if text.contains(['\n', '«', '»']) {
            format!("«««\n    {}\n»»»", text.replace('\n', "\n    "))
        } else {
            format!("«{text}»")
        }
    };
    match items {
        [] => "N/A".to_owned(),
        [single] => blob(single),
        many => many
            .iter()
            .enumerate()
            .map(|(index, item)| format!("[{}] {}", index + 1, blob(item)))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// A schema with `type` as the first key of every object and the others sorted.
fn type_first(schema: &Value) -> Value {
    match schema {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_by_key(|key| (key.as_str() != "type", key.as_str()));
            Value::Object(
                keys.into_iter()
                    .filter_map(|key| Some((key.clone(), type_first(object.get(key)?))))
                    .collect(),
            )
        }
        Value::Array(items) => items.iter().map(type_first).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_spelled_as_python_does() {
        let check =
            |value: Value, expected: &str| assert_eq!(value_text(&value, &FieldType::String), expected);
        check(json!("a\nb"), "a\nb");
        check(json!(true), "True");
        check(json!(1.0), "1.0");
        check(json!(null), "None");
        check(json!([]), "N/A");
        check(json!(["a"]), "«a»");
        check(json!(["a", "b\nc"]), "[1] «a»\n[2] «««\n    b\n    c\n»»»");
        assert_eq!(
            value_text(&json!(["x", {"k": 1}]), &FieldType::list(FieldType::String)),
            r#"["x", {"k": 1}]"#
        );
    }

    #[test]
    fn literals_are_quoted_as_python_does() {
        assert_eq!(type_name(&FieldType::literals(["a", "it's"])), r#"Literal['a', "it's"]"#);
    }

    #[test]
    fn instructions_keep_their_relative_indentation() {
        let check = |instruction: &str, expected: &[&str]| {
            assert_eq!(dedented(instruction).collect::<Vec<_>>(), expected, "{instruction:?}");
        };
        check("  a\n    b\n\n", &["a", "  b", ""]);
        check("a\n   ", &["a"]);
        check("a\n\n   ", &["a", ""]);
        check(" \t", &[]);
        check("\ta  \r\n\tb", &["a  ", "b"]);
        let mut text = String::new();
        say_objective(&mut text, "  a\n    b\n\n");
        assert_eq!(
            text,
            "In adhering to this structure, your objective is: \n        a\n          b\n        "
        );
    }
}
