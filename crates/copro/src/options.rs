//! The optimizer and its options.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{
    Budget, Cancellation, CostEstimate, Error, Evaluator, Example, InstructionWriter, LanguageModel,
    ModuleExt as _, Observer, Optimizer, Outcome, Prices, RolloutStore,
};

use crate::plan::Plan;
use crate::{estimate, pipeline};

/// The COPRO optimizer. Every option has a default; see the crate's page for its use.
#[derive(Clone, bon::Builder)]
pub struct COPRO {
    /// Instructions to evaluate at each depth for every predictor; at depth 0 the present one is one of
    /// them. At least 2. Default: 10.
    #[builder(default = 10)]
    pub(crate) breadth: usize,
    /// How often instructions are written and evaluated for every predictor. At least 1. Default: 3.
    #[builder(default = 3)]
    pub(crate) depth: usize,
    /// Softmax temperature of the prompt model, from 0 to 2. Default: 1.4.
    #[builder(default = 1.4)]
    pub(crate) init_temperature: f64,
    /// Keep trials, scores and the statistics of every depth in the outcome, and tell the observer of
    /// trials. Default: true.
    #[builder(default = true)]
    pub(crate) track_stats: bool,
    /// Show the prompt model runs in which the best attempt so far was wrong. Costs up to 20 rollouts on
    /// training examples at each depth. Default: true.
    #[builder(default = true)]
    pub(crate) show_mistakes: bool,
    /// Drop candidates that fall behind before they are evaluated on the whole selection set. Default:
    /// true.
    #[builder(default = true)]
    pub(crate) racing: bool,
    /// Seed of every random choice. Default: 0.
    #[builder(default = 0)]
    pub(crate) seed: u64,
    /// Language-model calls that may be under way at once. Never changes the outcome. Default: 8.
    #[builder(default = 8)]
    pub(crate) concurrency: usize,
    /// The model that writes instructions. Default: the task model.
    #[builder(with = |model: Arc<dyn LanguageModel>| model)]
    pub(crate) prompt_model: Option<Arc<dyn LanguageModel>>,
    /// The model the program runs on. Default: the program's own.
    #[builder(with = |model: Arc<dyn LanguageModel>| model)]
    pub(crate) task_model: Option<Arc<dyn LanguageModel>>,
    /// What writes instructions, instead of the prompt model.
    pub(crate) instruction_writer: Option<Arc<dyn InstructionWriter>>,
    /// Examples to select candidates on. Default: three fifths of the training examples, drawn by
    /// the seed.
    pub(crate) valset: Option<Vec<Example>>,
    /// How many errors of program, provider or metric are borne; one more ends the run with the
    /// best so far. Replies that cannot be used do not count. Default: 10.
    #[builder(default = 10)]
    pub(crate) max_errors: u64,
    /// The most language-model calls to make, of both models together. Default: no limit.
    pub(crate) max_calls: Option<u64>,
    /// What the run may spend: calls, tokens, money, time. Where a limit is given in another option as
    /// well, the smaller one holds. Default: no limit.
    pub(crate) budget: Option<Budget>,
    /// What models cost, for those that do not know it themselves or cost something else. Default: what
    /// they know.
    pub(crate) prices: Option<Prices>,
    /// The most rollouts of the program to make, each of which asks the metric once. Default: no limit.
    pub(crate) max_metric_calls: Option<u64>,
    /// Where rollouts are kept and found again. Default: in memory, for this run.
    pub(crate) store: Option<Arc<dyn RolloutStore>>,
    /// Who hears of what happens.
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// A flag that ends the run with the best so far.
    #[builder(default)]
    pub(crate) cancellation: Cancellation,
}

impl COPRO {
    /// All limits together.
    pub(crate) fn budget(&self) -> Budget {
        let calls = self.max_calls.map_or_else(Budget::default, Budget::calls);
        calls.tightest(self.budget.unwrap_or_default())
    }
}

impl Default for COPRO {
    fn default() -> Self {
        Self::builder().build()
    }
}

#[async_trait]
impl Optimizer for COPRO {
    fn name(&self) -> &str {
        "COPRO"
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
        Ok(Some(estimate::of(&plan, program)))
    }
}
