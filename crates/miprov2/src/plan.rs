//! What a run works with: options checked and sized, data split, models chosen.

use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;
use promptopt_core::{
    CallContext, Demo, Error, Evaluator, Example, Fields, LanguageModel, Module, Prediction, Predictor,
    RolloutRunner, Score, Trace, calls_of_a_rollout, check_program,
};
use promptopt_evaluator::session::{Division, Session, check_budget, divide};
use promptopt_evaluator::{PredictorSpace, SearchOptions, Space};
use promptopt_proposer::{ModelProposer, ModelProposerOptions, ProgramInfo, Proposer, Task};
use promptopt_trace_gen::{BootstrapOptions, DemoSet};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::sizes::Sizes;
use crate::{Auto, MIPROv2};

/// Of what a call budget has left, each of the first two stages may take this part.
const STAGE_SHARE: u64 = 4;

pub(crate) struct Plan<'a> {
    pub(crate) options: &'a MIPROv2,
    pub(crate) num_candidates: usize,
    pub(crate) num_trials: usize,
    pub(crate) minibatch_size: usize,
    pub(crate) full_eval_steps: usize,
    pub(crate) finalists: usize,
    pub(crate) proposal_rounds: usize,
    pub(crate) train: Vec<Arc<Example>>,
    pub(crate) selection: Vec<Arc<Example>>,
    pub(crate) session: Session,
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
        let mut session = Session::of(program, options.task_model.as_ref())?;
        if let Some(model) = &options.prompt_model {
            session.prompt_model = Arc::clone(model);
        }
        if let Some(store) = &options.store {
            session.store = Arc::clone(store);
        }
        if let Some(observer) = &options.observer {
            session.observer = Arc::clone(observer);
        }
        let budget = options.budget();
        let teacher = options.teacher.as_ref();
        let mut teachers = teacher.map(|teacher| teacher.other_models()).unwrap_or_default();
        teachers.extend(teacher.and_then(|teacher| teacher.language_model()));
        session.limit(program, budget, options.prices.as_ref(), None, &teachers)?;
        session.concurrency = options.concurrency;
        session.max_errors = Some(options.max_errors);
        session.cancellation = options.cancellation.clone();
        let mut notes = Vec::new();
        let Division { train, mut selection } = divide(trainset, options.valset.as_deref(), options.seed)?;
        let zero_shot = options.max_bootstrapped_demos == 0 && options.max_labeled_demos == 0;
        let choices = program.predictors().len() * if zero_shot { 1 } else { 2 };
        if let Some(most) =
            options.auto.map(|auto| auto.max_selection()).filter(|most| *most < selection.len())
        {
            notes.push(format!("`auto` selects on {most} of the {} selection examples", selection.len()));
            selection.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed));
            selection.truncate(most);
        }
        check_budget("max_calls", budget.calls, selection.len())?;
        if options.auto.is_none() && options.num_candidates == Some(1) {
            let note = "`num_candidates` is 1, which is the original alone, so nothing else is tried; give 2 or more";
            notes.push(note.to_owned());
        }
        if train.is_empty() {
            notes.push("there are no training examples, so no demos are made".to_owned());
        }
        let evaluation = calls_of_a_rollout(program).low.max(1) * selection.len() as u64;
        let sizes = Sizes::of(budget.calls, evaluation);
        let candidates = options.auto.map(Auto::num_candidates).or(options.num_candidates);
        let trials = options.auto.map(|auto| auto.num_trials(choices)).or(options.num_trials);
        Ok(Self {
            num_candidates: candidates.unwrap_or(sizes.candidates),
            num_trials: trials.unwrap_or(sizes.trials),
            minibatch_size: options.minibatch_size.unwrap_or(sizes.minibatch_size),
            finalists: sizes.finalists,
            full_eval_steps: options.minibatch_full_eval_steps.unwrap_or(sizes.full_eval_steps),
            proposal_rounds: options.proposal_rounds.unwrap_or(sizes.proposal_rounds),
            train,
            selection,
            session,
            notes,
            options,
        })
    }

    /// A runner of the teacher, on its own model where it has one.
    pub(crate) fn teacher_runner<'p>(&self, taught: &'p Taught<'_>) -> RolloutRunner<'p> {
        let model = taught.teacher.language_model().unwrap_or_else(|| Arc::clone(&self.session.task_model));
        self.session.runner_on(taught, model)
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
            minibatch: self.options.minibatch && self.minibatch_size < self.selection.len(),
            minibatch_size: self.minibatch_size,
            finalists: self.finalists,
            full_eval_steps: self.full_eval_steps,
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
        let proposer = ModelProposer::new(Arc::clone(&self.session.prompt_model), self.proposer_options())
            .concurrency(self.options.concurrency)
            .ledger(Arc::clone(&self.session.ledger))
            .cancellation(self.options.cancellation.clone())
            .observer(Arc::clone(&self.session.observer));
        Arc::new(match &self.options.tips {
            Some(tips) => proposer.tips(tips.clone()),
            None => proposer,
        })
    }

    pub(crate) fn proposer_options(&self) -> ModelProposerOptions {
        ModelProposerOptions {
            temperature: self.options.temperature,
            program_aware: self.options.program_aware,
            data_aware: self.options.data_aware,
            tip_aware: self.options.tip_aware,
            few_shot_aware: self.options.few_shot_aware,
            ..ModelProposerOptions::default()
        }
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
        let rounds = self.proposal_rounds.clamp(1, count.max(1)).min(self.num_trials.max(1));
        // Earlier rounds get the larger part, because later ones build on what they found.
        (0..rounds).map(|round| (count + rounds - 1 - round) / rounds).collect()
    }

    /// How many trials follow each round of proposals. Under a budget of calls there are as many as new
    /// instructions, so that the later rounds are reached, and all others follow the last; without one
    /// they are even.
    pub(crate) fn trials(&self, rounds: &[usize]) -> Vec<usize> {
        let (all, count) = (self.num_trials, rounds.len().max(1));
        let budgeted = self.session.ledger.remaining().is_some();
        let mut left = all;
        let mut trials = Vec::new();
        for (round, new) in rounds.iter().enumerate() {
            let even = all * (round + 1) / count - all * round / count;
            let wanted = match (round + 1 == count, budgeted) {
                (true, _) => left,
                (false, true) => (*new).min(even),
                (false, false) => even,
            };
            left -= wanted;
            trials.push(wanted);
        }
        trials
    }

    fn affordable(&self) -> Option<u64> {
        self.session.ledger.remaining().map(|calls| calls / STAGE_SHARE)
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
        ("num_candidates", options.num_candidates.unwrap_or(1)),
        ("minibatch_size", options.minibatch_size.unwrap_or(1)),
        ("minibatch_full_eval_steps", options.minibatch_full_eval_steps.unwrap_or(1)),
        ("parallel_trials", options.parallel_trials),
        ("concurrency", options.concurrency),
        ("proposal_rounds", options.proposal_rounds.unwrap_or(1)),
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

    fn other_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.teacher.other_models().into_iter().chain(self.judge.metric_models()).collect()
    }

    fn max_calls(&self) -> u64 {
        self.teacher.max_calls().saturating_add(self.judge.metric_calls())
    }
}

#[async_trait]
impl Evaluator for Taught<'_> {
    async fn evaluate(&self, example: &Example, prediction: &Prediction) -> anyhow::Result<Score> {
        self.judge.evaluate(example, prediction).await
    }

    async fn evaluate_in(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        self.judge.evaluate_in(context, example, prediction).await
    }

    fn metric_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        self.judge.metric_models()
    }

    fn metric_calls(&self) -> u64 {
        self.judge.metric_calls()
    }
}
