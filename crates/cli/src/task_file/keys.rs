//! Keys that are misspelt, misplaced, or belong to another choice: what to say about them.

use promptopt_core::data::shorten;
use serde::Serialize;

/// Keys that stand above the first section of a task file, or are sections.
const TOP: [&str; 8] = ["program", "model", "prompt_model", "data", "metric", "optimizer", "prices", "cache"];
/// The reader quotes the whole line of a mistake, which is cut to so many characters.
const LONGEST_LINE: usize = 1000;
/// A list of keys that is longer than this helps nobody who is told the right one.
const LONG_LIST: usize = 12;

/// The name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| {
        let (name, other) = (name.to_lowercase(), other.to_lowercase());
        // Of two letters one may be wrong, which is a low share of likeness but a likely slip.
        let slip = strsim::levenshtein(&name, &other) <= 1;
        strsim::jaro_winkler(&name, &other) + if slip { 0.2 } else { 0.0 }
    };
    known
        .into_iter()
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, other)| other)
}

/// The message of the TOML reader with the name that was probably meant.
pub(super) fn with_suggestion(message: &str) -> String {
    let message = in_plain_words(message.trim_end());
    let message: String = message.lines().map(|line| shorten(line, LONGEST_LINE) + "\n").collect();
    let message = message.trim_end();
    let Some((head, unknown, known)) = unknown_name(message) else { return message.to_owned() };
    if message.contains("unknown field") && TOP.contains(&unknown) && !known.contains(&unknown) {
        return format!(
            "{message}\n`{unknown}` is no key of this section: write it above the first `[section]` of the file, \
             or as a section `[{unknown}]`"
        );
    }
    if let Some(section) = section_of(unknown).filter(|_| message.contains("unknown field")) {
        return format!(
            "{head}; it belongs into `[{section}]`: is that heading missing, or does the line stand too far up or \
             down?"
        );
    }
    match nearest(unknown, known.iter().copied()) {
        Some(meant) if known.len() > LONG_LIST => format!("{head}; did you mean `{meant}`?"),
        Some(meant) => format!("{message}; did you mean `{meant}`?"),
        None => message.to_owned(),
    }
}

/// What the reader says of types and sections, for people who write no Rust.
fn in_plain_words(message: &str) -> String {
    let mut text = message.to_owned();
    for (theirs, ours) in [
        ("expected u64", "expected a whole number"),
        ("expected usize", "expected a whole number"),
        ("expected u32", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list, such as [\"a\", \"b\"]"),
        ("expected a map", "expected a table"),
    ] {
        text = text.replace(theirs, ours);
    }
    for section in TOP {
        text = text.replace(
            &format!("missing field `{section}`"),
            &format!("there is no section `[{section}]`, which every task file needs"),
        );
    }
    text
}

/// The section that has a key of this name, where only one has.
fn section_of(key: &str) -> Option<&'static str> {
    let schema = serde_json::to_value(schemars::schema_for!(super::TaskFile)).ok()?;
    let has = |name: &str| schema.pointer(&format!("/$defs/{name}/properties/{key}")).is_some();
    let sections = [
        ("ProgramSection", "program"),
        ("ToolSection", "[program.tools]"),
        ("ModelSection", "model"),
        ("DataSection", "data"),
        ("HubSection", "data.hub"),
        ("MetricSection", "metric"),
        ("OptimizerSection", "optimizer"),
        ("CacheSection", "cache"),
    ];
    let mut found = sections.into_iter().filter(|(name, _)| has(name)).map(|(_, section)| section);
    found.next().filter(|_| found.next().is_none())
}

/// The message up to the list of names, the name that is unknown, and the list.
fn unknown_name(message: &str) -> Option<(&str, &str, Vec<&str>)> {
    let at = ["unknown field `", "unknown variant `"].iter().find_map(|words| message.find(words))?;
    let (head, list) = message.get(at..)?.split_once(", expected ")?;
    let unknown = head.split('`').nth(1)?;
    let known = list.split('`').skip(1).step_by(2).collect();
    Some((message.get(..at + head.len())?, unknown, known))
}

/// The keys of a section that are set, in their order.
pub(super) fn set_keys(section: &impl Serialize) -> Vec<String> {
    let value = serde_json::to_value(section).unwrap_or_default();
    let Some(object) = value.as_object() else { return Vec::new() };
    object.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.clone()).collect()
}

/// Names as a list in words: `a`, `b` or `c`.
pub(super) fn either(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_recognized() {
        let known = ["breadth", "depth", "num_trials"];
        assert_eq!(nearest("bredth", known), Some("breadth"));
        assert_eq!(nearest("numtrials", known), Some("num_trials"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn the_readers_words_get_a_suggestion() {
        let check = |message: &str, expected: &str| assert_eq!(with_suggestion(message), expected);
        check(
            "unknown field `nme`, expected `name` or `path`",
            "unknown field `nme`, expected `name` or `path`; did you mean `name`?",
        );
        check("invalid type: integer", "invalid type: integer");
        check(
            "invalid type: string \"5\", expected u64",
            "invalid type: string \"5\", expected a whole number",
        );
        assert!(with_suggestion("missing field `data`").contains("no section `[data]`"));
        let long: Vec<String> = (0..20).map(|n| format!("`key_{n}`")).collect();
        let message = format!("unknown field `kee_7`, expected one of {}", long.join(", "));
        assert_eq!(with_suggestion(&message), "unknown field `kee_7`; did you mean `key_7`?");
        assert!(with_suggestion("unknown field `optimizer`, expected `path`").contains("above the first"));
    }
}
