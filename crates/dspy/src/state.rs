//! The state of one predictor, and the prompt in it.

use promptopt_core::data::Fields;
use promptopt_core::prompt::{Demo, Prompt};
use promptopt_core::signature::{FieldType, Signature};
use serde_json::{Map, Value, json};

use crate::layout::Place;
use crate::prefix::default_prefix;
use crate::{Error, LONE};

/// Marks a demo whose outputs a run of the program produced.
const AUGMENTED: &str = "augmented";
/// Our mark of the example that a demo was made from, which is not for DSPy.
const SOURCE: &str = "promptopt_source";

/// A predictor's state in a file, checked for its shape.
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    instruction: &'a str,
    fields: &'a [Value],
    demos: &'a [Value],
}

impl<'a> State<'a> {
    pub(crate) fn read(path: &str, state: &'a Map<String, Value>) -> Result<Self, Error> {
        let signature = object(state.get("signature"), || at("signature", path))?;
        let instruction = text(signature.get("instructions"), || at("signature.instructions", path))?;
        let fields = list(signature.get("fields"), || at("signature.fields", path))?;
        let demos = list(state.get("demos"), || at("demos", path))?;
        for field in fields {
            object(Some(field), || format!("an item of {}", at("signature.fields", path)))?;
        }
        for demo in demos {
            object(Some(demo), || format!("an item of {}", at("demos", path)))?;
        }
        Ok(Self { instruction, fields, demos })
    }

    /// The prompt in this state, after checking that the state belongs to such a predictor.
    pub(crate) fn prompt(&self, place: &Place) -> Result<Prompt, Error> {
        self.check_fields(place)?;
        let demos: Vec<Demo> = self.demos.iter().filter_map(Value::as_object).map(read_demo).collect();
        check_demos(&demos, place)?;
        Ok(Prompt::new(self.instruction.to_owned()).with_demos(demos))
    }

    fn check_fields(&self, place: &Place) -> Result<(), Error> {
        let names: Vec<&str> = place.signature.fields().map(|field| field.name.as_str()).collect();
        let described: Vec<Option<&str>> = self.fields.iter().map(described_name).collect();
        if names.len() != described.len() {
            let hint = match (described.contains(&Some("reasoning")), names.contains(&"reasoning")) {
                (true, false) => ": in the file it reasons first, as a ChainOfThought does",
                (false, true) => ": in the program it reasons first, in the file it does not",
                _ => "",
            };
            return Err(Error::FieldCount {
                predictor: place.path.clone(),
                expected: names.len(),
                found: described.len(),
                names: names.join(", "),
                hint,
            });
        }
        for (index, (name, described)) in names.iter().zip(described).enumerate() {
            if let Some(found) = described.filter(|described| described != name) {
                return Err(Error::FieldName {
                    predictor: place.path.clone(),
                    position: index + 1,
                    expected: (*name).to_owned(),
                    found: found.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Checks the demos' values against the types of their fields.
pub(crate) fn check_demos(demos: &[Demo], place: &Place) -> Result<(), Error> {
    for (index, demo) in demos.iter().enumerate() {
        for field in place.signature.fields() {
            if let Some(value) = demo.fields.get(&field.name)
                && !fits(&field.kind, value)
            {
                return Err(Error::DemoValue {
                    predictor: place.path.clone(),
                    demo: index + 1,
                    field: field.name.clone(),
                    kind: field.kind.to_string(),
                    found: kind_of(Some(value)),
                });
            }
        }
    }
    Ok(())
}

/// The state of a predictor that DSPy has not seen yet.
pub(crate) fn new_state(signature: &Signature, prompt: &Prompt) -> Map<String, Value> {
    let fields: Vec<Value> = signature
        .fields()
        .map(|field| {
            let description = match field.description.as_str() {
                "" => format!("${{{}}}", field.name),
                description => description.to_owned(),
            };
            json!({"prefix": default_prefix(&field.name), "description": description})
        })
        .collect();
    let demos: Vec<Value> = prompt.demos.iter().map(write_demo).collect();
    [
        ("traces", json!([])),
        ("train", json!([])),
        ("demos", Value::from(demos)),
        ("signature", json!({"instructions": prompt.instruction, "fields": fields})),
        ("lm", Value::Null),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect()
}

/// Puts a prompt into a state. Demos that are there already keep the form they have.
pub(crate) fn put_prompt(state: &mut Map<String, Value>, prompt: &Prompt) {
    if let Some(Value::Object(signature)) = state.get_mut("signature") {
        signature.insert("instructions".to_owned(), Value::from(prompt.instruction.as_str()));
    }
    let Some(Value::Array(demos)) = state.get_mut("demos") else { return };
    demos.truncate(prompt.demos.len());
    for (index, demo) in prompt.demos.iter().enumerate() {
        match demos.get_mut(index) {
            Some(Value::Object(there)) if is_same(&read_demo(there), demo) => {}
            Some(there) => *there = write_demo(demo),
            None => demos.push(write_demo(demo)),
        }
    }
}

fn is_same(there: &Demo, demo: &Demo) -> bool {
    there.augmented == demo.augmented && there.fields.iter().eq(shown(demo))
}

fn shown(demo: &Demo) -> impl Iterator<Item = (&String, &Value)> {
    demo.fields.iter().filter(|(name, _)| *name != AUGMENTED && *name != SOURCE)
}

fn read_demo(fields: &Map<String, Value>) -> Demo {
    let is_field = |name: &str| name != AUGMENTED && name != SOURCE;
    let mut demo = Demo::new(
        fields
            .iter()
            .filter(|(name, _)| is_field(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    );
    demo.augmented = fields.get(AUGMENTED).and_then(Value::as_bool).unwrap_or_default();
    demo
}

/// DSPy writes the mark of augmented demos in front.
fn write_demo(demo: &Demo) -> Value {
    let mut fields = Fields::new();
    if demo.augmented {
        fields.insert(AUGMENTED.to_owned(), Value::Bool(true));
    }
    fields.extend(shown(demo).map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(fields)
}

/// The name in a default description, `${name}`: the only place where a file tells it.
fn described_name(field: &Value) -> Option<&str> {
    let name = field.get("description")?.as_str()?.strip_prefix("${")?.strip_suffix('}')?;
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    is_name.then_some(name)
}

/// Whether a demo may show a value in a field of a type. DSPy keeps what a data set holds, so
/// numbers and truth values may be text; null is a value that is not supplied.
fn fits(kind: &FieldType, value: &Value) -> bool {
    let as_text = |text: &str| match kind {
        FieldType::Integer => text.trim().parse::<i128>().is_ok(),
        FieldType::Float => text.trim().parse::<f64>().is_ok(),
        FieldType::Bool => ["true", "false"].contains(&text.trim().to_ascii_lowercase().as_str()),
        _ => false,
    };
    value.is_null() || *kind == FieldType::String || kind.admits(value) || value.as_str().is_some_and(as_text)
}

fn at(key: &str, path: &str) -> String {
    match path {
        LONE => format!("the key `{key}`"),
        _ => format!("the key `{key}` of the predictor `{path}`"),
    }
}

pub(crate) fn object(value: Option<&Value>, at: impl Fn() -> String) -> Result<&Map<String, Value>, Error> {
    value.and_then(Value::as_object).ok_or_else(|| shape(value, at(), "an object"))
}

fn list(value: Option<&Value>, at: impl Fn() -> String) -> Result<&[Value], Error> {
    value.and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| shape(value, at(), "a list"))
}

fn text(value: Option<&Value>, at: impl Fn() -> String) -> Result<&str, Error> {
    value.and_then(Value::as_str).ok_or_else(|| shape(value, at(), "a text"))
}

fn shape(value: Option<&Value>, at: String, expected: &'static str) -> Error {
    Error::Shape { at, expected, found: kind_of(value) }
}

fn kind_of(value: Option<&Value>) -> &'static str {
    match value {
        None => "missing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a truth value",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}
