//! What an error advises can be done where it is read.
//!
//! Every text in the sources that names an option is found, and the option is looked for where the text is read: in the
//! task file or on the command line, and for a library in its own sources, too.

#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

/// What stands in backticks in a text and is no option: values, names of files, and words of servers, signatures and Rust.
const NO_OPTIONS: [&str; 40] = [
    "--enable-auto-tool-choice",
    "--jinja",
    "--tool-call-parser",
    "chat",
    "choices",
    "completed",
    "component",
    "complete",
    "content",
    "crate",
    "error",
    "steps",
    "feedback",
    "file_data",
    "file_id",
    "house_style",
    "impl",
    "input",
    "json",
    "message",
    "message.content",
    "messages",
    "miprov2",
    "n",
    "next_tool_args",
    "objectives",
    "off",
    "plain",
    "previous_response_id",
    "read",
    "response_format",
    "role",
    "run.json",
    "schemars",
    "score",
    "serde",
    "sha",
    "siblings",
    "system",
    "tool_choice",
];

/// Options of libraries that no user of the command reads of, or has no need of, and why.
const ONLY_IN_RUST: [(&str, &str); 21] = [
    ("api_key", "a key that stands in code; the command takes it from the environment or from a file"),
    ("cached_prompts", "named beside `context_length`, which the task file has"),
    ("calls", "an argument of a macro"),
    ("calls_per_rollout", "said by a program in Rust; the command's programs count their predictors"),
    ("contexts", "named beside `context_length`, which the task file has"),
    ("deadline", "for services; a run has `max_time`"),
    ("forward", "the method of a program in Rust"),
    ("install", "a method for whoever runs a saved program in Rust"),
    ("lm_fn", "a function for whoever writes a model in Rust"),
    ("max_attempts_billed", "never set by the command"),
    ("max_queue_wait", "for services; a run waits for its turn"),
    ("max_silence", "for services that stream; the command does not"),
    ("metric_fn", "a function for whoever writes a metric in Rust"),
    ("module_fn", "a function for whoever writes a program in Rust"),
    ("parallel_tool_calls", "given by an agent in Rust; the command leaves it to the provider"),
    ("sampling", "checked one by one; the text names the parameter, which the task file has"),
    ("save", "a method for whoever saves a program in Rust"),
    ("stream", "a method of models, for services"),
    ("task_model", "always given by the command"),
    ("teacher", "never set by the command"),
    ("valset", "checked by the command before, as `data.selection`"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs")
            && !path.to_str().unwrap().ends_with("_tests.rs")
        {
            found.push(path);
        }
    }
}

/// The code of a crate without its tests.
fn code(krate: &Path) -> String {
    let mut files = Vec::new();
    sources(&krate.join("src"), &mut files);
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    texts.map(|text| text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned()).collect()
}

/// The texts in quotes in code; comments are none.
fn texts(code: &str) -> Vec<String> {
    let token =
        Regex::new(r##"(?s)//[^\n]*|/\*.*?\*/|'(?:\\.[^']*|[^\\'])'|r#"(.*?)"#|"((?:\\.|[^"\\])*)""##)
            .unwrap();
    let wrapped = Regex::new(r"\\\n\s*").unwrap();
    let found =
        token.captures_iter(code).filter_map(|found| found.get(1).or(found.get(2)).map(|text| text.as_str()));
    found.map(|text| wrapped.replace_all(text, "").into_owned()).collect()
}

/// The options that the texts of a crate name, each with one of the texts.
fn named(code: &str) -> BTreeMap<String, String> {
    let option = Regex::new(r"`(--[a-z][a-z-]*|[a-z][a-z0-9_]*(?:\.[a-z][a-z_]*)*)(?:`| = [^`]*`)").unwrap();
    let refused =
        Regex::new(r#"(?:RunError|ConfigError|Error)::option\(\s*"([a-z_]+)",\s*(?:format!\(|reason|")"#)
            .unwrap();
    let mut named = BTreeMap::new();
    for text in texts(code) {
        for found in option.captures_iter(&text) {
            named.insert(found[1].to_owned(), text.clone());
        }
    }
    for found in refused.captures_iter(code) {
        named.insert(found[1].to_owned(), format!("the option `{}` is refused", &found[1]));
    }
    named
}

/// Whether the task file has such a key, at this path where there is one.
fn in_task_file(schema: &Value, name: &str) -> bool {
    fn keys<'s>(value: &'s Value, found: &mut BTreeSet<&'s str>) {
        let properties = value.get("properties").and_then(Value::as_object);
        found.extend(properties.into_iter().flatten().map(|(key, _)| key.as_str()));
        match value {
            Value::Object(object) => object.values().for_each(|inner| keys(inner, found)),
            Value::Array(items) => items.iter().for_each(|inner| keys(inner, found)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    keys(schema, &mut all);
    let mut place = schema;
    name.split('.').all(|key| {
        if !name.contains('.') {
            return all.contains(key);
        }
        // The part of the schema that describes this key, wherever it is referred to.
        let found = all.contains(key).then(|| described(schema, place, key)).flatten();
        place = found.unwrap_or(&Value::Null);
        found.is_some()
    })
}

/// What a schema says of a key: directly, behind a reference, or in one of several forms.
fn described<'s>(schema: &'s Value, place: &'s Value, key: &str) -> Option<&'s Value> {
    if let Some(reference) = place.get("$ref").and_then(Value::as_str) {
        return described(schema, schema.pointer(reference.strip_prefix('#')?)?, key);
    }
    let own = place.get("properties").and_then(|properties| properties.get(key));
    own.or_else(|| {
        let forms = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|form| place.get(form)?.as_array());
        forms.flatten().chain(place.get("items")).find_map(|form| described(schema, form, key))
    })
}

/// The flags of all commands.
fn flags() -> BTreeSet<String> {
    let manual =
        Command::new(env!("CARGO_BIN_EXE_promptopt")).args(["completions", "bash"]).output().unwrap();
    let flag = Regex::new(r"--[a-z][a-z-]*").unwrap();
    let text = String::from_utf8(manual.stdout).unwrap();
    flag.find_iter(&text).map(|found| found.as_str().to_owned()).collect()
}

#[test]
fn what_an_error_advises_can_be_done_where_it_is_read() {
    let schema = std::fs::read_to_string(root().join("docs/task-file.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let flags = flags();
    let mut excused = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    // What testkit is for are tests.
    let crates: Vec<(String, String)> = crates
        .filter(|krate| !krate.ends_with("testkit"))
        .map(|krate| (krate.file_name().unwrap().to_str().unwrap().to_owned(), code(&krate)))
        .collect();
    let libraries: String =
        crates.iter().filter(|(name, _)| name != "cli").map(|(_, code)| code.as_str()).collect();
    for (name, code) in &crates {
        for (option, text) in named(code) {
            count += 1;
            let only_in_rust = ONLY_IN_RUST.iter().any(|(known, _)| *known == option);
            if NO_OPTIONS.contains(&option.as_str()) || only_in_rust {
                excused.insert(option.clone());
            }
            let last = option.rsplit('.').next().unwrap();
            let in_api =
                Regex::new(&format!(r"(?m)^\s*(?:pub(?:\([a-z]+\))? )?{last}:|fn {last}[(<]")).unwrap();
            let at_command = in_task_file(&schema, &option) || flags.contains(&option);
            let can_be_done = match name.as_str() {
                "cli" => at_command,
                _ => (at_command || only_in_rust) && in_api.is_match(&libraries),
            };
            if !can_be_done && !NO_OPTIONS.contains(&option.as_str()) {
                wrong.push(format!("{name}: `{option}` in: {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "options that cannot be set where they are named:\n{}", wrong.join("\n"));
    assert!(count > 60, "{count} options were found; are the sources where they were?");
    let known = NO_OPTIONS.iter().chain(ONLY_IN_RUST.iter().map(|(name, _)| name));
    let stale: Vec<_> = known.filter(|name| !excused.contains(**name)).collect();
    assert!(stale.is_empty(), "no text names {stale:?} any more: take them out of the list");
}

#[test]
fn texts_are_found_and_comments_are_not() {
    let code = "// set `comment`\nlet a = \"set `one`, \\\n   or `two = 3`\"; '\"'; /* `none` */ r#\"give `three`\"#; Error::option(\"four\", reason)";
    assert_eq!(named(code).into_keys().collect::<Vec<_>>(), ["four", "one", "three", "two"]);
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("docs/task-file.schema.json")).unwrap())
            .unwrap();
    for (name, expected) in [
        ("data.test", true),
        ("data.hub.test_split", true),
        ("data.signature", false),
        ("limit", true),
        ("limits", false),
    ] {
        assert_eq!(in_task_file(&schema, name), expected, "{name}");
    }
}
