//! The run engine of promptopt: everything that costs, counts, tells or stops.
//!
//! A [`Run`] holds a program, its data, a [`Board`] of what is known, a [`Ledger`] of what is spent, and what is told
//! on the way. A [`Strategy`] is options and one function over a run; every strategy is an [`Optimizer`]. Baseline,
//! never-worse, budgets, resume, cancellation, trials, comparison, notes, confirmation and outcome come with the run.
//!
//! ```
//! use async_trait::async_trait;
//! use promptopt_core::prompt::{Origin, Prompt, PromptCandidate};
//! use promptopt_run::{Halt, Optimizer as _, Run, RunOptions, Strategy, TrialKind};
//! # use promptopt_core::program::ModuleExt as _;
//! # use promptopt_testkit::{HiddenRules, toy};
//!
//! /// Tries instructions that somebody wrote down.
//! struct Listed {
//!     instructions: Vec<String>,
//!     run: RunOptions,
//! }
//!
//! #[async_trait]
//! impl Strategy for Listed {
//!     fn name(&self) -> &str {
//!         "listed"
//!     }
//!
//!     fn options(&self) -> RunOptions {
//!         self.run.clone()
//!     }
//!
//!     async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
//!         for instruction in &self.instructions {
//!             run.step()?;
//!             let mut prompts = run.base().prompts;
//!             prompts.insert("answer", Prompt::new(instruction));
//!             let candidate = run.enter(PromptCandidate::new(prompts, Origin::new("listed", instruction)));
//!             let everything = run.board().open(candidate);
//!             run.try_out(TrialKind::FULL, &[(candidate, everything)]).await?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # let task = HiddenRules::new(12, 1);
//! # let examples = task.examples(50);
//! # let mut program = toy::answerer().with_metric(toy::exact_answer());
//! let run = RunOptions::builder().task_model(std::sync::Arc::new(task.model(1))).target_score(0.9).build();
//! let optimizer = Listed { instructions: vec!["Answer in a word.".to_owned()], run };
//! let outcome = pollster::block_on(optimizer.compile(&mut program, examples))?;
//! assert_eq!(outcome.candidates.len(), 2);
//! # Ok::<(), promptopt_run::Error>(())
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `tracing` | `TracingObserver`, which tells a run as spans and events of `tracing`; spans of rollouts and their calls |
//! | `schema` | JSON Schemas of the options |

#![cfg_attr(docsrs, feature(doc_cfg))]

// Names that the options' macro writes into attributes, where `$crate` is not known.
#[cfg(feature = "schema")]
extern crate self as promptopt_run;

mod board;
mod bounds;
mod chain;
mod clock;
mod division;
mod error;
mod evaluate;
mod evidence;
mod forecast;
mod format;
mod halt;
mod headroom;
mod instruction;
mod layer;
mod ledger;
mod memory;
mod observer;
mod optimizer;
pub mod options;
mod outcome;
mod plain_request;
mod probe;
pub mod proposal;
mod records;
mod refusals;
mod reserve;
mod rollout;
mod rollout_cost;
mod rules;
mod run;
#[cfg(feature = "schema")]
pub mod schema;
mod store;
mod strategy;
#[cfg(feature = "tracing")]
mod tracing_observer;
mod turns;
mod writer;

pub use board::Board;
pub use bounds::Bounds;
pub use chain::Chain;
pub use clock::{Clock, SystemClock};
pub use error::Error;
pub use evaluate::{Evaluation, evaluate};
pub use evidence::Evidence;
pub use forecast::{Between, CallSize, Figures, Forecast, ModelRole, StageForecast, calls_of_a_rollout};
pub use format::unfit_formats;
pub use halt::Halt;
pub use headroom::{HeadroomFinding, HeadroomKind, ProbedPrompt};
pub use instruction::{InstructionRequest, InstructionWriter};
pub use layer::{DEFAULT_MAX_REASONING_TOKENS, DEFAULT_MAX_TOKENS, added_max_tokens, most_prompt_tokens};
pub use ledger::Ledger;
pub use memory::MemoryStore;
pub use observer::{Event, NoObserver, Observer};
pub use optimizer::Optimizer;
pub use options::{Auto, RunOptions, TimeLimit};
pub use outcome::{
    CandidateScores, Confirmation, FailureReason, Outcome, Spending, StopReason, Trial, TrialKind,
};
pub use probe::{FirstRequest, first_request};
pub use promptopt_statistics::{Comparison, Estimate, Headroom};
pub use rollout::{RolloutJob, RolloutRunner, RolloutTotals, run_once};
pub use rollout_cost::RolloutCost;
pub use rules::{RuleWorth, RulesFinding};
pub use run::Run;
pub use store::{RolloutKey, RolloutStore};
pub use strategy::{Setup, Strategy};
#[cfg(feature = "tracing")]
pub use tracing_observer::TracingObserver;
pub use writer::{Assignment, Brief, Written};

/// What [`strategy_options!`] names.
#[doc(hidden)]
pub mod __private {
    pub use promptopt_core::data::Example;
    pub use promptopt_core::lm::LanguageModel;
    pub use promptopt_core::money::{Budget, Money, Prices};
    pub use promptopt_core::program::Cancellation;
}

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
