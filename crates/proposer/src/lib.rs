//! Stage 2: describe data, program and predictors, and write instructions.
//!
//! A [`Proposer`] first studies a task (each description once, not once per candidate), then
//! writes instructions for every predictor. [`ModelProposer`] asks a prompt model (grounded
//! proposal, MIPROv2, Opsahl-Ong et al. 2024, section 3.1): each instruction from the
//! descriptions, a demo set, the basic instruction, what was tried with its scores, and a tip. Its
//! proposals are checked; what is empty, runaway, an echo of the request, in another script or
//! unrelated to the task is dropped and asked for again. [`TemplateProposer`] composes
//! instructions from signature, data and tips without any model.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::{Example, Signature};
//! use promptopt_proposer::{ProgramInfo, Proposer, Task, TemplateProposer};
//! # use futures_util::FutureExt as _;
//! # futures_util::FutureExt::now_or_never(async {
//!
//! let signature = Signature::parse("ticket -> department: enum[billing, sales]")?;
//! let program = ProgramInfo::single("route", signature);
//! let examples = [Example::new([("ticket", "Where is my invoice?"), ("department", "billing")], ["ticket"])];
//! let task = Task::new(program, examples.into_iter().map(Arc::new).collect());
//!
//! let proposer = TemplateProposer::default();
//! let study = proposer.study(&task).await?;
//! let written = proposer.propose(&task, &study, 3).await?;
//! assert_eq!(written.of("route").len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! The prompts are files in the crate's `prompts` folder. The crate knows nothing of search or
//! evaluation.

mod check;
mod error;
mod facts;
mod model;
mod render;
mod studies;
mod task;
mod template;

pub use check::{Checker, Flaw};
pub use error::Error;
pub use facts::{DataFacts, OutputFacts};
pub use model::{ModelProposer, ModelProposerOptions};
pub use task::{
    Attempt, PredictorInfo, ProgramInfo, Proposal, ProposalSource, Proposals, Proposer, Study, Task,
};
pub use template::TemplateProposer;
