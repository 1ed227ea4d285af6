//! A strategy: options, and one function over a run.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::Evaluator;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::{Chain, Error, Forecast, Halt, Run, RunOptions, calls_of_a_rollout};

/// A way to look for better prompts. Whoever implements it has an [`Optimizer`](crate::Optimizer).
///
/// All that costs, counts, tells or stops comes with the [`Run`]: the original is evaluated before
/// [`search`](Self::search) begins, the winner is chosen after it, and a run that ends early does so by `?`.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no strategy",
    note = "implement `Strategy` with `#[async_trait]` above the `impl`"
)]
pub trait Strategy: Send + Sync {
    /// Name of the algorithm, such as `MIPROv2`.
    fn name(&self) -> &str;

    /// The options that every run has.
    fn options(&self) -> RunOptions;

    /// Looks for better prompts: enters candidates in the run and has them scored.
    ///
    /// # Errors
    ///
    /// [`Halt`] of anything of the run, handed up with `?`. It ends the run with the best so far.
    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt>;

    /// Checks the strategy's own options, and changes the set-up of a run before the original is evaluated.
    ///
    /// # Errors
    ///
    /// When an option has a value it cannot have.
    fn prepare(&self, _setup: &mut Setup<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// What a run is going to call. `None` where nothing bounds it.
    fn forecast(&self, _run: &Run<'_>) -> Option<Forecast> {
        None
    }

    /// This strategy, then another one in the same run: under one budget, with one board and one store, from the
    /// best prompts of this one.
    fn then(self, next: impl Strategy + 'static) -> Chain
    where
        Self: Sized + 'static,
    {
        Chain::new([Arc::new(self) as Arc<dyn Strategy>, Arc::new(next)])
    }
}

/// The methods of a strategy that stands behind a pointer.
macro_rules! forward_strategy {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: Strategy + ?Sized> Strategy for $pointer<T> {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn options(&self) -> RunOptions {
                (**self).options()
            }

            async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
                (**self).search(run).await
            }

            fn prepare(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
                (**self).prepare(setup)
            }

            fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
                (**self).forecast(run)
            }
        }
    )*};
}

forward_strategy!(Box, Arc);

/// What a run is about to work with, for a strategy to look at and to change.
#[non_exhaustive]
pub struct Setup<'a> {
    /// The program.
    pub program: &'a dyn Evaluator,
    /// The options of the run.
    pub options: &'a RunOptions,
    /// What instructions and demos are made from.
    pub train: Vec<Arc<Example>>,
    /// What candidates are chosen on.
    pub selection: Vec<Arc<Example>>,
    /// Models that the strategy calls besides those of program and options; their prices are checked.
    pub models: Vec<Arc<dyn LanguageModel>>,
    /// What a user should know.
    pub notes: Vec<String>,
    /// Whether the winner is measured once more where the options say nothing else. Default: false.
    pub confirm: bool,
    /// About how many rollouts the strategy is going to make, where it knows. What is held back must be small beside
    /// that.
    pub rollouts: Option<u64>,
}

/// An evaluation of the selection set may take no more than one part in so many of a budget of calls. There are two at
/// least, of the original and of the winner.
const EVALUATION_SHARE: u64 = 6;
/// So many rows are selected on under any budget, where there are as many.
const MIN_SELECTION: usize = 30;

impl Setup<'_> {
    /// The most examples to select on under the budget of calls of a run, if it has one.
    pub fn affordable_selection(&self) -> Option<usize> {
        let rollouts = self.options.max_calls? / calls_of_a_rollout(self.program).low.max(1);
        Some(MIN_SELECTION.max((rollouts / EVALUATION_SHARE) as usize))
    }

    /// Selects on so many examples at most, drawn at random; a note says so, and why.
    pub fn limit_selection(&mut self, most: usize, why: &str) {
        let selection = self.selection.len();
        if most < selection {
            self.notes.push(format!("{why} on {most} of the {selection} selection examples"));
            self.selection.shuffle(&mut ChaCha8Rng::seed_from_u64(self.options.seed));
            self.selection.truncate(most);
        }
    }

    /// Selects on as many examples as the budget of calls of a run affords.
    pub fn select_within_budget(&mut self) {
        if let Some(most) = self.affordable_selection() {
            self.limit_selection(most, "under so few calls candidates are selected");
        }
    }
}
