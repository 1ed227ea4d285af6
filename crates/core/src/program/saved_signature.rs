//! The signature of a predictor as a saved program has it: what its prompt depends on, and a hash of that.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Module;
use crate::data::ContentHash;
use crate::signature::{Field, FieldType, Signature};

/// Predictor path -> its signature as it is saved.
pub type SavedSignatures = IndexMap<String, SavedSignature>;

/// Names and types of the fields of a signature, and their hash. Instructions and descriptions are no part of it, and
/// the hash does not depend on the order of fields, of the values of an `enum` or of the members of a `union`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SavedSignature {
    /// The hash of what follows.
    pub hash: ContentHash,
    /// What goes in.
    pub inputs: Vec<SavedField>,
    /// What comes out.
    pub outputs: Vec<SavedField>,
}

/// Name and type of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SavedField {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FieldType,
}

impl SavedSignature {
    /// Of a signature.
    pub fn of(signature: &Signature) -> Self {
        let saved = |fields: &[Field]| -> Vec<SavedField> {
            fields
                .iter()
                .map(|field| SavedField { name: field.name.clone(), kind: field.kind.clone() })
                .collect()
        };
        let (inputs, outputs) = (saved(signature.inputs()), saved(signature.outputs()));
        Self { hash: hash(&inputs, &outputs), inputs, outputs }
    }

    /// Of every predictor of a program, by path.
    pub fn of_all(module: &(impl Module + ?Sized)) -> SavedSignatures {
        let predictors = module.predictors();
        predictors.iter().map(|one| (one.path().to_owned(), Self::of(one.signature()))).collect()
    }

    /// Whether the hash is that of the fields.
    pub(super) fn is_whole(&self) -> bool {
        self.hash == hash(&self.inputs, &self.outputs)
    }
}

impl SavedField {
    /// Whether values of one type are values of the other, and mean the same.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        canonical(&self.kind) == canonical(&other.kind)
    }
}

fn hash(inputs: &[SavedField], outputs: &[SavedField]) -> ContentHash {
    let side = |fields: &[SavedField]| {
        let mut fields: Vec<_> =
            fields.iter().map(|field| (field.name.clone(), canonical(&field.kind))).collect();
        fields.sort();
        fields
    };
    ContentHash::of(&(side(inputs), side(outputs)))
}

/// A type as a text that is the same for types that mean the same.
fn canonical(kind: &FieldType) -> String {
    let sorted = |mut parts: Vec<String>| {
        parts.sort();
        Value::from(parts).to_string()
    };
    match kind {
        FieldType::Enum(values) => format!("enum{}", sorted(values.clone())),
        FieldType::List(item) => format!("list[{}]", canonical(item)),
        FieldType::Optional(item) => format!("optional[{}]", canonical(item)),
        FieldType::Union(kinds) => format!("union{}", sorted(kinds.iter().map(canonical).collect())),
        FieldType::Object(schema) => format!("object{}", bare(schema)),
        other => other.to_string(),
    }
}

/// A JSON schema without words for people, its keys and its lists of names in order.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(entries) => {
            let is_words = |name: &str, value: &Value| {
                matches!(name, "title" | "description" | "$comment" | "$schema") && value.is_string()
            };
            let mut kept: Vec<_> = entries.iter().filter(|(name, value)| !is_words(name, value)).collect();
            kept.sort_by_key(|(name, _)| *name);
            let entry = |(name, value): (&String, &Value)| {
                let mut value = bare(value);
                if let ("required" | "enum", Some(items)) = (name.as_str(), value.as_array_mut()) {
                    items.sort_by_key(Value::to_string);
                }
                (name.clone(), value)
            };
            Value::Object(kept.into_iter().map(entry).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}
