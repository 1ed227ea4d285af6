//! Makes demos, which are worked examples for a prompt, from runs of a program that calls language models.
//!
//! [`generate_traces`] runs a program over examples and keeps everything that happened, errors too. [`bootstrap`] goes
//! on from there: the steps of runs that pass become demos, one for each predictor and example. It puts them together
//! with labelled examples into demo sets to choose from: none, labelled ones, bootstrapped ones in order, and shuffled
//! ones of varied size (MIPROv2, Opsahl-Ong et al. 2024, section 3; BootstrapFewShot, Khattab et al. 2023). A demo
//! remembers its example, so no example is answered with its own demo in the prompt.
//!
//! This crate is the first of the three stages of the optimizer `miprov2` in [promptopt](https://docs.rs/promptopt),
//! and it works alone: `promptopt-proposer` writes instructions, and `promptopt-evaluator` finds the best combination.
//! The words used here are explained in [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::data::Example;
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::Evaluator;
//! use promptopt_run::{Halt, Run};
//! use promptopt_trace_gen::{BootstrapOptions, DemoSet, bootstrap};
//!
//! /// Demo sets for all predictors of a program with a metric.
//! async fn demo_sets(
//!     program: &dyn Evaluator,
//!     model: Arc<dyn LanguageModel>,
//!     examples: &[Arc<Example>],
//! ) -> Result<Vec<DemoSet>, Halt> {
//!     let mut run = Run::bare(program, model);
//!     let found = bootstrap(&mut run, examples, &BootstrapOptions::default()).await?;
//!     println!("{} runs passed; {} demo sets", found.passed, found.sets.len());
//!     Ok(found.sets)
//! }
//! # use promptopt_core::program::ModuleExt as _;
//! # use promptopt_testkit::{HiddenRules, toy};
//! # let task = HiddenRules::new(12, 1);
//! # let program = toy::answerer().with_metric(toy::exact_answer());
//! # let examples: Vec<_> = task.examples(40).into_iter().map(Arc::new).collect();
//! # let sets = demo_sets(&program, Arc::new(task.model(1)), &examples);
//! # assert!(futures_util::FutureExt::now_or_never(sets).unwrap()?.len() > 3);
//! # Ok::<(), Halt>(())
//! ```
//!
//! There are no cargo features.

mod best;
mod bootstrap;
mod demo_sets;
mod error;
mod generate;
mod varied;

pub use best::best_traces;
pub use bootstrap::{BootstrapOptions, Bootstrapped, bootstrap, bootstrap_with};
pub use demo_sets::{DemoSet, DemoSetKind};
pub use error::Error;
pub use generate::generate_traces;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
