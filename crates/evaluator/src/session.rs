//! What every run of an optimizer works with: models, budget, store, observer, and data in two
//! parts.

use std::collections::HashSet;
use std::sync::Arc;

use promptopt_core::{
    Budget, Cancellation, Clock, ContentHash, Error, Evaluator, Event, Example, LanguageModel, Ledger, Limit,
    NoObserver, Observer, Outcome, Prices, RolloutRunner, RolloutStore, StopReason,
};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::MemoryStore;

/// What binds every rollout of a run.
#[derive(Clone)]
pub struct Session {
    /// The model the program runs on.
    pub task_model: Arc<dyn LanguageModel>,
    /// The model that writes instructions.
    pub prompt_model: Arc<dyn LanguageModel>,
    /// The ledger that everything is reserved in.
    pub ledger: Arc<Ledger>,
    /// Where rollouts are kept and found again.
    pub store: Arc<dyn RolloutStore>,
    /// How many rollouts may be under way at once.
    pub concurrency: usize,
    /// How many errors of program, provider or metric are borne.
    pub max_errors: Option<u64>,
    /// The flag that ends the run.
    pub cancellation: Cancellation,
    /// Who hears of what happens.
    pub observer: Arc<dyn Observer>,
}

impl Session {
    /// A session of a program on `task_model`, or else on the program's own, which also writes
    /// instructions; eight rollouts at once, kept in memory, without a budget.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] when there is no model.
    pub fn of(program: &dyn Evaluator, task_model: Option<&Arc<dyn LanguageModel>>) -> Result<Self, Error> {
        let task_model = task_model.cloned().or_else(|| program.language_model()).ok_or_else(|| {
            Error::option("task_model", "the program has no model of its own, so one must be given")
        })?;
        Ok(Self {
            prompt_model: Arc::clone(&task_model),
            task_model,
            ledger: Arc::default(),
            store: Arc::new(MemoryStore::default()),
            concurrency: 8,
            max_errors: None,
            cancellation: Cancellation::new(),
            observer: Arc::new(NoObserver),
        })
    }

    /// Puts a budget in force. `prices` go before those that models know of themselves; the clock is the
    /// system's unless another is given; `others` are models that are called besides the session's own; `program` may have more of them.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] when money is limited and the price of a model is not known.
    pub fn limit(
        &mut self,
        program: &dyn Evaluator,
        budget: Budget,
        prices: Option<&Prices>,
        clock: Option<Arc<dyn Clock>>,
        others: &[Arc<dyn LanguageModel>],
    ) -> Result<(), Error> {
        let clock = clock.unwrap_or_else(|| Arc::new(promptopt_core::SystemClock::default()));
        let ledger = Ledger::with(budget, prices.cloned().unwrap_or_default(), clock);
        if budget.money.is_some() {
            let own = program.other_models();
            for model in [&self.task_model, &self.prompt_model].into_iter().chain(others).chain(&own) {
                if ledger.price_of(model).is_none() {
                    return Err(Error::option("budget", unpriced(&model.id())));
                }
            }
        }
        self.ledger = Arc::new(ledger);
        Ok(())
    }

    /// The outcome with the limit that ended the run, if one did.
    pub fn concluded(&self, mut outcome: Outcome) -> Outcome {
        if outcome.stop == StopReason::Budget {
            outcome.exhausted = self.ledger.exhausted().or_else(|| self.ledger.tightest());
            outcome.exhausted.get_or_insert(Limit::Rollouts);
        }
        outcome
    }

    /// A runner of a program on the task model.
    pub fn runner<'p>(&self, program: &'p dyn Evaluator) -> RolloutRunner<'p> {
        self.runner_on(program, Arc::clone(&self.task_model))
    }

    /// A runner of a program on another model.
    pub fn runner_on<'p>(
        &self,
        program: &'p dyn Evaluator,
        model: Arc<dyn LanguageModel>,
    ) -> RolloutRunner<'p> {
        RolloutRunner::new(program, model)
            .concurrency(self.concurrency)
            .store(Arc::clone(&self.store))
            .ledger(Arc::clone(&self.ledger))
            .max_errors(self.max_errors)
            .cancellation(self.cancellation.clone())
            .observer(Arc::clone(&self.observer))
    }

    /// Says that a stage begins.
    pub fn tell_stage(&self, name: &str, detail: String) {
        tracing::info!(stage = name, "{detail}");
        self.observer.observe(&Event::Stage { name: name.to_owned(), detail });
    }

    /// Says what a user should know.
    pub fn warn(&self, message: &str) {
        tracing::warn!("{message}");
        self.observer.observe(&Event::Warning { message: message.to_owned() });
    }
}

/// Training and selection examples. No example of one has the inputs of an example of the other.
#[derive(Debug, Clone, Default)]
pub struct Division {
    /// What instructions are written from.
    pub train: Vec<Arc<Example>>,
    /// What candidates are chosen on.
    pub selection: Vec<Arc<Example>>,
}

/// Divides data into training and selection examples: `valset` where it is given, else three fifths
/// of the training examples, drawn by the seed.
///
/// # Errors
///
/// [`Error::Data`] when there are no examples or both sets share inputs, [`Error::Option`] when
/// `valset` is empty.
pub fn divide(trainset: Vec<Example>, valset: Option<&[Example]>, seed: u64) -> Result<Division, Error> {
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
pub fn check_budget(option: &'static str, limit: Option<u64>, selection: usize) -> Result<(), Error> {
    if limit.is_some_and(|limit| limit < selection as u64) {
        let reason = format!(
            "the budget is too small for one evaluation of the {selection} selection examples; raise it, or give \
             fewer"
        );
        return Err(Error::option(option, reason));
    }
    Ok(())
}

/// The error of a run that ended before the original program was evaluated.
pub fn too_early(stop: Option<&StopReason>, failure: Option<&str>) -> Error {
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
fn unpriced(model: &str) -> String {
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
