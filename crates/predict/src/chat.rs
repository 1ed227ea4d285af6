//! The chat format: fields between `[[ ## name ## ]]` markers.

use std::borrow::Cow;

use promptopt_core::data::Fields;
use promptopt_core::lm::Content;
use promptopt_core::signature::{Field, FieldType, Signature};
use serde_json::Value;

use crate::JsonAdapter;
use crate::adapter::{
    Adapter, check_size, emphasis_at_end, in_order, is_decoration, output_or_missing, undecorated,
};
use crate::field_reader::{ChatReader, FieldReader};
use crate::pieces::Pieces;
use crate::python::{field_descriptions, say_objective, type_note, type_request, value_text};
use crate::unrequested::Unrequested;
use crate::value::read_text;

const OPEN: &str = "[[ ## ";
/// Between one block and the next.
const BETWEEN: &str = "\n\n[[ ## ";
const CLOSE: &str = " ## ]]";
/// The name in the marker at the end.
pub(crate) const END: &str = "completed";
const COMPLETED: &str = "[[ ## completed ## ]]";
pub(crate) const STRUCTURE: &str = "\nAll interactions will be structured in the following way, with the appropriate values \
                         filled in.\n\n";

/// DSPy's chat format, our default.
///
/// Where a value itself holds the beginning of a marker, a backslash is put before it and taken
/// off again when a reply is read: so data can not pose as a field, and what is rendered reads
/// back as it was. Values without `[[ ##` are rendered byte for byte as DSPy 3.4 does.
///
/// A reply may decorate its markers (bold, a heading, a list, a colon behind them) and be free with
/// spaces and letter case. Where no marker stands at the start of a line, those within lines count if
/// each is there once. A reply without any marker is read as [`JsonAdapter`] does.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatAdapter;

/// The preface and the inputs, each as a block.
pub(crate) fn input_pieces(signature: &Signature, inputs: &Fields, preface: &str) -> Pieces {
    let mut pieces = Pieces::default();
    pieces.say(preface);
    for field in signature.inputs() {
        if let Some(value) = inputs.get(&field.name) {
            pieces.say(if pieces.is_empty() { OPEN } else { BETWEEN });
            pieces.say(&field.name);
            pieces.say(CLOSE);
            pieces.say("\n");
            pieces.value(value, &field.kind, escaped);
        }
    }
    pieces
}

impl Adapter for ChatAdapter {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn system(&self, signature: &Signature, instruction: &str) -> String {
        let mut text = field_descriptions(signature);
        text.push_str(STRUCTURE);
        let inputs = signature.inputs().iter().map(|field| (field, String::new()));
        let outputs = signature.outputs().iter().map(|field| (field, type_note(&field.kind)));
        for (Field { name, .. }, note) in inputs.chain(outputs) {
            for part in [OPEN, name, CLOSE, "\n{", name, "}", &note, "\n\n"] {
                text.push_str(part);
            }
        }
        text.push_str(COMPLETED);
        text.push('\n');
        say_objective(&mut text, instruction);
        text
    }

    fn user(&self, signature: &Signature, inputs: &Fields, preface: &str, ask: bool) -> Content {
        let mut pieces = input_pieces(signature, inputs, preface);
        if ask {
            pieces.say(if pieces.is_empty() { "" } else { "\n\n" });
            pieces.say("Respond with the corresponding output fields, starting with the field ");
            for (index, field) in signature.outputs().iter().enumerate() {
                pieces.say(if index > 0 { ", then `" } else { "`" });
                pieces.say(OPEN);
                pieces.say(&field.name);
                pieces.say(CLOSE);
                pieces.say("`");
                pieces.say(&type_request(&field.kind));
            }
            pieces.say(", and then ending with the marker for `");
            pieces.say(COMPLETED);
            pieces.say("`.");
        }
        pieces.finish()
    }

    fn assistant(&self, signature: &Signature, outputs: &Fields) -> String {
        let sections: Vec<_> = signature
            .outputs()
            .iter()
            .map(|field| section(field, &output_or_missing(outputs, &field.name)))
            .collect();
        format!("{}\n\n{COMPLETED}\n", sections.join("\n\n").trim())
    }

    fn without_request(&self) -> Option<&'static dyn Adapter> {
        Some(&Unrequested(ChatAdapter))
    }

    fn reader(&self, signature: &Signature) -> Option<Box<dyn FieldReader>> {
        Some(Box::new(ChatReader::new(signature)))
    }

    fn parse(&self, signature: &Signature, reply: &str) -> Result<Fields, String> {
        check_size(reply)?;
        let marks = marks(reply);
        let at_lines: Vec<_> = marks.iter().filter(|mark| is_decoration(mark.lead)).copied().collect();
        read(signature, reply, &at_lines).or_else(|reason| {
            // Markers within lines count where each is there once, and no marker where there is one object.
            let inline = || is_unambiguous(signature, &marks).then(|| read(signature, reply, &marks).ok())?;
            let object = || marks.is_empty().then(|| JsonAdapter.parse(signature, reply).ok())?;
            inline().or_else(object).ok_or(reason)
        })
    }
}

/// The outputs in the sections that marks open.
fn read(signature: &Signature, reply: &str, marks: &[Mark<'_>]) -> Result<Fields, String> {
    let mut found = Fields::new();
    for (index, mark) in marks.iter().enumerate() {
        let Some(field) = field_of(signature, mark.name) else { continue };
        if found.contains_key(&field.name) {
            continue;
        }
        let next = marks.get(index + 1);
        let to = |end: usize| reply.get(mark.end..end).unwrap_or_default();
        let mut text = to(next.map_or(reply.len(), |next| next.start));
        // A number before a marker is one of a list, unless it is all there is.
        if let Some(next) = next
            && text.trim().is_empty()
            && next.lead.contains(|digit: char| digit.is_ascii_digit())
        {
            text = to(next.at);
        }
        let (line, more) = text.split_once('\n').map_or((text, None), |(line, more)| (line, Some(more)));
        let line = undecorated(mark.lead, line);
        let text = match more {
            Some(more) if line.is_empty() => Cow::from(more),
            Some(more) => Cow::from(format!("{line}\n{more}")),
            None => Cow::from(line),
        };
        let value = read_text(unescaped(up_to_end_marker(&text)).trim(), &field.kind)
            .map_err(|mismatch| mismatch.of(&field.name))?;
        found.insert(field.name.clone(), value);
    }
    in_order(signature, found)
}

fn section(field: &Field, value: &Value) -> String {
    [OPEN, &field.name, CLOSE, "\n", &escaped(value_text(value, &field.kind))].concat()
}

/// Puts a backslash before every beginning of a marker.
fn escaped(text: String) -> String {
    // One letter is found much sooner than a word.
    if !text.contains('[') {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    let mut from = 0;
    for at in beginnings(&text) {
        escaped.push_str(text.get(from..at).unwrap_or_default());
        escaped.push('\\');
        from = at;
    }
    escaped.push_str(text.get(from..).unwrap_or_default());
    escaped
}

/// Takes one backslash off before every beginning of a marker.
pub(crate) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::from(text);
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut from = 0;
    for at in beginnings(text) {
        let before = text.get(from..at).unwrap_or_default();
        unescaped.push_str(before.strip_suffix('\\').unwrap_or(before));
        from = at;
    }
    unescaped.push_str(text.get(from..).unwrap_or_default());
    Cow::from(unescaped)
}

/// Where markers begin, with any number of spaces: `[[ ##`, `[[##`.
fn beginnings(text: &str) -> impl Iterator<Item = usize> {
    let begins = |at: &usize| {
        let rest = text.get(*at..).and_then(|rest| rest.strip_prefix("[["));
        rest.is_some_and(|rest| rest.trim_start_matches(' ').starts_with("##"))
    };
    text.match_indices('[').map(|(at, _)| at).filter(begins)
}

/// A marker in a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark<'a> {
    pub(crate) name: &'a str,
    /// Where it begins, with what decorates it.
    pub(crate) start: usize,
    /// Where its brackets begin.
    at: usize,
    pub(crate) end: usize,
    /// What stands before it on its line.
    pub(crate) lead: &'a str,
}

/// The markers of a reply: those that no backslash makes a part of a value. Models are free with spaces.
fn marks(reply: &str) -> Vec<Mark<'_>> {
    beginnings(reply).filter_map(|at| mark_at(reply, at)).collect()
}

/// The first marker of a reply from a place on.
pub(crate) fn first_mark(reply: &str, from: usize) -> Option<Mark<'_>> {
    beginnings(reply.get(from..)?).find_map(|at| mark_at(reply, from + at))
}

/// The marker whose brackets begin at a place.
fn mark_at(reply: &str, at: usize) -> Option<Mark<'_>> {
    let before = reply.get(..at)?;
    let (name, rest) = name_of(reply.get(at + 2..)?)?;
    let lead = before.rsplit('\n').next().unwrap_or(before);
    let decoration = if is_decoration(lead) { lead } else { emphasis_at_end(lead) };
    let mark = Mark { name, start: at - decoration.len(), at, end: reply.len() - rest.len(), lead };
    (!before.ends_with('\\')).then_some(mark)
}

/// Whether a text that is not whole yet may be the beginning of a marker.
pub(crate) fn may_become_mark(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| if rest.is_empty() { Some("") } else { rest.strip_prefix('[') })
    else {
        return false;
    };
    let inner = inner.trim_start_matches(' ');
    let Some(name) = inner.strip_prefix("##") else { return "##".starts_with(inner) };
    let end = name.trim_start_matches(|letter: char| letter.is_alphanumeric() || "_ ".contains(letter));
    match end.strip_prefix("##") {
        Some(close) => {
            "]]".starts_with(close.trim_start_matches(' ')) && close.trim_start_matches(' ') != "]]"
        }
        None => "##".starts_with(end),
    }
}

/// The name in a marker whose brackets were opened, and what is behind it.
fn name_of(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.trim_start_matches(' ').strip_prefix("##")?.split_once("##")?;
    let name = name.trim_matches(' ');
    let is_name =
        !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || "_ ".contains(letter));
    Some((name, rest.trim_start_matches(' ').strip_prefix("]]")?)).filter(|_| is_name)
}
/// The output that a marker opens: the one of its name, or else the only one whose name is the same but for letter case
/// and spaces.
pub(crate) fn field_of<'a>(signature: &'a Signature, name: &str) -> Option<&'a Field> {
    let outputs = signature.outputs();
    let alike = |field: &&Field| field.name.eq_ignore_ascii_case(&name.replace(' ', "_"));
    let mut alike = outputs.iter().filter(alike);
    let exact = outputs.iter().find(|field| field.name == name);
    exact.or_else(|| alike.next().filter(|_| alike.next().is_none()))
}

/// Whether every output has one marker.
fn is_unambiguous(signature: &Signature, marks: &[Mark<'_>]) -> bool {
    signature.outputs().iter().all(|field| {
        let named = |mark: &&Mark<'_>| field_of(signature, mark.name).is_some_and(|it| it.name == field.name);
        let count = marks.iter().filter(named).count();
        count == 1 || (count == 0 && matches!(field.kind, FieldType::Optional(_)))
    })
}

/// Models sometimes put the end marker on the line of the last value.
fn up_to_end_marker(text: &str) -> &str {
    let end = marks(text).into_iter().find(|mark| mark.name.eq_ignore_ascii_case(END));
    end.and_then(|end| text.get(..end.start)).unwrap_or(text)
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
        check("q -> a", "text [[ ## a ## ]] within a line", Ok(r#"{"a":"within a line"}"#));
        check("q -> a, b", "[[ ## b ## ]]\n2\n[[ ## a ## ]]\n1", Ok(r#"{"a":"1","b":"2"}"#));
        check("q -> a: enum[x, y]", "[[ ## a ## ]]\nx [[ ## completed ## ]]", Ok(r#"{"a":"x"}"#));
        check("q -> a: enum[x, y]", "[[ ## a ## ]]\nz", Err("`a`"));
        check("q -> a: int", "[[ ## a ## ]]\n7", Ok(r#"{"a":7}"#));
        for (value, read) in [("42", "42"), ("42.", "42"), ("-3", "-3"), ("**7**", "7"), (" 8", "8")] {
            for text in [
                format!("[[ ## a ## ]]\n{value} [[ ## completed ## ]]"),
                format!("[[ ## a ## ]] {value}\n[[ ## completed ## ]]"),
            ] {
                check("q -> a: int", &text, Ok(&format!("{{\"a\":{read}}}")));
            }
        }
        check("q -> a: float", "[[ ## a ## ]]\n-3.5 [[ ## completed ## ]]", Ok(r#"{"a":-3.5}"#));
        check("q -> a", "[[ ## a ## ]]\n42 [[ ## completed ## ]]", Ok(r#"{"a":"42"}"#));
        check("q -> a: int, b", "[[ ## a ## ]]\n7[[ ## b ## ]]\nx", Ok(r#"{"a":7,"b":"x"}"#));
        check("q -> a, b", "1. [[ ## a ## ]]\nx\n2. [[ ## b ## ]]\ny", Ok(r#"{"a":"x","b":"y"}"#));
        check("q -> a", "", Err("`a` is missing"));
    }

    #[test]
    fn markers_are_read_however_models_decorate_them() {
        let enums = "q -> department: enum[billing, sales]";
        for marker in [
            "**[[ ## department ## ]]**\nbilling",
            "**[[ ## department ## ]]** billing",
            "**[[ ## department ## ]]:** billing",
            "**[[ ## department ## ]]**: billing",
            "**[[ ## department ## ]]: billing**",
            "**[[ ## department ## ]] billing**",
            "__[[ ## department ## ]]__\nbilling",
            "`[[ ## department ## ]]`\nbilling",
            "### [[ ## department ## ]]\nbilling",
            "### **[[ ## department ## ]]**\n\nbilling",
            "- [[ ## department ## ]] billing",
            "1. [[ ## department ## ]]: billing",
            "> [[ ## department ## ]]\nbilling",
            "[[## department ##]]\nbilling",
            "[[##department##]] billing",
            "[[  ##  department  ##  ]]\nbilling",
            "[[ ## department ## ]]: billing",
            "[[ ## department ## ]]:billing",
            "[[ ## Department ## ]]\nbilling",
            "[[ ## DEPARTMENT ## ]]\nbilling",
            "The department is [[ ## department ## ]] billing",
            "The department is **[[ ## department ## ]]** billing [[ ## completed ## ]]",
            "```\n[[ ## department ## ]]\nbilling\n```",
        ] {
            for end in [
                "",
                "\n\n[[ ## completed ## ]]",
                "\n**[[ ## completed ## ]]**",
                "\n### [[## Completed ##]]\nBye.",
            ] {
                check(enums, &format!("{marker}{end}"), Ok(r#"{"department":"billing"}"#));
            }
        }
        check("q -> a", "**[[ ## a ## ]]**\nyes\n\n**[[ ## completed ## ]]**", Ok(r#"{"a":"yes"}"#));
        check("q -> a", "[[ ## a ## ]]\nyes\n\n[[## completed ##]]", Ok(r#"{"a":"yes"}"#));
        check("q -> a", "[[ ## a ## ]] :smile:", Ok(r#"{"a":":smile:"}"#));
        check(
            "q -> first_name, b",
            "[[ ## First Name ## ]]\nAnn\n[[ ## b ## ]]\n2",
            Ok(r#"{"first_name":"Ann","b":"2"}"#),
        );
        check(
            "q -> a, b",
            "[[ ## a ## ]] 1 [[ ## b ## ]] 2 [[ ## completed ## ]]",
            Ok(r#"{"a":"1","b":"2"}"#),
        );
        // A capture of a large model: line breaks before markers are missing.
        check(
            "q -> thought, tool, args: object",
            "[[ ## thought ## ]]\nThe user asks for transactions.[[ ## tool ## ]]\nsearch[[ ## args ## ]]\n{\n  \"query\": \"x\"\n}\n\
             [[ ## completed ## ]]",
            Ok(r#"{"thought":"The user asks for transactions.","tool":"search","args":{"query":"x"}}"#),
        );
        check("q -> a, b", "So **[[ ## a ## ]]** 1 **[[ ## b ## ]]** 2", Ok(r#"{"a":"1","b":"2"}"#));
    }

    #[test]
    fn what_is_ambiguous_is_not_guessed() {
        check("q -> a", "Is it [[ ## a ## ]] one or [[ ## a ## ]] two?", Err("`a` is missing"));
        check("q -> a", "The value \\[[ ## a ## ]] is data", Err("`a` is missing"));
        check("q -> a, b", "It is [[ ## a ## ]] 1 and that is all", Err("missing"));
        check("q -> a, A", "[[ ## a ## ]]\n1\n[[ ## A ## ]]\n2", Ok(r#"{"a":"1","A":"2"}"#));
    }

    #[test]
    fn a_reply_in_the_form_of_json_is_read_at_once() {
        check("q -> a: int", "```json\n{\"a\": 7}\n```", Ok(r#"{"a":7}"#));
        check("q -> a: enum[x, y]", "Sure! {\"a\": \"x\"}", Ok(r#"{"a":"x"}"#));
        check("q -> a", "{\"b\": \"x\"}", Err("`a` is missing"));
    }

    #[test]
    fn an_optional_output_may_be_null_or_missing_beside_others() {
        check("q -> a: str?, b", "[[ ## a ## ]]\nNone\n[[ ## b ## ]]\nx", Ok(r#"{"a":null,"b":"x"}"#));
        check("q -> a: str?, b", "[[ ## a ## ]]\n\n[[ ## b ## ]]\nx", Ok(r#"{"a":null,"b":"x"}"#));
        check("q -> a: str?, b", "[[ ## b ## ]]\nx", Ok(r#"{"a":null,"b":"x"}"#));
        check("q -> a: str?", "[[ ## a ## ]]\nnull", Ok(r#"{"a":null}"#));
        check("q -> a: str?", "no marker", Err("`a` is missing"));
    }

    #[test]
    fn oversized_replies_are_refused() {
        let signature = Signature::parse("q -> a").unwrap();
        let reply = format!("[[ ## a ## ]]\n{}", "x".repeat(300 * 1024));
        assert!(ChatAdapter.parse(&signature, &reply).unwrap_err().contains("bytes"));
    }
}
