//! The optimizer and its options.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{
    Budget, Cancellation, CostEstimate, Error, Evaluator, Example, LanguageModel, Module, ModuleExt as _,
    Observer, Optimizer, Outcome, Prices, RolloutStore,
};
use promptopt_proposer::Proposer;
use promptopt_tips::PromptingTips;

use crate::plan::Plan;
use crate::{Auto, estimate, pipeline};

/// The MIPROv2 optimizer. Every option has a default; see the crate's page for its use.
#[derive(Clone, bon::Builder)]
pub struct MIPROv2 {
    /// Instructions and demo sets to choose from for every predictor, the original instruction
    /// and the empty set included. Default: 10; under a budget of calls 20, as far as it has room for them.
    pub(crate) num_candidates: Option<usize>,
    /// Combinations to try. Default: 20; under a budget of calls 30, as far as it has room for them.
    pub(crate) num_trials: Option<usize>,
    /// Try combinations on minibatches and only leaders on the full selection set. Without, every
    /// trial is a full evaluation. Default: true.
    #[builder(default = true)]
    pub(crate) minibatch: bool,
    /// Examples of a minibatch. Default: 25; 10 under a budget of calls that is small against the selection
    /// set.
    pub(crate) minibatch_size: Option<usize>,
    /// After how many minibatch trials the leader is evaluated on the full selection set.
    /// Default: 5; under a budget of calls that is small against the selection set only at the end.
    pub(crate) minibatch_full_eval_steps: Option<usize>,
    /// How many trials are chosen and run at once. Default: 5.
    #[builder(default = 5)]
    pub(crate) parallel_trials: usize,
    /// Softmax temperature of the prompt model, from 0 to 2. Default: 1.0.
    #[builder(default = 1.0)]
    pub(crate) temperature: f64,
    /// Keep a log of all trials in the outcome and tell the observer of them. Default: true.
    #[builder(default = true)]
    pub(crate) track_stats: bool,
    /// The most bootstrapped demos in a prompt. Default: 4. With `max_labeled_demos` 0 as well,
    /// instructions alone are optimized.
    #[builder(default = 4)]
    pub(crate) max_bootstrapped_demos: usize,
    /// The most labelled demos in a prompt, besides the bootstrapped ones. Default: 4.
    #[builder(default = 4)]
    pub(crate) max_labeled_demos: usize,
    /// Sizes the run by itself; then `num_candidates` and `num_trials` have no say.
    pub(crate) auto: Option<Auto>,
    /// Seed of every random choice. Default: 0.
    #[builder(default = 0)]
    pub(crate) seed: u64,
    /// Language-model calls that may be under way at once. Never changes the outcome. Default: 8.
    #[builder(default = 8)]
    pub(crate) concurrency: usize,
    /// The lowest score of a rollout that may become a demo. Default: any above 0.
    pub(crate) metric_threshold: Option<f64>,
    /// The model that writes instructions. Default: the task model.
    #[builder(with = |model: Arc<dyn LanguageModel>| model)]
    pub(crate) prompt_model: Option<Arc<dyn LanguageModel>>,
    /// The model the program runs on. Default: the program's own.
    #[builder(with = |model: Arc<dyn LanguageModel>| model)]
    pub(crate) task_model: Option<Arc<dyn LanguageModel>>,
    /// A program with the same predictors whose rollouts become the demos. Default: the program
    /// itself.
    pub(crate) teacher: Option<Arc<dyn Module>>,
    /// Describe program and predictors to the prompt model. Default: true.
    #[builder(default = true)]
    pub(crate) program_aware: bool,
    /// Describe the data to the prompt model. Default: true.
    #[builder(default = true)]
    pub(crate) data_aware: bool,
    /// Give the prompt model a tip with every request. Default: true.
    #[builder(default = true)]
    pub(crate) tip_aware: bool,
    /// Show the prompt model demos and examples. Default: true.
    #[builder(default = true)]
    pub(crate) few_shot_aware: bool,
    /// In how many rounds instructions are written; later rounds see what was tried with its
    /// scores. Default: 2; under a budget of calls 5.
    pub(crate) proposal_rounds: Option<usize>,
    /// Tips to draw from. Default: the library of the tips crate.
    pub(crate) tips: Option<PromptingTips>,
    /// What writes instructions, instead of the prompt model.
    pub(crate) proposer: Option<Arc<dyn Proposer>>,
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
    /// Where rollouts are kept and found again. Default: in memory, for this run.
    pub(crate) store: Option<Arc<dyn RolloutStore>>,
    /// Who hears of what happens.
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// A flag that ends the run with the best so far.
    #[builder(default)]
    pub(crate) cancellation: Cancellation,
}

impl MIPROv2 {
    /// All limits together.
    pub(crate) fn budget(&self) -> Budget {
        let calls = self.max_calls.map_or_else(Budget::default, Budget::calls);
        calls.tightest(self.budget.unwrap_or_default())
    }
}

impl Default for MIPROv2 {
    fn default() -> Self {
        Self::builder().build()
    }
}

#[async_trait]
impl Optimizer for MIPROv2 {
    fn name(&self) -> &str {
        "MIPROv2"
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
