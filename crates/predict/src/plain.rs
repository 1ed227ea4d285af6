//! The plain format: `name: value` lines.

use promptopt_core::data::Fields;
use promptopt_core::lm::Content;
use promptopt_core::signature::{Field, FieldType, Signature};

use crate::adapter::{
    Adapter, check_size, emphasis_at_end, in_order, is_decoration, output_or_missing, undecorated,
};
use crate::field_reader::{BareReader, FieldReader, LineReader};
use crate::pieces::Pieces;
use crate::python::value_text;
use crate::unrequested::NamedPlain;
use crate::value::read_text;

/// A short format for models that are too small to follow markers, such as the embedded one.
///
/// System message: the instruction, then a line for every field that has something to say (a
/// description, a type). User message: the inputs as `name: value` lines, then the name of the
/// first output with a colon. The reply is the value of a single output; several outputs are
/// `name: value` lines, where a name at the start of a line opens its field.
///
/// A value that itself holds such a line can pose as a field when there are several outputs; where
/// that matters, use [`ChatAdapter`](crate::ChatAdapter).
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainAdapter;

impl Adapter for PlainAdapter {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn system(&self, signature: &Signature, instruction: &str) -> String {
        let mut lines = vec![instruction.trim().to_owned()];
        lines.extend(signature.fields().filter_map(remark));
        lines.join("\n")
    }

    // Demos end like the question does, so that the model sees the same pattern every time.
    fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, _ask: bool) -> Content {
        let mut pieces = pieces_of(signature, inputs, preface);
        if let Some(field) = signature.outputs().first() {
            on_next_line(&mut pieces, &format!("{}:", field.name));
        }
        pieces.finish()
    }

    fn assistant(&self, signature: &Signature, outputs: &Fields) -> String {
        let text = |field: &Field| value_text(&output_or_missing(outputs, &field.name), &field.kind);
        match signature.outputs() {
            [single] => text(single),
            many => many
                .iter()
                .map(|field| format!("{}: {}", field.name, text(field)))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }

    fn without_request(&self) -> Option<&'static dyn Adapter> {
        Some(&NamedPlain)
    }

    fn reader(&self, signature: &Signature) -> Option<Box<dyn FieldReader>> {
        match signature.outputs() {
            [single] if single.kind == FieldType::String => Some(Box::new(BareReader::new(single))),
            [_] => None,
            _ => Some(Box::new(LineReader::new(signature))),
        }
    }

    fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String> {
        check_size(reply)?;
        let mut found = Fields::new();
        let read = |field: &Field, text: &str| {
            read_text(text.trim(), &field.kind).map_err(|mismatch| mismatch.of(&field.name))
        };
        if let [single] = signature.outputs() {
            let text = opened(reply.trim(), single).unwrap_or(reply).trim();
            // Models that were taught to think put their answers so.
            let tagged = text.strip_prefix("<answer>").and_then(|text| text.strip_suffix("</answer>"));
            let text = tagged.unwrap_or(text);
            if text.trim().is_empty() {
                return Err(format!("the field `{}` is missing", single.name));
            }
            found.insert(single.name.clone(), read(single, text)?);
            return Ok(found);
        }
        let mut sections: Vec<(&Field, String)> = Vec::new();
        for line in reply.lines() {
            let next =
                signature.outputs().iter().find_map(|field| Some((field, opened(line.trim_start(), field)?)));
            match (next, sections.last_mut()) {
                (Some((field, rest)), _) => sections.push((field, rest.trim_start().to_owned())),
                (None, Some((_, text))) => {
                    text.push('\n');
                    text.push_str(line);
                }
                // The request ends with the name of the first output, so its value comes bare.
                (None, None) => {
                    sections.extend(signature.outputs().first().map(|field| (field, line.to_owned())))
                }
            }
        }
        for (field, text) in sections {
            if !found.contains_key(&field.name) {
                found.insert(field.name.clone(), read(field, &text)?);
            }
        }
        in_order(signature, found)
    }
}

/// The preface and the inputs, each on lines of its own.
pub(crate) fn pieces_of(signature: &Signature, inputs: &Fields, preface: &str) -> Pieces {
    let mut pieces = Pieces::default();
    if !preface.is_empty() {
        on_next_line(&mut pieces, preface);
    }
    for field in signature.inputs() {
        if let Some(value) = inputs.get(&field.name) {
            on_next_line(&mut pieces, &format!("{}: ", field.name));
            pieces.value(value, &field.kind, |text| text);
        }
    }
    pieces
}

fn on_next_line(pieces: &mut Pieces, text: &str) {
    pieces.say(if pieces.is_empty() { "" } else { "\n" });
    pieces.say(text);
}

/// The text behind `name:` at the start of a line, also where it is decorated as in `**Name:** value`.
pub(crate) fn opened<'a>(line: &'a str, field: &Field) -> Option<&'a str> {
    let exact = line.strip_prefix(field.name.as_str()).and_then(|rest| rest.trim_start().strip_prefix(':'));
    exact.or_else(|| {
        let start = line.find(|letter: char| letter.is_alphabetic())?;
        let (lead, rest) = line.split_at_checked(start).filter(|(lead, _)| is_decoration(lead))?;
        let (name, rest) = rest.split_at_checked(field.name.len())?;
        let is_it = name.eq_ignore_ascii_case(&field.name)
            && rest
                .trim_start_matches(|mark: char| mark == ' ' || emphasis_at_end(lead).contains(mark))
                .starts_with(':');
        let value = undecorated(lead, rest);
        is_it.then(|| value.strip_prefix(':').unwrap_or(value))
    })
}

/// What there is to say of a field; nothing for text without a description.
fn remark(field: &Field) -> Option<String> {
    let description = Some(field.description.clone()).filter(|text| !text.is_empty());
    let parts: Vec<String> = [description, type_words(&field.kind)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("{}: {}", field.name, parts.join(", ")))
}

/// What a value of a type is; nothing for text.
fn type_words(kind: &FieldType) -> Option<String> {
    match kind {
        FieldType::String => None,
        FieldType::Enum(values) => Some(format!("one of {}", values.join(", "))),
        FieldType::Bool => Some("True or False".to_owned()),
        FieldType::Integer => Some("a whole number".to_owned()),
        FieldType::Float => Some("a number".to_owned()),
        FieldType::Optional(item) => {
            Some(type_words(item).map_or("text or null".to_owned(), |words| format!("{words}, or null")))
        }
        FieldType::Union(kinds) => {
            let words = kinds.iter().map(|kind| type_words(kind).unwrap_or_else(|| "text".to_owned()));
            Some(words.collect::<Vec<_>>().join(", or "))
        }
        FieldType::Date => Some("a day as YYYY-MM-DD".to_owned()),
        FieldType::DateTime => Some("a time as YYYY-MM-DDTHH:MM:SS".to_owned()),
        kind if kind.is_shown() || *kind == FieldType::History => None,
        _ => Some(format!("JSON as in the schema {}", kind.json_schema())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use promptopt_core::prompt::{Demo, Prompt};

    fn check(signature: &str, reply: &str, expected: Result<&str, &str>) {
        let signature = Signature::parse(signature).unwrap();
        let found = PlainAdapter.parse(&signature, reply);
        match expected {
            Ok(json) => assert_eq!(serde_json::to_string(&found.unwrap()).unwrap(), json),
            Err(reason) => assert!(found.as_ref().unwrap_err().contains(reason), "{found:?}"),
        }
    }

    #[test]
    fn replies_are_read() {
        check("q -> a", " yes \n", Ok(r#"{"a":"yes"}"#));
        check("q -> a", "a: yes", Ok(r#"{"a":"yes"}"#));
        check("q -> a: enum[x, y]", "X.", Ok(r#"{"a":"x"}"#));
        check("q -> a: enum[x, y]", "either", Err("`a`"));
        check("q -> a", "  ", Err("missing"));
        check("q -> a, b: int", "first\nmore\nb: 2", Ok(r#"{"a":"first\nmore","b":2}"#));
        check("q -> a, b: int", "b: 2\na: one", Ok(r#"{"a":"one","b":2}"#));
        check("q -> a, b: int", "only a", Err("`b` is missing"));
        check("q -> a: enum[x, y]", "**A:** x", Ok(r#"{"a":"x"}"#));
        check("q -> a", "A: yes", Ok(r#"{"a":"yes"}"#));
        check("q -> a: enum[x, y]", "<answer>\nx\n</answer>", Ok(r#"{"a":"x"}"#));
        check("q -> a", "and so: yes", Ok(r#"{"a":"and so: yes"}"#));
        check("q -> a, b: int", "- **a**: one\n- **b**: 2", Ok(r#"{"a":"one","b":2}"#));
        check("q -> a: str?", "None", Ok(r#"{"a":null}"#));
        check("q -> a: str?, b", "a: null\nb: x", Ok(r#"{"a":null,"b":"x"}"#));
    }

    #[test]
    fn a_chat_is_short() {
        let signature = Signature::parse("ticket -> department: enum[billing, sales]").unwrap();
        let fields = |ticket: &str| [("ticket".to_owned(), ticket.into())].into_iter().collect::<Fields>();
        let mut demo = Demo::new(fields("Too much on my bill"));
        demo.fields.insert("department".into(), "billing".into());
        let prompt = Prompt::new("Route it.").with_demos(vec![demo]);
        let chat = PlainAdapter.chat(&signature, &prompt, &fields("Any blue ones?"));
        let texts: Vec<_> = chat.iter().map(|message| message.text()).collect();
        assert_eq!(
            texts,
            [
                "Route it.\ndepartment: one of billing, sales",
                "ticket: Too much on my bill\ndepartment:",
                "billing",
                "ticket: Any blue ones?\ndepartment:"
            ]
        );
    }
}
