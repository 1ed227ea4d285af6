//! Data in two parts, and whether a budget lets a run begin.

use std::collections::HashSet;
use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::{Error, StopReason};

/// Training and selection examples. No example of one has the inputs of an example of the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Division {
    /// What instructions are written from.
    pub(crate) train: Vec<Arc<Example>>,
    /// What candidates are chosen on.
    pub(crate) selection: Vec<Arc<Example>>,
}

/// Divides data into training and selection examples: `valset` where it is given, else three fifths
/// of the training examples, drawn by the seed.
///
/// # Errors
///
/// [`Error::Data`] when there are no examples or both sets share inputs, [`Error::Option`] when
/// `valset` is empty.
pub(crate) fn divide(
    trainset: Vec<Example>,
    valset: Option<&[Example]>,
    seed: u64,
) -> Result<Division, Error> {
    let wrap = |examples: Vec<Example>| examples.into_iter().map(Arc::new).collect();
    if let Some(valset) = valset {
        if valset.is_empty() {
            return Err(Error::option("valset", "is empty; give examples to select on, or leave it out"));
        }
        let selected = inputs_of(valset);
        let shared = trainset.iter().filter(|example| selected.contains(&inputs(example))).count();
        if shared > 0 {
            let reason = format!(
                "{shared} training examples have the inputs of an example in `valset`; the two must not overlap"
            );
            return Err(Error::Data { reason });
        }
        return Ok(Division { train: wrap(trainset), selection: wrap(valset.to_vec()) });
    }
    if trainset.is_empty() {
        let reason = "there are no training examples; give at least one, better fifty or more".to_owned();
        return Err(Error::Data { reason });
    }
    let mut selection = trainset;
    selection.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let train = selection.split_off((selection.len() * 3).div_ceil(5));
    // Examples with the same inputs must not stand on both sides.
    let selected = inputs_of(&selection);
    let train = train.into_iter().filter(|example| !selected.contains(&inputs(example))).collect();
    Ok(Division { train: wrap(train), selection: wrap(selection) })
}

/// Checks that a budget of `max_calls` lets the original be evaluated at all.
///
/// # Errors
///
/// [`Error::Option`] for the option `option` when it does not.
pub(crate) fn check_budget(option: &'static str, limit: Option<u64>, selection: usize) -> Result<(), Error> {
    if limit.is_some_and(|limit| limit < selection as u64) {
        let reason = format!(
            "the budget is too small for one evaluation of the {selection} selection examples, which takes at least \
             {selection}; raise it, or give fewer"
        );
        return Err(Error::option(option, reason));
    }
    Ok(())
}

/// The error of a run that ended before the original program was evaluated.
pub(crate) fn too_early(stop: Option<&StopReason>, failure: Option<&str>) -> Error {
    match stop {
        Some(StopReason::Provider { message }) => Error::Model { message: message.clone() },
        Some(StopReason::Budget) => Error::TooEarly {
            stop: stop.cloned(),
            reason:
                "the budget is too small for one evaluation of the selection set; raise it, or give fewer \
                     selection examples"
                    .to_owned(),
        },
        Some(stop) => Error::TooEarly { reason: stop.to_string(), stop: Some(stop.clone()) },
        None => Error::TooEarly {
            stop: None,
            reason: format!(
                "no selection example got a score; the first error: {}",
                failure.unwrap_or("none was recorded")
            ),
        },
    }
}

/// What to do when money is limited and a price is not known.
pub(crate) fn unpriced(model: &str) -> String {
    let mut words = model.split(' ');
    let first = words.next().unwrap_or_default();
    let name = words.next().unwrap_or(first);
    format!(
        "limits money, but the price of `{model}` is not known; give it in `prices`, in dollars per million tokens: \
         \"{name}\" = {{ prompt = 0.15, completion = 0.60 }} (0 and 0 for a model of your own)"
    )
}

fn inputs(example: &Example) -> ContentHash {
    ContentHash::of(&example.inputs())
}

fn inputs_of(examples: &[Example]) -> HashSet<ContentHash> {
    examples.iter().map(inputs).collect()
}
