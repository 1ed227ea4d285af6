//! The optimizer and its options.

use async_trait::async_trait;
use promptopt_run::options::{at_least_one, within};
use promptopt_run::{Error, Forecast, Halt, Run, RunOptions, Setup, Strategy, strategy_options};

use crate::{forecast, search};

strategy_options! {
    /// The COPRO optimizer. Every option has a default; see the crate's page for its use.
    #[non_exhaustive]
    pub struct COPRO {
        /// Instructions to evaluate at each depth for every predictor or pair of predictors; at depth 0 the present one is one of
        /// them. At least 2. Default: 10; under a small budget of calls 8.
        pub breadth: Option<usize>,
        /// How often instructions are written and evaluated for every predictor or pair of predictors. At least 1. Default: 3; under
        /// a small budget of calls 5.
        pub depth: Option<usize>,
        /// Softmax temperature of the prompt model, from 0 to 2. Default: 1.4.
        #[builder(default = 1.4)]
        pub init_temperature: f64,
        /// Show the prompt model runs in which the best attempt so far was wrong. Costs up to 20 rollouts on
        /// training examples at each depth. Default: true.
        #[builder(default = true)]
        pub show_mistakes: bool,
        /// Drop candidates that fall behind before they are evaluated on the whole selection set. Default:
        /// true.
        #[builder(default = true)]
        pub racing: bool,
    }
}

#[async_trait]
impl Strategy for COPRO {
    fn name(&self) -> &str {
        "COPRO"
    }

    fn options(&self) -> RunOptions {
        self.run_options()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        search::search(self, run).await
    }

    fn prepare(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
        if self.breadth.is_some_and(|breadth| breadth < 2) {
            let reason = "must be at least 2, because the present instruction is one";
            return Err(Error::option("breadth", reason));
        }
        at_least_one(&[("depth", self.depth.unwrap_or(1))])?;
        if self.racing {
            setup.select_within_budget();
        }
        within("init_temperature", self.init_temperature, 0.0, 2.0)?;
        if self.show_mistakes && setup.train.is_empty() {
            setup.notes.push("there are no training examples left, so no mistakes are shown".to_owned());
        }
        Ok(())
    }

    fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
        Some(forecast::of(self, run))
    }
}
