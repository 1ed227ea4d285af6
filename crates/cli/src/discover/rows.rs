//! The rows that a program is run on, and what they say of what goes in and what comes out.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use promptopt_core::data::{Example, Fields, plain_text};
use promptopt_core::signature::Signature;
use promptopt_data::LoadOptions;
use serde_json::Value;

use super::template::words;

/// So many rows are looked at to say what a column holds.
const LOOKED_AT: usize = 200;
/// An answer with more words than this is a text that can be right in several wordings.
const FEW_WORDS: usize = 5;

/// What columns are called that hold what should come out, and those that only number the rows.
const OUTPUTS: [&str; 22] = [
    "answer",
    "answers",
    "category",
    "class",
    "completion",
    "correct",
    "expected",
    "expected_answer",
    "expected_output",
    "gold",
    "ground_truth",
    "groundtruth",
    "label",
    "labels",
    "output",
    "outputs",
    "reference",
    "reply",
    "response",
    "result",
    "solution",
    "target",
];
const NUMBERS: [&str; 6] = ["_id", "id", "idx", "index", "row", "uuid"];

/// The rows, and how the task file is to describe them.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// What goes in and what comes out, in the short form.
    pub(crate) signature: String,
    /// Field -> column, where their names differ.
    pub(crate) columns: BTreeMap<String, String>,
    /// Whether there are columns that are no field.
    pub(crate) has_others: bool,
    /// Whether the outputs are texts of many words.
    pub(crate) are_long: bool,
    /// The inputs of the rows to run.
    pub(crate) inputs: Vec<Fields>,
    /// What the program was told to take, where there are no rows: an example of one.
    pub(crate) is_made_up: bool,
}

impl Rows {
    /// The first rows of a data file. Which columns go in is said, or guessed by their names.
    pub(crate) fn of_file(path: &Path, signature: Option<&str>, most: usize) -> anyhow::Result<Self> {
        let mut options = LoadOptions::default();
        options.limit = Some(LOOKED_AT);
        let rows: Vec<Example> = promptopt_data::open(path, &options)?.collect::<Result<_, _>>()?;
        let Some(first) = rows.first() else { bail!("{} has no rows", path.display()) };
        let all: Vec<&String> = first.fields().keys().collect();
        let fields: BTreeMap<String, String> =
            all.iter().map(|column| (field_name(column), (*column).clone())).collect();
        if fields.len() < all.len() {
            bail!(
                "two columns of {} are one name as fields, where letters, digits and `_` count: rename one",
                path.display()
            );
        }
        let (inputs, outputs) = match signature {
            Some(text) => of_signature(text, &fields, path)?,
            None => guessed(&all)?,
        };
        let used: Vec<&String> = inputs.iter().chain(&outputs).collect();
        let columns = used.iter().filter_map(|name| fields.get_key_value(name.as_str()));
        let columns = columns.filter(|(name, column)| name != column);
        let columns: BTreeMap<String, String> =
            columns.map(|(name, column)| (name.clone(), column.clone())).collect();
        let value = |row: &Example, name: &String| {
            row.get(fields.get(name).unwrap_or(name)).cloned().unwrap_or_default()
        };
        let typed = |name: &String| {
            let values: Vec<Value> = rows.iter().map(|row| value(row, name)).collect();
            match kind(&values) {
                "str" => name.clone(),
                kind => format!("{name}: {kind}"),
            }
        };
        let side = |names: &[String]| names.iter().map(typed).collect::<Vec<_>>().join(", ");
        let signature = match signature {
            Some(text) => text.to_owned(),
            None => format!("{} -> {}", side(&inputs), side(&outputs)),
        };
        let lengths =
            rows.iter().flat_map(|row| outputs.iter().map(|name| words(&plain_text(&value(row, name)))));
        let lengths: Vec<usize> = lengths.collect();
        let are_long = lengths.iter().sum::<usize>() > FEW_WORDS * lengths.len();
        let has_others = all.len() > used.len();
        let of_row = |row: &Example| inputs.iter().map(|name| (name.clone(), value(row, name))).collect();
        let inputs = rows.iter().take(most).map(of_row).collect();
        Ok(Self { signature, columns, has_others, are_long, inputs, is_made_up: false })
    }

    /// Rows of the command line: a name that is given several times has a value for each row.
    pub(crate) fn of_words(given: &[(String, String)], signature: Option<&str>) -> anyhow::Result<Self> {
        let mut values: Vec<(&String, Vec<&String>)> = Vec::new();
        for (name, value) in given {
            match values.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => values.push((name, vec![value])),
            }
        }
        let count = values.iter().map(|(_, values)| values.len()).max().unwrap_or(2);
        for (name, values) in &values {
            if values.len() != 1 && values.len() != count {
                bail!(
                    "`--input {name}=…` is given {} times, and another input {count} times: give each once for every row, or once \
                     for all of them",
                    values.len()
                );
            }
        }
        let row = |number: usize| -> Fields {
            let field = |(name, values): &(&String, Vec<&String>)| {
                let value = values.get(number).or(values.first()).map(|value| value.as_str());
                ((*name).clone(), value.unwrap_or_default().into())
            };
            values.iter().map(field).collect()
        };
        let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
        let signature = match (signature, names.as_slice()) {
            (Some(text), _) => text.to_owned(),
            (None, []) => "question -> answer".to_owned(),
            (None, names) => format!("{} -> answer", names.join(", ")),
        };
        Signature::parse(&signature).context("the names of `--input` are to be letters, digits and `_`")?;
        let inputs = (0..count).map(row).collect();
        Ok(Self {
            signature,
            columns: BTreeMap::new(),
            has_others: false,
            are_long: false,
            inputs,
            is_made_up: true,
        })
    }
}

/// Inputs and outputs of a signature that is given.
fn of_signature(
    text: &str,
    fields: &BTreeMap<String, String>,
    path: &Path,
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let signature = Signature::parse(text).context("in `--signature`")?;
    let names = |fields: &[promptopt_core::signature::Field]| -> Vec<String> {
        fields.iter().map(|field| field.name.clone()).collect()
    };
    let (inputs, outputs) = (names(signature.inputs()), names(signature.outputs()));
    if let Some(missing) = inputs.iter().chain(&outputs).find(|name| !fields.contains_key(*name)) {
        let there: Vec<String> = fields.keys().map(|name| format!("`{name}`")).collect();
        bail!("`--signature` names `{missing}`, and {} has the columns {}", path.display(), there.join(", "));
    }
    Ok((inputs, outputs))
}

/// Which columns go in and which come out, by their names: the last one comes out where none is called so.
fn guessed(columns: &[&String]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let is_called = |column: &str, names: &[&str]| names.contains(&column.to_ascii_lowercase().as_str());
    let named = columns.iter().filter(|column| !is_called(column, &NUMBERS)).map(|column| field_name(column));
    let fields: Vec<String> = named.collect();
    let (outputs, inputs): (Vec<String>, Vec<String>) =
        fields.iter().cloned().partition(|name| is_called(name, &OUTPUTS));
    if !outputs.is_empty() && !inputs.is_empty() {
        return Ok((inputs, outputs));
    }
    match fields.split_last() {
        Some((last, rest)) if !rest.is_empty() => Ok((rest.to_vec(), vec![last.clone()])),
        _ => bail!(
            "the rows have one column alone, and should have what goes in and what is to come out: add a column, such as \"answer\""
        ),
    }
}

/// A column's name as that of a field: letters, digits and `_`.
fn field_name(column: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '_' };
    let is_name = Signature::parse(&format!("{column} -> is_a_name")).is_ok() && !column.contains([',', ':']);
    if is_name {
        return column.to_owned();
    }
    let name: String = column.trim().to_ascii_lowercase().chars().map(letter).collect();
    let name = name.trim_matches('_');
    match name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        true => name.to_owned(),
        false => format!("field_{name}"),
    }
}

/// The type that all values have.
fn kind(values: &[Value]) -> &'static str {
    let all = |is: fn(&Value) -> bool| values.iter().all(is) && !values.is_empty();
    let texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    match () {
        () if all(Value::is_boolean) => "bool",
        () if all(|value| value.is_i64() || value.is_u64()) => "int",
        () if all(Value::is_number) => "float",
        () if all(texts) => "list[str]",
        () if all(Value::is_array) => "list[object]",
        () if all(Value::is_object) => "object",
        () => "str",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str, signature: Option<&str>) -> anyhow::Result<Rows> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Rows::of_file(&path, signature, 2)
    }

    #[test]
    fn columns_are_inputs_or_outputs_by_their_names() {
        let check = |name: &str, text: &str, signature: &str, columns: &[(&str, &str)], has_others: bool| {
            let rows = read(name, text, None).unwrap();
            Signature::parse(&rows.signature).unwrap();
            assert_eq!((rows.signature.as_str(), rows.has_others), (signature, has_others), "{text}");
            let known: Vec<(&str, &str)> =
                rows.columns.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(known, columns);
        };
        check("a.jsonl", r#"{"question": "a", "answer": "b"}"#, "question -> answer", &[], false);
        check("a.jsonl", r#"{"answer": 7, "question": "a"}"#, "question -> answer: int", &[], false);
        check("a.jsonl", r#"{"id": 1, "text": "a", "mood": "b"}"#, "text -> mood", &[], true);
        check(
            "a.csv",
            "Question Text,Expected Output\nx,y\n",
            "question_text -> expected_output",
            &[("expected_output", "Expected Output"), ("question_text", "Question Text")],
            false,
        );
        check(
            "a.json",
            r#"[{"docs": ["x"], "n": 1.5, "label": true}]"#,
            "docs: list[str], n: float -> label: bool",
            &[],
            false,
        );
        let rows = read("a.csv", "q,label\na,b\nc,d\ne,f\n", None).unwrap();
        assert_eq!(rows.inputs.len(), 2);
        assert_eq!(rows.inputs[1]["q"], "c");
        assert!(!rows.are_long);
        assert!(
            read("a.jsonl", r#"{"q": "a", "answer": "one two three four five six"}"#, None).unwrap().are_long
        );
    }

    #[test]
    fn a_signature_goes_before_names() {
        let rows = read("a.jsonl", r#"{"x": "a", "answer": "b", "y": "c"}"#, Some("answer -> y")).unwrap();
        assert_eq!((rows.inputs[0].len(), rows.has_others), (1, true));
        let refused = |signature: &str, words: &str| {
            let error =
                format!("{:#}", read("a.jsonl", r#"{"x": "a", "y": "b"}"#, Some(signature)).unwrap_err());
            assert!(error.contains(words), "{error}");
        };
        refused("x -> z", "names `z`, and ");
        refused("x", "in `--signature`");
        let error = read("a.jsonl", r#"{"x": "a"}"#, None).unwrap_err().to_string();
        assert!(error.contains("one column alone"), "{error}");
        assert!(read("a.jsonl", "", None).unwrap_err().to_string().contains("no rows"));
    }

    #[test]
    fn rows_of_the_command_line_are_put_together_by_name() {
        let of = |given: &[(&str, &str)]| {
            let given: Vec<(String, String)> =
                given.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            Rows::of_words(&given, None)
        };
        let rows = of(&[("q", "a"), ("lang", "en"), ("q", "b")]).unwrap();
        assert_eq!((rows.signature.as_str(), rows.inputs.len()), ("q, lang -> answer", 2));
        assert_eq!((&rows.inputs[1]["q"], &rows.inputs[1]["lang"]), (&"b".into(), &"en".into()));
        let rows = of(&[]).unwrap();
        assert_eq!((rows.inputs.len(), rows.inputs[0].len()), (2, 0));
        assert!(of(&[("q", "a"), ("q", "b"), ("q", "c"), ("r", "a"), ("r", "b")]).is_err());
        assert!(of(&[("a b", "x")]).unwrap_err().to_string().contains("letters, digits"));
    }
}
