//! Demos, and their form in a file.

use serde::de::Error as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::data::{ContentHash, Example, Fields};
use crate::signature::{Field, Signature};

/// Marks a demo whose outputs a run of the program produced.
const AUGMENTED: &str = "augmented";
/// The example that a demo was made from.
const SOURCE: &str = "promptopt_source";
/// Holds the fields where one of them has a name of ours.
const FIELDS: &str = "promptopt_fields";
const OURS: [&str; 3] = [AUGMENTED, SOURCE, FIELDS];

/// A worked example inside a prompt.
///
/// In a file its fields stand beside `augmented` and `promptopt_source`, as in DSPy. Where a field itself has one of
/// these names, all fields stand in an object `promptopt_fields`.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Demo {
    /// Inputs and outputs of the predictor. Missing outputs make it an incomplete demo.
    pub fields: Fields,
    /// Whether a run of the program produced the outputs (and not a data set).
    pub augmented: bool,
    /// The example it was made from. An example never sees its own demo.
    pub source: Option<ContentHash>,
}

impl Demo {
    /// A demo that a data set gave.
    pub fn new(fields: Fields) -> Self {
        Self { fields, ..Self::default() }
    }

    /// An example as a demo of a predictor: the fields that its signature has. `None` when the example has none of its
    /// inputs or none of its outputs, and so shows the predictor nothing.
    pub fn labeled(example: &Example, signature: &Signature) -> Option<Self> {
        let known = |fields: &[Field]| {
            fields.iter().any(|field| example.get(&field.name).is_some_and(|value| !value.is_null()))
        };
        if !known(signature.inputs()) || !known(signature.outputs()) {
            return None;
        }
        let fields: Fields = signature
            .fields()
            .filter_map(|field| Some((field.name.clone(), example.get(&field.name)?.clone())))
            .collect();
        Some(Self::new(fields).with_source(example.content_hash()))
    }

    /// Its outputs as a text, to tell demos of different outputs apart. Reasoning is left out: it is different every
    /// time.
    pub fn output_key(&self, signature: &Signature) -> String {
        let outputs = signature.outputs().iter().filter(|field| field.name != "reasoning");
        outputs.filter_map(|field| self.fields.get(&field.name)).map(|value| format!("{value}\n")).collect()
    }

    /// The same as one that a run of the program produced.
    #[must_use]
    pub fn augmented(mut self) -> Self {
        self.augmented = true;
        self
    }

    /// With the example it was made from.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Option<ContentHash>>) -> Self {
        self.source = source.into();
        self
    }
}

impl Serialize for Demo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if OURS.iter().any(|name| self.fields.contains_key(*name)) {
            map.serialize_entry(FIELDS, &self.fields)?;
        } else {
            for (name, value) in &self.fields {
                map.serialize_entry(name, value)?;
            }
        }
        if self.augmented {
            map.serialize_entry(AUGMENTED, &true)?;
        }
        if let Some(source) = &self.source {
            map.serialize_entry(SOURCE, source)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Demo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let only_ours = fields.keys().all(|name| OURS.contains(&name.as_str()));
        let augmented = fields.get(AUGMENTED).and_then(Value::as_bool);
        if augmented.is_some() {
            fields.shift_remove(AUGMENTED);
        }
        let source = fields.shift_remove(SOURCE).filter(|source| !source.is_null());
        let source = source.map(ContentHash::deserialize).transpose().map_err(D::Error::custom)?;
        if only_ours && let Some(Value::Object(inner)) = fields.get_mut(FIELDS) {
            fields = std::mem::take(inner);
        }
        Ok(Self { fields, augmented: augmented.unwrap_or_default(), source })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_demo_stands_beside_its_marks_as_it_always_did() {
        let source = ContentHash::of("row");
        let mut demo = Demo::new([("q".to_owned(), json!(1))].into_iter().collect());
        assert_eq!(serde_json::to_string(&demo).unwrap(), "{\"q\":1}");
        demo = demo.augmented().with_source(source);
        let text = format!("{{\"q\":1,\"augmented\":true,\"promptopt_source\":\"{source}\"}}");
        assert_eq!(serde_json::to_string(&demo).unwrap(), text);
        assert_eq!(serde_json::from_str::<Demo>(&text).unwrap(), demo);
        // A field of that name in a file of an earlier version.
        let old: Demo = serde_json::from_value(json!({"augmented": "a text", "answer": "b"})).unwrap();
        assert_eq!((old.fields.len(), old.augmented), (2, false));
        assert!(serde_json::from_value::<Demo>(json!({"promptopt_source": "x"})).is_err());
    }

    #[test]
    fn fields_with_names_of_ours_come_back() {
        let values = [json!("text"), json!(true), json!({"augmented": true}), json!(null)];
        for name in OURS.into_iter().chain(["fields", "source", "demos"]) {
            for (value, augmented) in values.iter().zip([true, false].into_iter().cycle()) {
                let fields = [(name.to_owned(), value.clone()), ("answer".to_owned(), json!("b"))];
                for fields in [fields.to_vec(), fields[..1].to_vec()] {
                    let mut demo = Demo::new(fields.into_iter().collect()).with_source(ContentHash::of(name));
                    demo.augmented = augmented;
                    let text = serde_json::to_string(&demo).unwrap();
                    assert_eq!(serde_json::from_str::<Demo>(&text).unwrap(), demo, "{text}");
                    let tree = serde_json::to_value(&demo).unwrap();
                    assert_eq!(serde_json::from_value::<Demo>(tree).unwrap(), demo, "{text}");
                }
            }
        }
    }
}
