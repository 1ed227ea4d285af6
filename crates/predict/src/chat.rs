//! The chat format: fields between `[[ ## name ## ]]` markers.

use promptopt_core::data::Fields;
use promptopt_core::signature::{Field, Signature};
use serde_json::Value;

use crate::adapter::{Adapter, check_size, in_order, output_or_missing};
use crate::python::{field_descriptions, objective, type_note, type_request, value_text};
use crate::value::parse_value;

const OPEN: &str = "[[ ## ";
const CLOSE: &str = " ## ]]";
const COMPLETED: &str = "[[ ## completed ## ]]";

/// DSPy's chat format, our default.
///
/// Where a value itself holds the beginning of a marker, a backslash is put before it and taken
/// off again when a reply is read: so data can not pose as a field, and what is rendered reads
/// back as it was. Values without `[[ ##` are rendered byte for byte as DSPy 3.4 does.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatAdapter;

/// The preface and the inputs, each as a block.
pub(crate) fn input_parts(signature: &Signature, inputs: &Fields, preface: &str) -> Vec<String> {
    let given = signature.inputs().iter().filter_map(|field| Some((field, inputs.get(&field.name)?)));
    std::iter::once(preface.to_owned()).chain(given.map(|(field, value)| section(field, value))).collect()
}

impl Adapter for ChatAdapter {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn system(&self, signature: &Signature, instruction: &str) -> String {
        let placeholder =
            |field: &Field, note: String| format!("{}\n{{{}}}{note}", marker(&field.name), field.name);
        let inputs = signature.inputs().iter().map(|field| placeholder(field, String::new()));
        let outputs = signature.outputs().iter().map(|field| placeholder(field, type_note(&field.kind)));
        let structure: Vec<_> = inputs.chain(outputs).collect();
        format!(
            "{}\nAll interactions will be structured in the following way, with the appropriate values filled in.\n\n\
             {}\n\n{COMPLETED}\n{}",
            field_descriptions(signature),
            structure.join("\n\n"),
            objective(instruction)
        )
    }

    fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, ask: bool) -> String {
        let mut parts = input_parts(signature, inputs, preface);
        if ask {
            let outputs: Vec<_> = signature
                .outputs()
                .iter()
                .map(|field| format!("`{}`{}", marker(&field.name), type_request(&field.kind)))
                .collect();
            parts.push(format!(
                "Respond with the corresponding output fields, starting with the field {}, and then ending with the \
                 marker for `{COMPLETED}`.",
                outputs.join(", then ")
            ));
        }
        parts.join("\n\n").trim().to_owned()
    }

    fn assistant(&self, signature: &Signature, outputs: &Fields) -> String {
        let sections: Vec<_> = signature
            .outputs()
            .iter()
            .map(|field| section(field, &output_or_missing(outputs, &field.name)))
            .collect();
        format!("{}\n\n{COMPLETED}\n", sections.join("\n\n").trim())
    }

    fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String> {
        check_size(reply)?;
        let mut found = Fields::new();
        for (name, text) in sections(reply) {
            let Some(field) = signature.outputs().iter().find(|field| field.name == name) else { continue };
            if found.contains_key(name) {
                continue;
            }
            let text = text.join("\n");
            let value = parse_value(unescaped(up_to_end_marker(&text)).trim(), &field.kind)
                .map_err(|reason| format!("the field `{name}` {reason}"))?;
            found.insert(name.to_owned(), value);
        }
        in_order(signature, found)
    }
}

fn marker(name: &str) -> String {
    format!("{OPEN}{name}{CLOSE}")
}

fn section(field: &Field, value: &Value) -> String {
    format!("{}\n{}", marker(&field.name), escaped(value_text(value, &field.kind)))
}

/// Puts a backslash before every beginning of a marker.
fn escaped(text: String) -> String {
    // One letter is found much sooner than a word.
    if text.contains('[') { text.replace("[[ ##", "\\[[ ##") } else { text }
}

/// Takes one backslash off before every beginning of a marker.
fn unescaped(text: &str) -> String {
    text.replace("\\[[ ##", "[[ ##")
}

/// The sections of a reply: a marker at the start of a stripped line opens one, and text behind
/// it on the line belongs to it.
fn sections(reply: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in reply.split('\n') {
        if let Some((name, rest)) = marker_at_start(line.trim()) {
            sections.push((name, if rest.trim().is_empty() { vec![] } else { vec![rest.trim()] }));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line);
        }
    }
    sections
}

fn marker_at_start(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix(OPEN)?.split_once(CLOSE)?;
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    is_name.then_some((name, rest))
}

/// Models sometimes put the end marker on the line of the last value.
fn up_to_end_marker(text: &str) -> &str {
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(COMPLETED)) {
        let at = from + found;
        let before = text.get(..at).unwrap_or(text);
        if !before.ends_with('\\') {
            return before;
        }
        from = at + COMPLETED.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(signature: &str, reply: &str, expected: Result<&str, &str>) {
        let signature = Signature::parse(signature).unwrap();
        let found = ChatAdapter.parse(&signature, reply);
        match expected {
            Ok(json) => assert_eq!(serde_json::to_string(&found.unwrap()).unwrap(), json),
            Err(reason) => assert!(found.as_ref().unwrap_err().contains(reason), "{found:?}"),
        }
    }

    #[test]
    fn replies_are_read_as_the_format_says() {
        check("q -> a", "[[ ## a ## ]]\nyes\n\n[[ ## completed ## ]]", Ok(r#"{"a":"yes"}"#));
        check("q -> a", "  [[ ## a ## ]] yes\nmore", Ok(r#"{"a":"yes\nmore"}"#));
        check("q -> a", "[[ ## a ## ]]\none\n[[ ## a ## ]]\ntwo", Ok(r#"{"a":"one"}"#));
        check("q -> a", "text [[ ## a ## ]] inline is no marker", Err("`a` is missing"));
        check("q -> a, b", "[[ ## b ## ]]\n2\n[[ ## a ## ]]\n1", Ok(r#"{"a":"1","b":"2"}"#));
        check("q -> a: enum[x, y]", "[[ ## a ## ]]\nx [[ ## completed ## ]]", Ok(r#"{"a":"x"}"#));
        check("q -> a: enum[x, y]", "[[ ## a ## ]]\nz", Err("`a`"));
        check("q -> a: int", "[[ ## a ## ]]\n7", Ok(r#"{"a":7}"#));
        check("q -> a", "", Err("`a` is missing"));
    }

    #[test]
    fn oversized_replies_are_refused() {
        let signature = Signature::parse("q -> a").unwrap();
        let reply = format!("[[ ## a ## ]]\n{}", "x".repeat(300 * 1024));
        assert!(ChatAdapter.parse(&signature, &reply).unwrap_err().contains("bytes"));
    }
}
