//! The optimizer and its options.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use promptopt_core::{
    Budget, Cancellation, CostEstimate, Error, Evaluator, Example, InstructionWriter, LanguageModel,
    ModuleExt as _, Observer, Optimizer, Outcome, Prices, RolloutStore, check_program,
};
use promptopt_evaluator::session::{Division, Session, check_budget, divide};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::{Auto, CandidateSelector, ComponentSelector, FrontierType, estimate, pipeline};

/// Tells how much time has passed since some moment. Injected, so that tests need not wait.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The GEPA optimizer. Every option has a default; see the crate's page for its use.
#[derive(Clone, bon::Builder)]
pub struct GEPA {
    /// Sizes the run by itself. Default: light, unless a budget is given (calls, metric calls, tokens,
    /// money or time).
    pub(crate) auto: Option<Auto>,
    /// The most metric calls to make: rollouts that are not known already. Never overshot.
    pub(crate) max_metric_calls: Option<u64>,
    /// The most language-model calls to make, of both models together. Never overshot.
    pub(crate) max_calls: Option<u64>,
    /// What the run may spend: calls, tokens, money, time. Where a limit is given in another option as
    /// well, the smaller one holds. Default: no limit.
    pub(crate) budget: Option<Budget>,
    /// What models cost, for those that do not know it themselves or cost something else. Default: what
    /// they know.
    pub(crate) prices: Option<Prices>,
    /// The most tokens to spend, read and written, of both models together. Never overshot.
    pub(crate) max_tokens: Option<u64>,
    /// The run ends after so much time; what is under way then is dropped.
    pub(crate) max_time: Option<Duration>,
    /// The run ends when the best mean on the selection set is at least this.
    pub(crate) target_score: Option<f64>,
    /// The run ends after so many steps in a row that did not raise the best mean.
    pub(crate) patience: Option<usize>,
    /// The run ends before the next step when this file exists.
    pub(crate) stop_file: Option<PathBuf>,
    /// A flag that ends the run at once, with the best so far.
    #[builder(default)]
    pub(crate) cancellation: Cancellation,

    /// Training examples of a step's minibatch. Default: 3.
    #[builder(default = 3)]
    pub(crate) minibatch_size: usize,
    /// Training examples up to which a comparison of child and parent may be extended before the
    /// selection set. Default: 12.
    #[builder(default = 12)]
    pub(crate) max_gate_examples: usize,
    /// Of children that are no better than their parent, at most this share is evaluated on the
    /// whole selection set, from above 0 to 1 (no gate). Default: 0.05.
    #[builder(default = 0.05)]
    pub(crate) gate_level: f64,
    /// In how many portions the selection set is run, with a look at the evidence after each.
    /// Default: 10.
    #[builder(default = 10)]
    pub(crate) selection_portions: usize,
    /// The most records shown to the reflection model in one request: the minibatch, then other
    /// runs of the parent. A parent is run on so many training examples before its first
    /// reflection, as far as that is a small part of the budget; they serve the comparison with all
    /// of its children, too. Default: 30.
    #[builder(default = 30)]
    pub(crate) reflection_examples: usize,
    /// The score from which on a run has nothing to learn from. Default: 1; none where the metric gives
    /// the original more than 1 anywhere.
    pub(crate) perfect_score: Option<f64>,
    /// At what candidates may be best. Default: every example.
    #[builder(default)]
    pub(crate) frontier: FrontierType,
    /// How parents are drawn. Default: from the Pareto frontier.
    #[builder(default)]
    pub(crate) candidate_selector: CandidateSelector,
    /// Which components of a parent get a new instruction. Default: one after the other.
    #[builder(default)]
    pub(crate) component_selector: ComponentSelector,
    /// Paths of the only components that may change. Default: all.
    pub(crate) components: Option<Vec<String>>,
    /// Merge lineages. Default: true; without effect on programs of one predictor.
    #[builder(default = true)]
    pub(crate) use_merge: bool,
    /// The most merges to try. Default: 5.
    #[builder(default = 5)]
    pub(crate) max_merge_invocations: usize,
    /// How many proposals are under way at once. Part of the algorithm: they are drawn from the
    /// same state and committed in their order. Default: 1.
    #[builder(default = 1)]
    pub(crate) parallel_proposals: usize,
    /// Measure the winner once more on training examples that were held back. Default: true.
    #[builder(default = true)]
    pub(crate) confirm: bool,

    /// Softmax temperature of the reflection model, from 0 to 2. Default: 1.0.
    #[builder(default = 1.0)]
    pub(crate) temperature: f64,
    /// The model that reflects. Default: the task model.
    #[builder(with = |model: Arc<dyn LanguageModel>| model)]
    pub(crate) prompt_model: Option<Arc<dyn LanguageModel>>,
    /// The model the program runs on. Default: the program's own.
    #[builder(with = |model: Arc<dyn LanguageModel>| model)]
    pub(crate) task_model: Option<Arc<dyn LanguageModel>>,
    /// What writes instructions, instead of the reflection model.
    pub(crate) instruction_writer: Option<Arc<dyn InstructionWriter>>,
    /// Examples to select candidates on. Default: three fifths of the training examples, drawn by
    /// the seed.
    pub(crate) valset: Option<Vec<Example>>,
    /// Keep trials and scores of every candidate in the outcome. Default: true.
    #[builder(default = true)]
    pub(crate) track_stats: bool,
    /// Seed of every random choice. Default: 0.
    #[builder(default = 0)]
    pub(crate) seed: u64,
    /// Language-model calls that may be under way at once. Never changes the outcome. Default: 8.
    #[builder(default = 8)]
    pub(crate) concurrency: usize,
    /// How many errors of program, provider or metric are borne; one more ends the run with the
    /// best so far. Replies that cannot be used do not count. Default: 10.
    #[builder(default = 10)]
    pub(crate) max_errors: u64,
    /// Where rollouts are kept and found again. Default: in memory, for this run.
    pub(crate) store: Option<Arc<dyn RolloutStore>>,
    /// Who hears of what happens.
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// The clock of `max_time`. Default: the system's.
    #[builder(with = |clock: Clock| clock)]
    pub(crate) clock: Option<Clock>,
}

impl Default for GEPA {
    fn default() -> Self {
        Self::builder().build()
    }
}

#[async_trait]
impl Optimizer for GEPA {
    fn name(&self) -> &str {
        "GEPA"
    }

    async fn compile(&self, program: &mut dyn Evaluator, trainset: Vec<Example>) -> Result<Outcome, Error> {
        let outcome = pipeline::run(&Plan::new(self, &*program, trainset)?, &*program).await?;
        if let Some(winner) = outcome.winner().filter(|_| outcome.improved()) {
            program.install(&winner.prompts)?;
        }
        Ok(outcome)
    }

    fn estimate(&self, program: &dyn Evaluator, trainset: &[Example]) -> Result<Option<CostEstimate>, Error> {
        let plan = Plan::new(self, program, trainset.to_vec())?;
        Ok(estimate::of(&plan, program))
    }
}

/// Of the training examples, this part is held back for the winner's confirmation,
const HELD_BACK: usize = 5;
/// at most so many,
const MOST_HELD_BACK: usize = 50;
/// and none when there would be fewer than these.
const FEWEST_HELD_BACK: usize = 5;

/// Options checked, data divided, models chosen.
pub(crate) struct Plan<'a> {
    pub(crate) options: &'a GEPA,
    pub(crate) session: Session,
    pub(crate) train: Vec<Arc<Example>>,
    pub(crate) held_back: Vec<Arc<Example>>,
    pub(crate) selection: Vec<Arc<Example>>,
    pub(crate) components: Vec<String>,
    pub(crate) max_metric_calls: Option<u64>,
}

impl<'a> Plan<'a> {
    fn new(options: &'a GEPA, program: &dyn Evaluator, trainset: Vec<Example>) -> Result<Self, Error> {
        check_program(program)?;
        options.check()?;
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
        let clock = options.clock.clone().map(|clock| Arc::new(move || clock()) as _);
        session.limit(program, budget, options.prices.as_ref(), clock, &[])?;
        session.concurrency = options.concurrency;
        session.max_errors = Some(options.max_errors);
        session.cancellation = options.cancellation.clone();

        let Division { mut train, selection } = divide(trainset, options.valset.as_deref(), options.seed)?;
        check_budget("max_calls", budget.calls, selection.len())?;
        check_budget("max_metric_calls", options.max_metric_calls, selection.len())?;
        let unlimited = options.max_metric_calls.is_none() && budget == Budget::default();
        let auto = options.auto.or(unlimited.then_some(Auto::Light));
        let max_metric_calls =
            options.max_metric_calls.or(auto.map(|auto| auto.max_metric_calls(selection.len())));

        let mut held_back = Vec::new();
        let count = (train.len() / HELD_BACK).min(MOST_HELD_BACK);
        // What it costs must be small against the run.
        let affordable = |limit: Option<u64>| limit.is_none_or(|limit| limit >= 20 * count as u64);
        if options.confirm
            && count >= FEWEST_HELD_BACK
            && affordable(max_metric_calls)
            && affordable(budget.calls)
        {
            train.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed ^ 0xC0F1));
            held_back = train.split_off(train.len() - count);
        }
        Ok(Self {
            components: components(options, program)?,
            options,
            session,
            train,
            held_back,
            selection,
            max_metric_calls,
        })
    }

    /// How many rollouts must be left for a step with so many proposals: parent and child on the
    /// minibatch, and one on the whole selection set.
    pub(crate) fn rollouts_of_a_step(&self, proposals: usize) -> u64 {
        let gate = 2 * self.options.minibatch_size * proposals;
        (gate + self.selection.len()) as u64
    }

    /// Rollouts kept back for the confirmation: original and winner on the examples held back.
    pub(crate) fn rollouts_of_the_confirmation(&self) -> u64 {
        2 * self.held_back.len() as u64
    }
}

fn components(options: &GEPA, program: &dyn Evaluator) -> Result<Vec<String>, Error> {
    let paths: Vec<String> = program.predictors().iter().map(|one| one.path().to_owned()).collect();
    let Some(wanted) = &options.components else { return Ok(paths) };
    if let Some(unknown) = wanted.iter().find(|path| !paths.contains(path)) {
        let reason = format!("there is no component `{unknown}`; the program has {}", paths.join(", "));
        return Err(Error::option("components", reason));
    }
    if wanted.is_empty() {
        return Err(Error::option(
            "components",
            "is empty, so nothing may change; name one, or leave it out",
        ));
    }
    Ok(paths.into_iter().filter(|path| wanted.contains(path)).collect())
}

impl GEPA {
    /// All limits together.
    pub(crate) fn budget(&self) -> Budget {
        let own = Budget {
            calls: self.max_calls,
            tokens: self.max_tokens,
            wall_time: self.max_time,
            ..Budget::default()
        };
        own.tightest(self.budget.unwrap_or_default())
    }

    /// Whether something but its size may end the run.
    pub(crate) fn may_end_early(&self) -> bool {
        self.has_other_stop() || self.budget() != Budget::default()
    }

    fn has_other_stop(&self) -> bool {
        self.target_score.is_some() || self.patience.is_some() || self.stop_file.is_some()
    }

    fn check(&self) -> Result<(), Error> {
        let at_least_one = [
            ("minibatch_size", self.minibatch_size),
            ("max_gate_examples", self.max_gate_examples),
            ("selection_portions", self.selection_portions),
            ("reflection_examples", self.reflection_examples),
            ("parallel_proposals", self.parallel_proposals),
            ("concurrency", self.concurrency),
            ("patience", self.patience.unwrap_or(1)),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(Error::option(name, "must be at least 1"));
        }
        let within = |name, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::option(name, format!("is {value}, but must be from {low} to {high}")))
        };
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("gate_level", self.gate_level, 1e-6, 1.0)?;
        within("perfect_score", self.perfect_score.unwrap_or(1.0), 0.0, f64::MAX)?;
        within("target_score", self.target_score.unwrap_or(0.0), 0.0, f64::MAX)?;
        if let CandidateSelector::EpsilonGreedy(epsilon) = self.candidate_selector {
            within("candidate_selector", epsilon, 0.0, 1.0)?;
        }
        if self.candidate_selector == CandidateSelector::TopKPareto(0) {
            return Err(Error::option("candidate_selector", "must leave at least 1 candidate to draw from"));
        }
        if self.auto.is_some() && self.max_metric_calls.is_some() {
            return Err(Error::option("auto", "sets `max_metric_calls`; give one of the two"));
        }
        Ok(())
    }
}
