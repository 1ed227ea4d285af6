//! The optimizer and its options.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::program::{Module, Predictor};
use promptopt_run::options::{at_least_one, within};
use promptopt_run::{Auto, Error, Forecast, Halt, Run, RunOptions, Setup, Strategy, strategy_options};
use promptopt_tips::PromptingTips;

use crate::sizes::max_selection;
use crate::{forecast, search};

strategy_options! {
    /// The MIPROv2 optimizer. Every option has a default; see the crate's page for its use.
    #[non_exhaustive]
    pub struct MIPROv2 {
        /// Instructions and demo sets to choose from for every predictor, the original instruction
        /// and the empty set included. Default: 10; under a budget of calls 60, as far as it has room for them.
        pub num_candidates: Option<usize>,
        /// Combinations to try. Default: 20; under a budget of calls 80, as far as it has room for them.
        pub num_trials: Option<usize>,
        /// Try combinations on minibatches and only leaders on the full selection set, of which no more rows are used
        /// than a sixth of the calls pays for, but 30 at least. Without, every trial is a full evaluation of all rows.
        /// Default: true.
        #[builder(default = true)]
        pub minibatch: bool,
        /// Examples of a minibatch. Default: 25; 10 or 15 under a budget of calls.
        pub minibatch_size: Option<usize>,
        /// After how many minibatch trials the leader is evaluated on the full selection set.
        /// Default: 5; under a budget of calls only at the end.
        pub minibatch_full_eval_steps: Option<usize>,
        /// How many trials are chosen and run at once. Part of the algorithm: it does not depend on `concurrency`.
        /// Default: 5.
        #[builder(default = 5)]
        pub parallel_trials: usize,
        /// Softmax temperature of the prompt model, from 0 to 2. Default: 1.0.
        #[builder(default = 1.0)]
        pub temperature: f64,
        /// The most bootstrapped demos in a prompt. Default: 4. With `max_labeled_demos` 0 as well,
        /// instructions alone are optimized.
        #[builder(default = 4)]
        pub max_bootstrapped_demos: usize,
        /// The most labelled demos in a prompt, besides the bootstrapped ones. Default: 4.
        #[builder(default = 4)]
        pub max_labeled_demos: usize,
        /// Sizes the run by itself; then `num_candidates` and `num_trials` have no say. The selection set is at most
        /// 100, 300 or 1,000 examples. Default: none.
        pub auto: Option<Auto>,
        /// The lowest score of a rollout that may become a demo. Default: any above 0.
        pub metric_threshold: Option<f64>,
        /// Describe program and predictors to the prompt model. Default: true.
        #[builder(default = true)]
        pub program_aware: bool,
        /// Describe the data to the prompt model. Default: true.
        #[builder(default = true)]
        pub data_aware: bool,
        /// Give the prompt model a tip with every request. Default: true.
        #[builder(default = true)]
        pub tip_aware: bool,
        /// Show the prompt model demos and examples. Default: true.
        #[builder(default = true)]
        pub few_shot_aware: bool,
        /// In how many rounds instructions are written; later rounds see what was tried with its
        /// scores. Default: 2; under a budget of calls 15.
        pub proposal_rounds: Option<usize>,
        /// A program with the same predictors whose rollouts become the demos. Default: the program
        /// itself.
        #[serde(skip)]
        pub teacher: Option<Arc<dyn Module>>,
        /// Tips to draw from. Default: the library of the tips crate.
        #[serde(skip)]
        pub tips: Option<PromptingTips>,
    }
}

#[async_trait]
impl Strategy for MIPROv2 {
    fn name(&self) -> &str {
        "MIPROv2"
    }

    fn options(&self) -> RunOptions {
        self.run_options()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        search::search(self, run).await
    }

    fn prepare(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
        at_least_one(&[
            ("num_candidates", self.num_candidates.unwrap_or(1)),
            ("minibatch_size", self.minibatch_size.unwrap_or(1)),
            ("minibatch_full_eval_steps", self.minibatch_full_eval_steps.unwrap_or(1)),
            ("parallel_trials", self.parallel_trials),
            ("proposal_rounds", self.proposal_rounds.unwrap_or(1)),
        ])?;
        within("temperature", self.temperature, 0.0, 2.0)?;
        if let Some(threshold) = self.metric_threshold.filter(|threshold| !threshold.is_finite()) {
            let reason = format!("is {threshold}, but must be a finite number");
            return Err(Error::option("metric_threshold", reason));
        }
        self.prepare_teacher(setup)?;
        let bounds = [
            self.auto.map(|auto| (max_selection(auto), "`auto` selects")),
            setup
                .affordable_selection()
                .filter(|_| self.minibatch)
                .map(|most| (most, "under so few calls candidates are selected")),
        ];
        let smallest = bounds.into_iter().flatten().min();
        if let Some((most, why)) = smallest {
            setup.limit_selection(most, why);
        }
        if self.auto.is_none() && self.num_candidates == Some(1) {
            let note = "`num_candidates` is 1, which is the original alone, so nothing else is tried; give 2 or more";
            setup.notes.push(note.to_owned());
        }
        if setup.train.is_empty() {
            setup.notes.push("there are no training examples, so no demos are made".to_owned());
        }
        Ok(())
    }

    fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
        Some(forecast::of(self, run))
    }
}

impl MIPROv2 {
    fn prepare_teacher(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
        let Some(teacher) = &self.teacher else { return Ok(()) };
        let paths = |predictors: Vec<&dyn Predictor>| -> Vec<String> {
            predictors.into_iter().map(|predictor| predictor.path().to_owned()).collect()
        };
        let (student, taught) = (paths(setup.program.predictors()), paths(teacher.predictors()));
        if student != taught {
            let reason =
                format!("has the predictors {taught:?}, but the program has {student:?}; they must agree");
            return Err(Error::option("teacher", reason));
        }
        setup.models.extend(teacher.other_models());
        setup.models.extend(teacher.language_model());
        Ok(())
    }
}
