//! What a run works with: options checked and sized, data split, models chosen.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;
use promptopt_core::{
    Budget, CallContext, ContentHash, Demo, Error, Evaluator, Event, Example, Fields, LanguageModel, Ledger,
    Module, NoObserver, Observer, Prediction, Predictor, RolloutRunner, RolloutStore, Score, Trace,
    check_program,
};
use promptopt_evaluator::{MemoryStore, PredictorSpace, SearchOptions, Space};
use promptopt_proposer::{ModelProposer, ModelProposerOptions, ProgramInfo, Proposer, Task};
use promptopt_trace_gen::{BootstrapOptions, DemoSet};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::MIPROv2;

/// Of what a call budget has left, each of the first two stages may take this part.
const STAGE_SHARE: u64 = 4;

pub(crate) struct Plan<'a> {
    pub(crate) options: &'a MIPROv2,
    pub(crate) num_candidates: usize,
    pub(crate) num_trials: usize,
    pub(crate) train: Vec<Arc<Example>>,
    pub(crate) selection: Vec<Arc<Example>>,
    pub(crate) task_model: Arc<dyn LanguageModel>,
    pub(crate) prompt_model: Arc<dyn LanguageModel>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) store: Arc<dyn RolloutStore>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) notes: Vec<String>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        options: &'a MIPROv2,
        program: &dyn Evaluator,
        trainset: Vec<Example>,
    ) -> Result<Self, Error> {
        check_program(program)?;
        check_options(options)?;
        check_teacher(options, program)?;
        let task_model =
            options.task_model.clone().or_else(|| program.language_model()).ok_or_else(|| {
                Error::option("task_model", "the program has no model of its own, so one must be given")
            })?;
        let mut notes = Vec::new();
        let (train, mut selection) = divide(trainset, options)?;
        let zero_shot = options.max_bootstrapped_demos == 0 && options.max_labeled_demos == 0;
        let choices = program.predictors().len() * if zero_shot { 1 } else { 2 };
        if let Some(most) =
            options.auto.map(|auto| auto.max_selection()).filter(|most| *most < selection.len())
        {
            notes.push(format!("`auto` selects on {most} of the {} selection examples", selection.len()));
            selection.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed));
            selection.truncate(most);
        }
        if options.max_calls.is_some_and(|calls| calls < selection.len() as u64) {
            let reason = format!(
                "the call budget is too small for one evaluation of the {} selection examples; raise it, or give \
                 fewer",
                selection.len()
            );
            return Err(Error::option("max_calls", reason));
        }
        if train.is_empty() {
            notes.push("there are no training examples, so no demos are made".to_owned());
        }
        let selection: Vec<Arc<Example>> = selection.into_iter().map(Arc::new).collect();
        Ok(Self {
            num_candidates: options.auto.map_or(options.num_candidates, |auto| auto.num_candidates()),
            num_trials: options.auto.map_or(options.num_trials, |auto| auto.num_trials(choices)),
            train: train.into_iter().map(Arc::new).collect(),
            selection,
            prompt_model: options.prompt_model.clone().unwrap_or_else(|| Arc::clone(&task_model)),
            task_model,
            ledger: Arc::new(Ledger::new(options.max_calls.map_or_else(Budget::default, Budget::calls))),
            store: options.store.clone().unwrap_or_else(|| Arc::new(MemoryStore::default())),
            observer: options.observer.clone().unwrap_or_else(|| Arc::new(NoObserver)),
            notes,
            options,
        })
    }

    /// A runner of the program on the task model, with everything that binds this run.
    pub(crate) fn runner<'p>(&self, program: &'p dyn Evaluator) -> RolloutRunner<'p> {
        self.runner_on(program, Arc::clone(&self.task_model))
    }

    /// A runner of the teacher, on its own model where it has one.
    pub(crate) fn teacher_runner<'p>(&self, taught: &'p Taught<'_>) -> RolloutRunner<'p> {
        let model = taught.teacher.language_model().unwrap_or_else(|| Arc::clone(&self.task_model));
        self.runner_on(taught, model)
    }

    fn runner_on<'p>(&self, program: &'p dyn Evaluator, model: Arc<dyn LanguageModel>) -> RolloutRunner<'p> {
        RolloutRunner::new(program, model)
            .concurrency(self.options.concurrency)
            .store(Arc::clone(&self.store))
            .ledger(Arc::clone(&self.ledger))
            .max_errors(Some(self.options.max_errors))
            .cancellation(self.options.cancellation.clone())
            .observer(Arc::clone(&self.observer))
    }

    pub(crate) fn tell_stage(&self, name: &str, detail: String) {
        tracing::info!(stage = name, "{detail}");
        self.observer.observe(&Event::Stage { name: name.to_owned(), detail });
    }

    pub(crate) fn bootstrap_options(&self, max_calls: u64) -> BootstrapOptions {
        BootstrapOptions {
            num_sets: self.num_candidates,
            max_bootstrapped_demos: self.options.max_bootstrapped_demos,
            max_labeled_demos: self.options.max_labeled_demos,
            metric_threshold: self.options.metric_threshold,
            max_rollouts: self.affordable().map(|calls| (calls / max_calls.max(1)) as usize),
            seed: self.options.seed,
        }
    }

    pub(crate) fn search_options(&self) -> SearchOptions {
        SearchOptions {
            minibatch: self.options.minibatch && self.options.minibatch_size < self.selection.len(),
            minibatch_size: self.options.minibatch_size,
            full_eval_steps: self.options.minibatch_full_eval_steps,
            parallel_trials: self.options.parallel_trials,
            seed: self.options.seed,
            ..SearchOptions::default()
        }
    }

    /// What writes the instructions.
    pub(crate) fn proposer(&self) -> Arc<dyn Proposer> {
        if let Some(proposer) = &self.options.proposer {
            return Arc::clone(proposer);
        }
        let options = ModelProposerOptions {
            temperature: self.options.temperature,
            program_aware: self.options.program_aware,
            data_aware: self.options.data_aware,
            tip_aware: self.options.tip_aware,
            few_shot_aware: self.options.few_shot_aware,
            ..ModelProposerOptions::default()
        };
        let proposer = ModelProposer::new(Arc::clone(&self.prompt_model), options)
            .concurrency(self.options.concurrency)
            .ledger(Arc::clone(&self.ledger))
            .cancellation(self.options.cancellation.clone())
            .observer(Arc::clone(&self.observer));
        Arc::new(match &self.options.tips {
            Some(tips) => proposer.tips(tips.clone()),
            None => proposer,
        })
    }

    /// What the proposer is told.
    pub(crate) fn task(&self, program: &dyn Evaluator, sets: &[DemoSet], traces: Vec<Arc<Trace>>) -> Task {
        let mut task = Task::new(ProgramInfo::of(program), self.train.clone());
        task.seed = self.options.seed;
        task.traces = traces;
        for predictor in program.predictors() {
            let demos = sets.iter().map(|set| set.of(predictor.path()).to_vec()).collect();
            task.demo_sets.insert(predictor.path().to_owned(), demos);
        }
        task
    }

    /// How many new instructions every predictor gets in each round of proposals. The descriptions
    /// that come first are counted as eight calls.
    pub(crate) fn proposal_rounds(&self, predictors: usize) -> Vec<usize> {
        let wanted = self.num_candidates.saturating_sub(1);
        let affordable = self
            .affordable()
            .map_or(wanted, |calls| (calls.saturating_sub(8) / (2 * predictors.max(1) as u64)) as usize);
        let count = wanted.min(affordable);
        let rounds = self.options.proposal_rounds.clamp(1, count.max(1)).min(self.num_trials.max(1));
        // Earlier rounds get the larger part, because later ones build on what they found.
        (0..rounds).map(|round| (count + rounds - 1 - round) / rounds).collect()
    }

    fn affordable(&self) -> Option<u64> {
        self.ledger.remaining().map(|calls| calls / STAGE_SHARE)
    }
}

/// What the search chooses from: every instruction written so far and every demo set.
pub(crate) fn space(
    program: &dyn Evaluator,
    sets: &[DemoSet],
    instructions: &IndexMap<String, Vec<String>>,
) -> Space {
    let predictors = program.predictors().into_iter().map(|predictor| {
        let mut demo_sets: Vec<Vec<Demo>> = Vec::new();
        let own = std::iter::once(predictor.prompt().demos.clone());
        for set in own.chain(sets.iter().map(|set| set.of(predictor.path()).to_vec())) {
            if !demo_sets.contains(&set) {
                demo_sets.push(set);
            }
        }
        let mut texts = vec![predictor.prompt().instruction.clone()];
        texts.extend(instructions.get(predictor.path()).cloned().unwrap_or_default());
        PredictorSpace { path: predictor.path().to_owned(), instructions: texts, demo_sets }
    });
    Space { predictors: predictors.collect() }
}

fn check_options(options: &MIPROv2) -> Result<(), Error> {
    let at_least_one = [
        ("num_candidates", options.num_candidates),
        ("minibatch_size", options.minibatch_size),
        ("minibatch_full_eval_steps", options.minibatch_full_eval_steps),
        ("parallel_trials", options.parallel_trials),
        ("concurrency", options.concurrency),
        ("proposal_rounds", options.proposal_rounds),
    ];
    if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
        return Err(Error::option(name, "must be at least 1"));
    }
    if !(0.0..=2.0).contains(&options.temperature) {
        return Err(Error::option(
            "temperature",
            format!("is {}, but must be from 0 to 2", options.temperature),
        ));
    }
    if let Some(threshold) = options.metric_threshold.filter(|threshold| !threshold.is_finite()) {
        return Err(Error::option(
            "metric_threshold",
            format!("is {threshold}, but must be a finite number"),
        ));
    }
    Ok(())
}

fn check_teacher(options: &MIPROv2, program: &dyn Evaluator) -> Result<(), Error> {
    let Some(teacher) = &options.teacher else { return Ok(()) };
    let paths = |predictors: Vec<&dyn Predictor>| -> Vec<String> {
        predictors.into_iter().map(|predictor| predictor.path().to_owned()).collect()
    };
    let (student, teacher) = (paths(program.predictors()), paths(teacher.predictors()));
    if student != teacher {
        let reason =
            format!("has the predictors {teacher:?}, but the program has {student:?}; they must agree");
        return Err(Error::option("teacher", reason));
    }
    Ok(())
}

/// Training and selection examples.
fn divide(trainset: Vec<Example>, options: &MIPROv2) -> Result<(Vec<Example>, Vec<Example>), Error> {
    if let Some(valset) = &options.valset {
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
        return Ok((trainset, valset.clone()));
    }
    if trainset.is_empty() {
        let reason = "there are no training examples; give at least one, better fifty or more".to_owned();
        return Err(Error::Data { reason });
    }
    let mut selection = trainset;
    selection.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed));
    let train = selection.split_off((selection.len() * 3).div_ceil(5));
    // Examples with the same inputs must not stand on both sides.
    let selected = inputs_of(&selection);
    let train = train.into_iter().filter(|example| !selected.contains(&inputs(example))).collect();
    Ok((train, selection))
}

fn inputs(example: &Example) -> ContentHash {
    ContentHash::of(&example.inputs())
}

fn inputs_of(examples: &[Example]) -> HashSet<ContentHash> {
    examples.iter().map(inputs).collect()
}

/// A teacher with the program's own metric.
pub(crate) struct Taught<'a> {
    /// Unlike the program's own, so that their rollouts are kept apart.
    name: String,
    pub(crate) teacher: &'a dyn Module,
    judge: &'a dyn Evaluator,
}

impl<'a> Taught<'a> {
    pub(crate) fn new(teacher: &'a dyn Module, judge: &'a dyn Evaluator) -> Self {
        Self { name: format!("teacher {}", teacher.name()), teacher, judge }
    }
}

#[async_trait]
impl Module for Taught<'_> {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.teacher.predictors()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        // A teacher is only ever run.
        Vec::new()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        self.teacher.run(context, inputs).await
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn max_calls(&self) -> u64 {
        self.teacher.max_calls()
    }
}

#[async_trait]
impl Evaluator for Taught<'_> {
    async fn evaluate(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        self.judge.evaluate(example, prediction).await
    }
}
