//! What a run is: the manifest that a resumed run must agree with.

use std::fmt;
use std::path::Path;

use promptopt_core::data::ContentHash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{StoreError, directory};

/// Format of `run.json` and of the run directory around it.
pub(crate) const SCHEMA: u64 = 1;

/// Longest value in a difference, in characters.
const SHOWN: usize = 80;

/// What a run was started with. All but `created_at` must be the same to resume it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Format of the run directory.
    pub schema: u64,
    /// Version of promptopt that started the run.
    pub promptopt: String,
    /// When the run was started, by the caller's clock; for people.
    pub created_at: String,
    /// The seed.
    pub seed: u64,
    /// Hash of the data set, in the order in which it is used, with its splits.
    pub data: ContentHash,
    /// Hash of the program: predictors, signatures, settings, and the prompts it starts with.
    pub program: ContentHash,
    /// The resolved configuration. The caller leaves secrets out.
    pub configuration: Value,
}

impl Manifest {
    /// The manifest of a run by this version of promptopt.
    pub fn new(
        configuration: Value,
        data: ContentHash,
        program: ContentHash,
        seed: u64,
        created_at: impl Into<String>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            promptopt: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: created_at.into(),
            seed,
            data,
            program,
            configuration,
        }
    }

    /// Reads the manifest of a run directory, also while another process works in it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotARun`], [`StoreError::Newer`], [`StoreError::Corrupt`],
    /// [`StoreError::TooLarge`] or [`StoreError::Io`].
    pub fn read(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        directory::read_manifest(directory.as_ref())
    }
}

/// One place at which two manifests differ.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// JSON pointer into `run.json`, such as `/configuration/optimizer/num_trials`.
    pub pointer: String,
    /// What the run was started with; `None` when there was nothing.
    pub old: Option<Value>,
    /// What it would be resumed with; `None` when there is nothing.
    pub new: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} -> {}", self.pointer, show(self.old.as_ref()), show(self.new.as_ref()))
    }
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(
        || "nothing".to_owned(),
        |value| promptopt_core::data::shorten(&value.to_string(), SHOWN),
    )
}

/// All places at which two JSON values differ, in the order of the old one and then of the new.
pub(crate) fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&mut String::new(), Some(old), Some(new), &mut found);
    found
}

fn compare(pointer: &mut String, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                let token = name.replace('~', "~0").replace('/', "~1");
                descend(pointer, &token, old.get(name), new.get(name), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                descend(pointer, &index.to_string(), old.get(index), new.get(index), found);
            }
        }
        (old, new) if old == new => {}
        (old, new) => {
            found.push(Difference { pointer: pointer.clone(), old: old.cloned(), new: new.cloned() })
        }
    }
}

fn descend(
    pointer: &mut String,
    token: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(token);
    compare(pointer, old, new, found);
    pointer.truncate(length);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(old: Value, new: Value, expected: &[&str]) {
        let found: Vec<String> = differences(&old, &new).iter().map(Difference::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn differences_say_where_and_what() {
        check(json!({"a": 1, "b": [1, 2]}), json!({"b": [1, 2], "a": 1}), &[]);
        check(
            json!({"a": {"x/y": 1}, "gone": null, "list": [1, 2]}),
            json!({"a": {"x/y": 2}, "list": [1], "new": {"b": true}}),
            &[
                "/a/x~1y: 1 -> 2",
                "/gone: null -> nothing",
                "/list/1: 2 -> nothing",
                "/new: nothing -> {\"b\":true}",
            ],
        );
        check(json!(1), json!("1"), &[": 1 -> \"1\""]);
    }

    #[test]
    fn long_values_are_cut() {
        let found = differences(&json!({"a": "x".repeat(1000)}), &json!({"a": ""}));
        assert!(found[0].to_string().chars().count() < 200);
    }
}
