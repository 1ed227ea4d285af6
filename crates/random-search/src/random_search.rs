//! The strategy and its options.

use async_trait::async_trait;
use promptopt_core::prompt::{Origin, PromptCandidate};
use promptopt_evaluator::{RaceOptions, race};
use promptopt_run::{Forecast, Halt, Run, RunOptions, Strategy, strategy_options};
use promptopt_trace_gen::{BootstrapOptions, bootstrap};

use crate::forecast;

strategy_options! {
    /// Random search over demo sets. Every option has a default; see the crate's page for its use.
    #[non_exhaustive]
    pub struct RandomSearch {
        /// Demo sets to try. Default: 16.
        #[builder(default = 16)]
        pub num_sets: usize,
        /// The most bootstrapped demos in a prompt. Default: 4.
        #[builder(default = 4)]
        pub max_bootstrapped_demos: usize,
        /// The most labelled demos in a prompt, besides the bootstrapped ones. Default: 16.
        #[builder(default = 16)]
        pub max_labeled_demos: usize,
        /// The lowest score of a rollout that may become a demo. Default: any above 0.
        pub metric_threshold: Option<f64>,
    }
}

#[async_trait]
impl Strategy for RandomSearch {
    fn name(&self) -> &str {
        "random search"
    }

    fn options(&self) -> RunOptions {
        self.run_options()
    }

    fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
        Some(forecast::of(self, &self.sizes(run), run))
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        let (train, base) = (run.train().to_vec(), run.base().prompts);
        let sizes = self.sizes(run);
        let found = bootstrap(run, &train, &sizes).await?;
        loop {
            let fitting = run.most_demos();
            let mut all = Vec::new();
            for set in &found.sets {
                let origin = Origin::new("demo set", format!("demo set {}", all.len()));
                all.push(run.enter(PromptCandidate::new(set.put_into(&base), origin)));
            }
            run.stage("race", format!("{} demo sets", all.len()));
            race(run, &all, &RaceOptions::default()).await?;
            // Sets that turned out not to fit the context window are tried again with fewer demos.
            if run.most_demos() == fitting {
                return Ok(());
            }
        }
    }
}

impl RandomSearch {
    fn sizes(&self, run: &Run<'_>) -> BootstrapOptions {
        BootstrapOptions::default()
            .with_num_sets(self.num_sets)
            .with_max_bootstrapped_demos(self.max_bootstrapped_demos)
            .with_max_labeled_demos(self.max_labeled_demos)
            .with_metric_threshold(self.metric_threshold)
            .with_max_rollouts(run.spare(run.board().examples().len()).map(|rollouts| rollouts as usize / 4))
            .with_seed(run.options().seed)
    }
}
