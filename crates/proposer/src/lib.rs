//! Writes instructions for a program that calls language models: by a model that has studied the task, or from
//! templates.
//!
//! A [`ModelProposer`] first studies a task: a model describes data, program and predictors, once. Then it asks the
//! model for instructions for every predictor (grounded proposal, MIPROv2, Opsahl-Ong et al. 2024, section 3.1). A
//! request holds the descriptions, a demo set, the present instruction, what was tried with its scores, and a tip. A
//! proposal that cannot serve ([`Judge`](promptopt_run::proposal::Judge)) is dropped and asked for again. A
//! [`TemplateProposer`] needs no model: it composes instructions from signature, data and tips. It is an
//! [`InstructionWriter`](promptopt_run::InstructionWriter), which every optimizer takes, as is a writer of your own.
//!
//! This crate is the second of the three stages of the optimizer `miprov2` in [promptopt](https://docs.rs/promptopt),
//! and it works alone: `promptopt-trace-gen` makes demo sets, and `promptopt-evaluator` finds the best combination. The
//! words used here are explained in [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::data::Example;
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::Evaluator;
//! use promptopt_proposer::{ModelProposer, ProgramInfo, Task};
//! use promptopt_run::{Halt, Run};
//!
//! /// Three instructions for the predictor `answer`, written by a model.
//! async fn instructions(
//!     program: &dyn Evaluator,
//!     model: Arc<dyn LanguageModel>,
//!     examples: Vec<Arc<Example>>,
//! ) -> Result<Vec<String>, Halt> {
//!     let mut run = Run::bare(program, model);
//!     let task = Task::new(ProgramInfo::of(program), examples);
//!
//!     let proposer = ModelProposer::default();
//!     let study = proposer.study(&mut run, &task).await?; // once for a task
//!     let written = proposer.propose(&mut run, &task, &study, 3).await?;
//!     Ok(written.get("answer").cloned().unwrap_or_default())
//! }
//! # use promptopt_core::program::ModuleExt as _;
//! # use promptopt_testkit::{HiddenRules, toy};
//! # let rules = HiddenRules::new(12, 1);
//! # let program = toy::answerer().with_metric(toy::exact_answer());
//! # let examples = rules.examples(40).into_iter().map(Arc::new).collect();
//! # let written = instructions(&program, Arc::new(rules.model(1)), examples);
//! # assert_eq!(futures_util::FutureExt::now_or_never(written).unwrap()?.len(), 3);
//! # Ok::<(), Halt>(())
//! ```
//!
//! The requests to the model are files in the crate's `prompts` folder. The crate neither searches nor evaluates.
//!
//! There are no cargo features.

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
