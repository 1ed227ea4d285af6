//! The state of one predictor, and the prompt in it.

use promptopt_core::data::{Fields, shown as shown_value};
use promptopt_core::prompt::{Demo, Misfit, Prompt, read_demos};
use promptopt_core::signature::{FieldType, Signature};
use serde_json::{Map, Value, json};

use crate::layout::Place;
use crate::prefix::default_prefix;
use crate::{Error, LONE};

/// Marks a demo whose outputs a run of the program produced.
const AUGMENTED: &str = "augmented";
/// Our mark of the example that a demo was made from, which is not for DSPy.
const SOURCE: &str = "promptopt_source";
/// Where DSPy keeps a signature. The second one is a `ChainOfThought`'s up to DSPy 2.5, and then it is the one in force.
const SIGNATURES: [&str; 2] = ["signature", "extended_signature"];
/// Where DSPy up to 2.4 keeps an instruction; likewise.
const INSTRUCTIONS: [&str; 2] = ["signature_instructions", "extended_signature_instructions"];
/// What a `ChainOfThought` writes first, and what it was called up to DSPy 2.5.
const REASONING: [&str; 2] = ["reasoning", "rationale"];

/// Whether this looks like the state of a predictor, in the form of any version of DSPy.
pub(crate) fn is_predictor(state: &Value) -> bool {
    state.get("demos").is_some() || SIGNATURES.iter().chain(&INSTRUCTIONS).any(|key| state.get(key).is_some())
}

/// A predictor's state in a file, checked for its shape.
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    instruction: &'a str,
    /// Descriptions of the fields; DSPy up to 2.4 keeps none.
    fields: Option<&'a [Value]>,
    demos: &'a [Value],
}

impl<'a> State<'a> {
    pub(crate) fn read(path: &str, state: &'a Map<String, Value>) -> Result<Self, Error> {
        let in_force = |keys: [&'static str; 2]| {
            keys.into_iter().rev().find(|key| state.get(*key).is_some_and(|value| !value.is_null()))
        };
        let (instruction, fields) = match (in_force(SIGNATURES), in_force(INSTRUCTIONS)) {
            (None, Some(key)) => (text(state.get(key), || at(key, path))?, None),
            (key, _) => {
                let key = key.unwrap_or("signature");
                let signature = object(state.get(key), || at(key, path))?;
                let within = |part: &str| at(&format!("{key}.{part}"), path);
                let fields = list(signature.get("fields"), || within("fields"))?;
                for field in fields {
                    object(Some(field), || format!("an item of {}", within("fields")))?;
                }
                (text(signature.get("instructions"), || within("instructions"))?, Some(fields))
            }
        };
        let demos = list(state.get("demos"), || at("demos", path))?;
        for demo in demos {
            object(Some(demo), || format!("an item of {}", at("demos", path)))?;
        }
        Ok(Self { instruction, fields, demos })
    }

    /// The prompt in this state, after checking that the state belongs to such a predictor.
    pub(crate) fn prompt(&self, place: &Place) -> Result<Prompt, Error> {
        self.check_fields(place)?;
        let demos = self.demos.iter().filter_map(Value::as_object);
        let demos: Vec<Demo> = demos.map(|demo| self.read_demo(demo, &place.signature)).collect();
        Ok(Prompt::new(self.instruction.to_owned()).with_demos(checked(&demos, place)?))
    }

    fn check_fields(&self, place: &Place) -> Result<(), Error> {
        let Some(fields) = self.fields else { return Ok(()) };
        let names: Vec<&str> = place.signature.fields().map(|field| field.name.as_str()).collect();
        let described: Vec<Option<&str>> = fields.iter().map(described_name).collect();
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
            let same = |described: &&str| described == name || [*name, *described] == REASONING;
            if let Some(found) = described.filter(|described| !same(described)) {
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

    /// Whether the reasoning goes by its older name here.
    fn has_rationale(&self, signature: &Signature) -> bool {
        let described = |field: &Value| {
            let text = field.get("description").and_then(Value::as_str).unwrap_or_default();
            text.starts_with("${rationale}") || text.starts_with("${produce the ")
        };
        let [ours, older] = REASONING.map(|name| signature.field(name).is_some());
        let shown = self.demos.iter().any(|demo| demo.get("rationale").is_some());
        ours && !older && (shown || self.fields.unwrap_or_default().iter().any(described))
    }

    fn read_demo(&self, fields: &Map<String, Value>, signature: &Signature) -> Demo {
        let [ours, older] = REASONING;
        let renamed = self.has_rationale(signature);
        let name = |name: &String| if renamed && name == older { ours.to_owned() } else { name.clone() };
        let shown = fields.iter().filter(|(name, _)| is_shown(name, signature));
        let mut demo = Demo::new(shown.map(|(key, value)| (name(key), value.clone())).collect());
        demo.augmented = !is_shown(AUGMENTED, signature)
            && fields.get(AUGMENTED).and_then(Value::as_bool).unwrap_or_default();
        demo
    }
}

/// The demos with their values read by the types of the fields. DSPy keeps what a data set holds, so a number may be a
/// text.
pub(crate) fn checked(demos: &[Demo], place: &Place) -> Result<Vec<Demo>, Error> {
    read_demos(demos, &place.signature).map_err(|misfit| {
        let predictor = place.path.clone();
        match misfit {
            Misfit::Value { demo, field, kind, found } => {
                let value = shown_value(&found);
                Error::DemoValue { predictor, demo, field, kind, found: kind_of(Some(&found)), value }
            }
            misfit => Error::Demos { predictor, misfit },
        }
    })
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
    let demos: Vec<Value> = prompt.demos.iter().map(|demo| write_demo(demo, signature, false)).collect();
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

/// Puts a prompt into a state, wherever a version of DSPy looks for it. Demos that are there already keep the form they
/// have; `there` is the prompt that was read from the state.
pub(crate) fn put_prompt(
    state: &mut Map<String, Value>,
    prompt: &Prompt,
    there: &Prompt,
    signature: &Signature,
) {
    let older_name = State::read("", state).is_ok_and(|state| state.has_rationale(signature));
    let instruction = || Value::from(prompt.instruction.as_str());
    for key in SIGNATURES {
        if let Some(Value::Object(signature)) = state.get_mut(key) {
            signature.insert("instructions".to_owned(), instruction());
        }
    }
    for key in INSTRUCTIONS {
        if let Some(text) = state.get_mut(key) {
            *text = instruction();
        }
    }
    let Some(Value::Array(demos)) = state.get_mut("demos") else { return };
    demos.truncate(prompt.demos.len());
    for (index, demo) in prompt.demos.iter().enumerate() {
        let is_same = |there: &Demo| {
            there.augmented == demo.augmented && there.fields.iter().eq(shown(demo, signature))
        };
        match demos.get_mut(index) {
            Some(_) if there.demos.get(index).is_some_and(is_same) => {}
            Some(there) => *there = write_demo(demo, signature, older_name),
            None => demos.push(write_demo(demo, signature, older_name)),
        }
    }
}

/// Whether a key of a demo is a field: our mark and that of DSPy are none, unless the signature has one of their name.
fn is_shown(name: &str, signature: &Signature) -> bool {
    ![AUGMENTED, SOURCE].contains(&name) || signature.field(name).is_some()
}

fn shown<'d>(demo: &'d Demo, signature: &Signature) -> impl Iterator<Item = (&'d String, &'d Value)> {
    demo.fields.iter().filter(|(name, _)| is_shown(name, signature))
}

/// DSPy writes the mark of augmented demos in front. A field of that name has no room for it.
fn write_demo(demo: &Demo, signature: &Signature, older_name: bool) -> Value {
    let mut fields = Fields::new();
    if demo.augmented && !is_shown(AUGMENTED, signature) {
        fields.insert(AUGMENTED.to_owned(), Value::Bool(true));
    }
    let [ours, older] = REASONING;
    let name = |name: &String| if older_name && name == ours { older.to_owned() } else { name.clone() };
    fields.extend(shown(demo, signature).map(|(key, value)| (name(key), written(key, value, signature))));
    Value::Object(fields)
}

/// The value of a field as DSPy keeps it: images and files as texts between its marks, a history as `messages`.
fn written(name: &str, value: &Value, signature: &Signature) -> Value {
    match (signature.field(name).map(|field| &field.kind), value) {
        (Some(FieldType::History), Value::Array(turns)) => {
            let turn = |turn: &Value| match turn {
                Value::Object(fields) => {
                    let field =
                        |(name, value): (&String, &Value)| (name.clone(), written(name, value, signature));
                    Value::Object(fields.iter().map(field).collect())
                }
                other => other.clone(),
            };
            json!({"messages": turns.iter().map(turn).collect::<Vec<_>>()})
        }
        (Some(kind), value) => kind.dspy_value(value),
        (None, value) => value.clone(),
    }
}

/// The name in a default description, `${name}`: the only place where a file tells it.
fn described_name(field: &Value) -> Option<&str> {
    let name = field.get("description")?.as_str()?.strip_prefix("${")?.strip_suffix('}')?;
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    is_name.then_some(name)
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
