//! Compares prompts of a program that calls language models, and finds the best with few calls.
//!
//! - [`evaluate`] runs a program over a data set and says how it scored, with an interval.
//! - [`race`] evaluates several candidates on the same examples, chunk by chunk, and drops those that fall behind.
//! - [`Search`] looks for the best combination of instruction and demo set, for every predictor
//!   together. A multivariate tree-structured Parzen estimator chooses what to try on minibatches, the leaders are evaluated
//!   on all examples, and hopeless ones are dropped early (MIPROv2, Opsahl-Ong et al. 2024, section 3.3).
//!
//! All of them are functions over a [`Run`](promptopt_run::Run), which holds program, model, examples and budget. They
//! work without an optimizer. This crate is the last of the three stages of the optimizer `miprov2` in
//! [promptopt](https://docs.rs/promptopt): `promptopt-trace-gen` makes demo sets, and `promptopt-proposer` writes
//! instructions. For statistics of scores alone take `promptopt-statistics`. The words used here are explained in
//! [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::data::Example;
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::Evaluator;
//! use promptopt_core::prompt::{Origin, Prompt, PromptCandidate};
//! use promptopt_evaluator::{RaceEnd, RaceOptions, race};
//! use promptopt_run::{Halt, Run};
//!
//! /// Races two instructions for the predictor `answer` of a program with a metric.
//! async fn compare(
//!     program: &dyn Evaluator,
//!     model: Arc<dyn LanguageModel>,
//!     examples: Vec<Arc<Example>>,
//! ) -> Result<(), Halt> {
//!     let mut run = Run::bare(program, model);
//!     run.select_on(examples);
//!
//!     let mut contenders = Vec::new();
//!     for text in ["Answer.", "Answer in a word."] {
//!         let prompts = [("answer", Prompt::new(text))].into_iter().collect();
//!         contenders.push(run.enter(PromptCandidate::new(prompts, Origin::new("written by hand", text))));
//!     }
//!     let raced = race(&mut run, &contenders, &RaceOptions::default()).await?;
//!     assert!(raced.iter().any(|contender| contender.end == RaceEnd::Finished));
//!     Ok(())
//! }
//! # use promptopt_core::program::ModuleExt as _;
//! # use promptopt_testkit::{HiddenRules, toy};
//! # let task = HiddenRules::new(12, 1);
//! # let program = toy::answerer().with_metric(toy::exact_answer());
//! # let examples = task.examples(50).into_iter().map(Arc::new).collect();
//! # futures_util::FutureExt::now_or_never(compare(&program, Arc::new(task.model(1)), examples)).unwrap()?;
//! # Ok::<(), Halt>(())
//! ```
//!
//! There are no cargo features.

mod error;
mod minibatch;
mod play_off;
mod race;
mod search;
mod space;
mod tpe;

pub use error::Error;
pub use minibatch::MinibatchSampler;
pub use play_off::PartialSelection;
pub use promptopt_run::{Evaluation, evaluate};
pub use race::{Contender, RaceEnd, RaceOptions, race, race_into};
pub use search::{Search, SearchOptions};
pub use space::{Choice, PredictorSpace, Space};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
