//! What every run can be told, whatever its strategy. Each option is stated here and nowhere else.

use std::time::Duration;

use promptopt_core::money::Budget;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// Declares the struct of a strategy's options with those of every run behind its own: a builder, a form in files
/// that refuses unknown keys, defaults that stand in one place, and a method `run_options` that
/// [`Strategy::options`](crate::Strategy::options) can return.
///
/// The crate that uses it needs `bon` and `serde`, and a feature `schema` for `schemars`.
///
/// ```
/// promptopt_run::strategy_options! {
///     /// Tries so many things.
///     pub struct Guess {
///         /// How many. Default: 3.
///         #[builder(default = 3)]
///         pub tries: usize,
///     }
/// }
///
/// let guess = Guess::builder().tries(5).seed(7).max_calls(100).build();
/// assert_eq!((guess.tries, guess.run_options().seed), (5, 7));
/// let read: Guess = serde_json::from_str(r#"{"tries": 2, "max_time": "15m"}"#)?;
/// assert_eq!(read.run_options().concurrency, 8);
/// assert!(serde_json::from_str::<Guess>(r#"{"trise": 2}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! strategy_options {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $crate::__options! {
            ($name)
            ($(#[$meta])* #[derive(Clone, ::bon::Builder, ::serde::Serialize, ::serde::Deserialize)]
             #[cfg_attr(feature = "schema", derive(::schemars::JsonSchema))]
             #[serde(default, deny_unknown_fields)] #[non_exhaustive])
            ($($own)*)
        }

        impl Default for $name {
            fn default() -> Self {
                Self::builder().build()
            }
        }
    };
}

/// The options of every run, once, for the two structs that have them.
#[doc(hidden)]
#[macro_export]
macro_rules! __options {
    (($name:ident) ($($meta:tt)*) ($($own:tt)*)) => {
        $($meta)*
        pub struct $name {
            $($own)*
            /// Seed of every random choice. Default: 0.
            #[builder(default = 0)]
            pub seed: u64,
            /// Language-model calls that may be under way at once. Never changes the outcome. Default: 8.
            #[builder(default = 8)]
            pub concurrency: usize,
            /// Errors of program, provider or metric tolerated before the run stops with the best so far. Replies
            /// that cannot be used do not count. Default: 10.
            #[builder(default = 10)]
            pub max_errors: u64,
            /// The most language-model calls to make, of both models together. Never overshot. Default: no limit.
            pub max_calls: Option<u64>,
            /// The most metric calls to make: rollouts that are not known already. Never overshot. Default: no limit.
            pub max_metric_calls: Option<u64>,
            /// The most tokens to spend, read and written, of both models together. Never overshot. Default: no
            /// limit.
            pub max_tokens: Option<u64>,
            /// The most money to spend, in dollars, such as 5 or "$0.25". Needs the price of every model. Never
            /// overshot. Default: no limit.
            #[cfg_attr(feature = "schema", schemars(with = "Option<promptopt_run::schema::Amount>"))]
            pub max_cost: Option<$crate::__private::Money>,
            /// The run ends after so much time; what is under way then is dropped. In files a number of seconds, or a
            /// text such as "90s", "15m" or "1h30m". Default: no limit.
            #[builder(into)]
            #[cfg_attr(feature = "schema", schemars(with = "Option<promptopt_run::schema::Amount>"))]
            pub max_time: Option<$crate::TimeLimit>,
            /// The run ends when the best mean on the selection set is at least this. Default: none.
            pub target_score: Option<f64>,
            /// The run ends after so many steps in a row that did not raise the best mean. A step is an iteration of
            /// GEPA, a turn of COPRO, and what MIPROv2 does between two full evaluations. Default: none.
            pub patience: Option<usize>,
            /// The run ends after its probe for headroom where the best of a few other prompts is expected to gain less
            /// than this, such as 0.05. Default: none.
            pub min_headroom: Option<f64>,
            /// The run ends before the next step when this file exists. Default: none.
            pub stop_file: Option<::std::path::PathBuf>,
            /// Measure the winner once more on training examples that were held back. Default: the strategy's; true
            /// for GEPA, else false.
            pub confirm: Option<bool>,
            /// How much a loss weighs against an equal gain when the winner is chosen. A candidate is installed where
            /// the gain that is to be expected of it on other examples outweighs the loss; else the original stays. At
            /// 1 the expected gain alone decides, at 0 whatever looks better wins. Default: 3.
            #[builder(default = 3.0)]
            pub caution: f64,
            /// The most characters of an instruction. A proposal above it is dropped and asked for again, and none is
            /// installed. Default: no limit but the optimizer's own.
            pub max_length: Option<usize>,
            /// Texts that every new instruction of a predictor contains word by word, where its first one does. One that
            /// a proposal leaves out is put behind it. Default: none.
            #[builder(default)]
            pub keep: Vec<String>,
            /// What 1,000 characters of instructions must gain in score to pay, such as 0.01, when the winner is chosen
            /// and when rules of it are dropped. Default: 0; of two that are even the shorter one is chosen anyway.
            #[builder(default = 0.0)]
            pub length_penalty: f64,
            /// Keep trials and scores of every candidate in the outcome, and tell the observer of trials. Default:
            /// true.
            #[builder(default = true)]
            #[serde(skip)]
            pub track_stats: bool,
            /// Further limits. Where a limit is given in another option as well, the smaller one holds. Default: no
            /// limit.
            #[serde(skip)]
            pub budget: Option<$crate::__private::Budget>,
            /// Rollouts that come after the run and are paid from the same limits, such as those of a sealed test. Of
            /// tokens, money and time the search leaves what they take, at the pace and the consumption seen so far.
            /// Default: 0.
            #[builder(default = 0)]
            #[serde(skip)]
            pub rollouts_after: u64,
            /// What models cost, for those that do not know it themselves or cost something else. Default: what
            /// they know.
            #[serde(skip)]
            pub prices: Option<$crate::__private::Prices>,
            /// The model the program runs on. Default: the program's own.
            #[builder(with = |model: ::std::sync::Arc<dyn $crate::__private::LanguageModel>| model)]
            #[serde(skip)]
            pub task_model: Option<::std::sync::Arc<dyn $crate::__private::LanguageModel>>,
            /// The model that writes instructions. Default: the task model.
            #[builder(with = |model: ::std::sync::Arc<dyn $crate::__private::LanguageModel>| model)]
            #[serde(skip)]
            pub prompt_model: Option<::std::sync::Arc<dyn $crate::__private::LanguageModel>>,
            /// What writes instructions, instead of the prompt model.
            #[serde(skip)]
            pub instruction_writer: Option<::std::sync::Arc<dyn $crate::InstructionWriter>>,
            /// Writes instructions where the prompt model cannot. The prompt model is tried first: where most of what it
            /// writes, on trial or later, cannot serve, this writes on. Without effect where there is an
            /// `instruction_writer`. Default: none, and the prompt model writes whatever it can.
            #[serde(skip)]
            pub fallback_writer: Option<::std::sync::Arc<dyn $crate::InstructionWriter>>,
            /// Examples to select candidates on. Default: three fifths of the training examples, drawn by the seed.
            #[serde(skip)]
            pub valset: Option<Vec<$crate::__private::Example>>,
            /// Where rollouts are kept and found again. Default: in memory, for this run.
            #[serde(skip)]
            pub store: Option<::std::sync::Arc<dyn $crate::RolloutStore>>,
            /// Who hears of what happens.
            #[serde(skip)]
            pub observer: Option<::std::sync::Arc<dyn $crate::Observer>>,
            /// Who makes the rollouts of the program. Default: this process.
            #[serde(skip)]
            pub executor: Option<::std::sync::Arc<dyn $crate::Executor>>,
            /// A flag that ends the run with the best so far.
            #[builder(default)]
            #[serde(skip)]
            pub cancellation: $crate::__private::Cancellation,
            /// The clock of time limits. Default: the system's.
            #[builder(with = |clock: ::std::sync::Arc<dyn $crate::Clock>| clock)]
            #[serde(skip)]
            pub clock: Option<::std::sync::Arc<dyn $crate::Clock>>,
        }

        impl $name {
            /// The options that every run has.
            pub fn run_options(&self) -> $crate::RunOptions {
                $crate::RunOptions::builder()
                    .seed(self.seed)
                    .concurrency(self.concurrency)
                    .max_errors(self.max_errors)
                    .maybe_max_calls(self.max_calls)
                    .maybe_max_metric_calls(self.max_metric_calls)
                    .maybe_max_tokens(self.max_tokens)
                    .maybe_max_cost(self.max_cost)
                    .maybe_max_time(self.max_time)
                    .maybe_target_score(self.target_score)
                    .maybe_patience(self.patience)
                    .maybe_min_headroom(self.min_headroom)
                    .maybe_stop_file(self.stop_file.clone())
                    .maybe_confirm(self.confirm)
                    .caution(self.caution)
                    .maybe_max_length(self.max_length)
                    .keep(self.keep.clone())
                    .length_penalty(self.length_penalty)
                    .track_stats(self.track_stats)
                    .maybe_budget(self.budget)
                    .rollouts_after(self.rollouts_after)
                    .maybe_prices(self.prices.clone())
                    .maybe_task_model(self.task_model.clone())
                    .maybe_prompt_model(self.prompt_model.clone())
                    .maybe_instruction_writer(self.instruction_writer.clone())
                    .maybe_fallback_writer(self.fallback_writer.clone())
                    .maybe_valset(self.valset.clone())
                    .maybe_store(self.store.clone())
                    .maybe_observer(self.observer.clone())
                    .maybe_executor(self.executor.clone())
                    .cancellation(self.cancellation.clone())
                    .maybe_clock(self.clock.clone())
                    .build()
            }

            /// The same with other options of those that every run has.
            #[must_use]
            pub fn with_run_options(mut self, options: $crate::RunOptions) -> Self {
                self.seed = options.seed;
                self.concurrency = options.concurrency;
                self.max_errors = options.max_errors;
                self.max_calls = options.max_calls;
                self.max_metric_calls = options.max_metric_calls;
                self.max_tokens = options.max_tokens;
                self.max_cost = options.max_cost;
                self.max_time = options.max_time;
                self.target_score = options.target_score;
                self.patience = options.patience;
                self.min_headroom = options.min_headroom;
                self.stop_file = options.stop_file;
                self.confirm = options.confirm;
                self.caution = options.caution;
                self.max_length = options.max_length;
                self.keep = options.keep;
                self.length_penalty = options.length_penalty;
                self.track_stats = options.track_stats;
                self.budget = options.budget;
                self.rollouts_after = options.rollouts_after;
                self.prices = options.prices;
                self.task_model = options.task_model;
                self.prompt_model = options.prompt_model;
                self.instruction_writer = options.instruction_writer;
                self.fallback_writer = options.fallback_writer;
                self.valset = options.valset;
                self.store = options.store;
                self.observer = options.observer;
                self.executor = options.executor;
                self.cancellation = options.cancellation;
                self.clock = options.clock;
                self
            }
        }
    };
}

__options! {
    (RunOptions)
    (
        /// What every run can be told. A strategy has these options besides its own; [`strategy_options!`] puts them
        /// there.
        #[derive(Clone, bon::Builder, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
    )
    ()
}

impl Default for RunOptions {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl RunOptions {
    /// All limits together.
    pub fn limits(&self) -> Budget {
        let mut own = Budget::default();
        own.calls = self.max_calls;
        own.rollouts = self.max_metric_calls;
        own.tokens = self.max_tokens;
        own.money = self.max_cost;
        own.wall_time = self.max_time.map(Duration::from);
        own.tightest(self.budget.unwrap_or_default())
    }

    /// Whether something but its size and its budget may end the run.
    pub fn may_end_early(&self) -> bool {
        self.target_score.is_some()
            || self.patience.is_some()
            || self.min_headroom.is_some()
            || self.stop_file.is_some()
    }

    /// Checks the options that every run has.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] names the option that has a value it cannot have.
    pub(crate) fn check(&self) -> Result<(), Error> {
        at_least_one(&[
            ("concurrency", self.concurrency),
            ("patience", self.patience.unwrap_or(1)),
            ("max_length", self.max_length.unwrap_or(1)),
        ])?;
        if self.keep.iter().any(|text| text.trim().is_empty()) {
            return Err(Error::option("keep", "has a text without words; leave it out"));
        }
        within("length_penalty", self.length_penalty, 0.0, f64::MAX)?;
        within("caution", self.caution, 0.0, f64::MAX)?;
        within("min_headroom", self.min_headroom.unwrap_or(0.0), 0.0, f64::MAX)?;
        within("target_score", self.target_score.unwrap_or(0.0), 0.0, f64::MAX)
    }
}

/// Checks that some options are not 0.
///
/// # Errors
///
/// [`Error::Option`] for the first that is.
pub fn at_least_one(options: &[(&'static str, usize)]) -> Result<(), Error> {
    match options.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(Error::option(name, "must be at least 1")),
        None => Ok(()),
    }
}

/// Checks that an option lies within bounds, the ends included.
///
/// # Errors
///
/// [`Error::Option`] when it does not.
pub fn within(option: &'static str, value: f64, low: f64, high: f64) -> Result<(), Error> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let bounds = match high {
        f64::MAX => format!("at least {low}"),
        _ => format!("from {low} to {high}"),
    };
    Err(Error::option(option, format!("is {value}, but must be {bounds}")))
}

/// How long a run may take. In files a number of seconds, or a text such as `90s`, `15m` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit(Duration);

impl From<Duration> for TimeLimit {
    fn from(time: Duration) -> Self {
        Self(time)
    }
}

impl From<TimeLimit> for Duration {
    fn from(limit: TimeLimit) -> Self {
        limit.0
    }
}

impl Serialize for TimeLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_secs_f64().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TimeLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = promptopt_core::money::read_duration(deserializer)?;
        let time = time.filter(|time| !time.is_zero());
        time.map(Self).ok_or_else(|| D::Error::custom("a time limit must be above 0 seconds"))
    }
}

/// How much a run should try, for those who do not want to think of sizes.
///
/// An optimizer matches it to size each of its parts, and no part may be forgotten, so it is exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(description = "How much a run should try, for those who do not want to think of sizes.")
)]
#[serde(rename_all = "lowercase")]
pub enum Auto {
    /// About 6 candidates.
    Light,
    /// About 12 candidates.
    Medium,
    /// About 18 candidates.
    Heavy,
}

impl Auto {
    /// How many candidates that is.
    pub fn candidates(self) -> usize {
        match self {
            Self::Light => 6,
            Self::Medium => 12,
            Self::Heavy => 18,
        }
    }
}
