//! The engine under the optimizers of [promptopt](https://docs.rs/promptopt): what every search for better prompts
//! needs.
//!
//! An optimizer of prompts runs a program that calls language models on many examples, under many prompts, and keeps
//! what scores best. A [`Run`] does all of that but the idea. It evaluates the original first and never ends with
//! anything worse. It keeps a [`Board`] of scores and a [`Ledger`] of what is spent, so that a budget is never
//! overshot. It stores every rollout, so that a killed search can be resumed. It can be cancelled, and it compares the
//! winner with the original. A [`Strategy`] is the idea: options, and one function over a run. Every strategy is an
//! [`Optimizer`].
//!
//! Take this crate to write an optimizer of your own, or to run a program over examples under a budget ([`evaluate`]).
//! Whoever wants to use an optimizer takes the crate `promptopt`. The words used here are explained in
//! [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use promptopt_core::data::Example;
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::Evaluator;
//! use promptopt_core::prompt::{Origin, Prompt, PromptCandidate};
//! use promptopt_run::{Error, Halt, Optimizer as _, Outcome, Run, RunOptions, Strategy, TrialKind};
//!
//! /// An optimizer that tries instructions which somebody wrote down.
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
//!             run.step()?; // Ends here when the run is cancelled or the target is reached.
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
//! /// Installs the best instruction in a program that has the predictor `answer` and a metric.
//! async fn optimize(
//!     program: &mut dyn Evaluator,
//!     model: Arc<dyn LanguageModel>,
//!     examples: Vec<Example>,
//! ) -> Result<Outcome, Error> {
//!     let instructions = vec!["Answer in a word.".to_owned(), "Answer, and give no reason.".to_owned()];
//!     let run = RunOptions::builder().task_model(model).max_calls(500).build();
//!     Listed { instructions, run }.compile(program, examples).await
//! }
//! # fn main() -> Result<(), Error> {
//! #     use promptopt_core::program::ModuleExt as _;
//! #     use promptopt_testkit::{HiddenRules, toy};
//! #     let task = HiddenRules::new(12, 1);
//! #     let mut program = toy::answerer().with_metric(toy::exact_answer());
//! #     let outcome = pollster::block_on(optimize(&mut program, Arc::new(task.model(1)), task.examples(50)))?;
//! #     assert_eq!(outcome.candidates.len(), 3);
//! #     Ok(())
//! # }
//! ```
//!
//! No async runtime is needed: all rollouts of a batch are futures of one task.
//!
//! | feature | adds |
//! |---|---|
//! | `tracing` | `TracingObserver`, which tells a run as spans and events of `tracing`; spans of rollouts and their calls |
//! | `schema` | JSON Schemas of the options |
//!
//! None is on by default.

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
mod executor;
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
pub use executor::Executor;
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
