//! The optimizers that the command knows, a line each, and what their options are.
//!
//! No option is named here: the strategies' own structs say which there are, how they are read and what they mean.

use std::sync::{Arc, LazyLock};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_gepa::GEPA;
use promptopt_random_search::RandomSearch;
use promptopt_run::{RunOptions, Strategy};
use promptopt_simba::SIMBA;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Options by name.
pub(crate) type Options = serde_json::Map<String, Value>;

/// A row of the table of optimizers.
macro_rules! kind {
    ($name:literal, $strategy:ty, $about:literal) => {
        Kind {
            name: $name,
            about: $about,
            form: Form::of::<$strategy>(),
            build: |options, run| {
                let strategy: $strategy = read(options)?;
                Ok(match run {
                    Some(run) => Arc::new(strategy.with_run_options(run)),
                    None => Arc::new(strategy),
                })
            },
        }
    };
}

/// The optimizers, the default first.
pub(crate) static KINDS: &[Kind] = &[
    kind!("miprov2", MIPROv2, "Joint search of instructions and demos"),
    kind!("copro", COPRO, "Iterative refinement of instructions"),
    kind!("gepa", GEPA, "Reflective evolution over a Pareto frontier"),
    kind!("random_search", RandomSearch, "The best of many demo sets"),
    kind!("simba", SIMBA, "Demos and rules from runs that differ most"),
];

/// How many of them, from the first, `promptopt compare` takes where none is named.
pub(crate) const COMPARED: usize = 3;

/// The options that every optimizer has.
pub(crate) const OF_EVERY_RUN: Form = Form::of::<RunOptions>();

/// Options of several optimizers that mean the same for each of them. All others of one name are about parts of the
/// algorithms that only have the same name: a trial's minibatch is not a reflection's.
const SAME: [&str; 4] = ["auto", "max_bootstrapped_demos", "max_labeled_demos", "metric_threshold"];

/// All options, those of every run first.
static KNOWN: LazyLock<Vec<KnownOption>> = LazyLock::new(|| {
    let common = OF_EVERY_RUN.names();
    let known = |name: &String| KnownOption { name: name.clone(), owners: Vec::new() };
    let mut all: Vec<KnownOption> = common.iter().map(known).collect();
    for kind in KINDS {
        for name in kind.form.names().into_iter().filter(|name| !common.contains(name)) {
            match all.iter_mut().find(|known| known.name == name) {
                Some(known) => known.owners.push(kind.name),
                None => all.push(KnownOption { name, owners: vec![kind.name] }),
            }
        }
    }
    all
});

/// An optimizer, by its name in the task file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What it does, in a few words.
    pub(crate) about: &'static str,
    pub(crate) form: Form,
    /// Makes it of options of its own. Where it is the first of a run, it gets those of the run.
    pub(crate) build: fn(Options, Option<RunOptions>) -> serde_json::Result<Arc<dyn Strategy>>,
}

/// How the options of a struct look in files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Some options with the defaults of all others, as they are written to files.
    pub(crate) complete: fn(Options) -> serde_json::Result<Options>,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// An option, and whose it is.
pub(crate) struct KnownOption {
    pub(crate) name: String,
    /// The optimizers that have it; empty for what all of them have.
    pub(crate) owners: Vec<&'static str>,
}

impl Kind {
    /// The names of all optimizers.
    pub(crate) fn names() -> &'static [&'static str] {
        static NAMES: LazyLock<Vec<&'static str>> =
            LazyLock::new(|| KINDS.iter().map(|kind| kind.name).collect());
        &NAMES
    }

    /// The optimizer of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        KINDS.iter().find(|kind| kind.name == name).copied()
    }
}

impl Form {
    const fn of<T: Serialize + DeserializeOwned + JsonSchema>() -> Self {
        let complete = |options| match serde_json::to_value(read::<T>(options)?)? {
            Value::Object(options) => Ok(options),
            _ => Err(serde_json::Error::custom("options are not a table")),
        };
        Self { complete, schema: T::json_schema }
    }

    /// One option, read and written again.
    pub(crate) fn read(self, name: &str, value: Value) -> serde_json::Result<Value> {
        // No file has a null; it stands for a number that JSON has no form for.
        if value.is_null() {
            return Err(serde_json::Error::custom("a number must be finite"));
        }
        let read = (self.complete)(Options::from_iter([(name.to_owned(), value)]))?;
        Ok(read.get(name).cloned().unwrap_or_default())
    }

    fn names(self) -> Vec<String> {
        (self.complete)(Options::new()).unwrap_or_default().into_iter().map(|(name, _)| name).collect()
    }
}

impl KnownOption {
    /// All of them.
    pub(crate) fn all() -> &'static [Self] {
        &KNOWN
    }

    /// The option of a name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name == name)
    }

    /// How it is read, where it does not matter by which of its owners.
    pub(crate) fn form(&self) -> Form {
        self.owners.first().and_then(|name| Kind::named(name)).map_or(OF_EVERY_RUN, |kind| kind.form)
    }

    /// Whether every run has it.
    pub(crate) fn is_of_every_run(&self) -> bool {
        self.owners.is_empty()
    }

    /// Whether an optimizer has it, besides what every run has.
    pub(crate) fn is_of(&self, kind: Kind) -> bool {
        self.owners.contains(&kind.name)
    }

    /// Whether it means something else to each optimizer that has it.
    pub(crate) fn is_homonym(&self) -> bool {
        self.owners.len() > 1 && !SAME.contains(&self.name.as_str())
    }
}

fn read<T: DeserializeOwned>(options: Options) -> serde_json::Result<T> {
    serde_json::from_value(Value::Object(options))
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        KINDS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name).help(self.about))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| D::Error::unknown_variant(&name, Self::names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_strategies() {
        let owners = |name: &str| &KnownOption::named(name).unwrap().owners;
        assert!(owners("max_calls").is_empty() && owners("target_score").is_empty());
        assert_eq!(*owners("breadth"), ["copro"]);
        assert_eq!(*owners("auto"), ["miprov2", "gepa"]);
        let homonyms: Vec<&str> = KnownOption::all()
            .iter()
            .filter(|known| known.is_homonym())
            .map(|known| known.name.as_str())
            .collect();
        assert_eq!(homonyms, ["num_candidates", "minibatch_size", "temperature"]);
        // What is no part of a file is no option.
        assert!(KnownOption::named("valset").is_none() && KnownOption::named("teacher").is_none());
    }

    #[test]
    fn every_optimizer_is_built_from_nothing() {
        for kind in KINDS {
            let run = RunOptions::builder().seed(7).build();
            let strategy = (kind.build)(Options::new(), Some(run)).unwrap();
            assert_eq!(strategy.options().seed, 7);
            assert_eq!(strategy.name().to_lowercase().replace(' ', "_"), kind.name);
        }
    }
}
