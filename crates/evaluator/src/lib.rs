//! Stage 3: compare candidates honestly, and search.
//!
//! - [`evaluate`] runs a program over a data set and says how it scored, with an interval.
//! - [`race`] evaluates candidates on the same examples in chunks and drops those that fall behind.
//! - [`Search`] looks for the best combination of instruction and demo set for every predictor
//!   together: minibatches chosen by a multivariate tree-structured Parzen estimator, full
//!   evaluations of the leaders, and hopeless ones dropped early (MIPROv2, Opsahl-Ong et al. 2024,
//!   section 3.3).
//!
//! All of them are functions over a [`Run`](promptopt_run::Run), which a line makes; how sure scores are is for
//! `promptopt-statistics` to say.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::program::ModuleExt as _;
//! use promptopt_core::prompt::{Origin, Prompt, PromptCandidate};
//! use promptopt_evaluator::{RaceEnd, RaceOptions, race};
//! use promptopt_run::Run;
//! use promptopt_testkit::{HiddenRules, toy};
//! # use futures_util::FutureExt as _;
//! # futures_util::FutureExt::now_or_never(async {
//!
//! let task = HiddenRules::new(12, 1);
//! let program = toy::answerer().with_metric(toy::exact_answer());
//! let mut run = Run::bare(&program, Arc::new(task.model(1)));
//! run.select_on(task.examples(50).into_iter().map(Arc::new).collect());
//! let contenders: Vec<usize> = ["Answer.", "Answer in a word."]
//!     .into_iter()
//!     .map(|text| {
//!         let prompts = [("answer", Prompt::new(text))].into_iter().collect();
//!         run.enter(PromptCandidate::new(prompts, Origin::new("example", text)))
//!     })
//!     .collect();
//! let raced = race(&mut run, &contenders, &RaceOptions::default()).await?;
//! assert!(raced.iter().any(|contender| contender.end == RaceEnd::Finished));
//! # Ok::<(), promptopt_run::Halt>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! It knows nothing of how traces and instructions are made.

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
