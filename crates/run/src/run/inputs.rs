//! An input that no example has: told before anything is searched.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::program::Evaluator;
use promptopt_core::trace::{FailureKind, Trace};

/// How alike two names must be for one to be meant by the other, from 0 to 1.
const ALIKE: f64 = 0.75;

/// What is wrong where every run failed for want of an input that no example has: it is misspelt in the examples, or in the
/// signature. `None` otherwise. Behind the first call the program may have kept from a predictor what another one wrote, so
/// what any of them writes is not meant there.
pub(super) fn unknown_input(
    program: &dyn Evaluator,
    examples: &[Arc<Example>],
    traces: &[Option<Arc<Trace>>],
) -> Option<String> {
    let runs: Vec<&Arc<Trace>> = traces.iter().flatten().collect();
    let failures = runs.iter().map(|trace| {
        let failure = trace.error.as_ref().filter(|failure| failure.kind == FailureKind::Program);
        failure.map(|failure| failure.message.as_str())
    });
    let failures: Vec<&str> = failures.collect::<Option<_>>()?;
    let is_blamed = |name: &str| {
        let words = format!("needs the input `{name}`");
        !failures.is_empty() && failures.iter().all(|failure| failure.contains(&words))
    };
    let is_known =
        |name: &str| examples.iter().any(|example| example.is_input(name) && example.get(name).is_some());
    let predictors = program.predictors();
    let nothing_was_asked = runs.iter().all(|trace| trace.usage.calls == 0);
    let is_written = |name: &str| {
        let mut outputs = predictors.iter().flat_map(|predictor| predictor.signature().outputs());
        outputs.any(|field| field.name == name)
    };
    let is_missing = |name: &str| !is_known(name) && (nothing_was_asked || !is_written(name));
    let mut inputs = predictors.iter().flat_map(|predictor| {
        predictor.signature().inputs().iter().map(|field| (predictor.path(), field.name.as_str()))
    });
    let (path, name) = inputs.find(|(_, name)| is_missing(name) && is_blamed(name))?;
    let example = examples.first()?;
    let head = format!("no example has the input `{name}` of the predictor `{path}`");
    if example.get(name).is_some() {
        return Some(format!("{head}: it is among their labels; name it among the inputs of the examples"));
    }
    let has: Vec<String> = example.fields().keys().map(|field| format!("`{field}`")).collect();
    let meant = example
        .fields()
        .keys()
        .max_by(|one, other| strsim::jaro_winkler(one, name).total_cmp(&strsim::jaro_winkler(other, name)));
    let meant = meant.filter(|field| strsim::jaro_winkler(field, name) >= ALIKE);
    let meant = meant.map_or_else(|| ".".to_owned(), |field| format!("; is `{field}` meant?"));
    Some(format!(
        "{head}; the first has {}{meant} Rename the field in the examples or in the signature",
        if has.is_empty() { "no fields".to_owned() } else { has.join(", ") }
    ))
}
