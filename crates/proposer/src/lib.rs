//! Stage 2: describe data, program and predictors, and write instructions.
//!
//! A [`ModelProposer`] first studies a task (each description once, not once per candidate), then asks the prompt
//! model for instructions for every predictor (grounded proposal, MIPROv2, Opsahl-Ong et al. 2024, section 3.1):
//! each from the descriptions, a demo set, the basic instruction, what was tried with its scores, and a tip. What cannot
//! serve ([`Judge`](promptopt_run::proposal::Judge)) is dropped and asked for again. [`TemplateProposer`] composes instructions from signature, data and tips without
//! any model; it is an [`InstructionWriter`](promptopt_run::InstructionWriter), as your own may be.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::program::ModuleExt as _;
//! use promptopt_proposer::{ModelProposer, ProgramInfo, Task};
//! use promptopt_run::Run;
//! use promptopt_testkit::{HiddenRules, toy};
//! # use futures_util::FutureExt as _;
//! # futures_util::FutureExt::now_or_never(async {
//!
//! let rules = HiddenRules::new(12, 1);
//! let program = toy::answerer().with_metric(toy::exact_answer());
//! let mut run = Run::bare(&program, Arc::new(rules.model(1)));
//! let task = Task::new(ProgramInfo::of(&program), rules.examples(40).into_iter().map(Arc::new).collect());
//!
//! let proposer = ModelProposer::default();
//! let study = proposer.study(&mut run, &task).await?;
//! let written = proposer.propose(&mut run, &task, &study, 3).await?;
//! assert_eq!(written["answer"].len(), 3);
//! # Ok::<(), promptopt_run::Halt>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! The prompts are files in the crate's `prompts` folder. The crate knows nothing of search or
//! evaluation.

mod error;
mod facts;
mod model;
mod render;
mod studies;
mod task;
mod template;

pub use error::Error;
pub use facts::{DataFacts, OutputFacts};
pub use model::{ModelProposer, ModelProposerOptions};
pub use task::{Attempt, PredictorInfo, ProgramInfo, Study, Task};
pub use template::TemplateProposer;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
