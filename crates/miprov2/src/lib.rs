//! MIPROv2: an optimizer that finds the instruction and the demos of a prompt together.
//!
//! You give it a program that calls language models, examples with known answers, and a metric that scores an answer.
//! It collects demos (worked examples for the prompt) from runs that went well, has a model write instructions, and
//! searches for the combination that scores best, for all predictors of the program at once. The best is installed, and
//! the original stays where nothing was better (Opsahl-Ong et al. 2024, "Optimizing Instructions and Demonstrations for
//! Multi-Stage Language Model Programs").
//!
//! It is the optimizer to begin with, and one of those of [promptopt](https://docs.rs/promptopt), which has them all
//! behind one trait. The words used here are explained in [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use miprov2::data::{Example, Prediction};
//! use miprov2::lm::LanguageModel;
//! use miprov2::signature::Signature;
//! use miprov2::{MIPROv2, ModuleExt as _, Optimizer as _, metric_fn};
//! use promptopt_predict::Predict;
//!
//! /// The model is a client such as `ChatClient` of `promptopt-lm`. Each example has a `question` and an `answer`.
//! async fn optimize(model: Arc<dyn LanguageModel>, train_examples: Vec<Example>) -> anyhow::Result<()> {
//!     // A program with one predictor, and what a good answer is.
//!     let program = Predict::new("answer", Signature::parse("question -> answer")?);
//!     let metric = metric_fn(|example: &Example, prediction: &Prediction| {
//!         example.get("answer") == prediction.get("answer")
//!     });
//!     let mut program = program.with_model(model).with_metric(metric);
//!
//!     // The better prompt is in the program afterwards.
//!     let optimizer = MIPROv2::builder().num_candidates(10).num_trials(20).minibatch_size(25).build();
//!     let outcome = optimizer.compile(&mut program, train_examples).await?;
//!     println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//!     Ok(())
//! }
//! # fn main() -> anyhow::Result<()> {
//! #     let task = promptopt_testkit::HiddenRules::new(12, 1);
//! #     let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! #     runtime.block_on(optimize(Arc::new(task.model(1)), task.examples(60)))
//! # }
//! ```
//!
//! # How it searches
//!
//! It has three stages. Each is a crate of its own, re-exported here, and can be used alone:
//!
//! 1. [`trace_gen`] runs the program on training examples and makes demo sets from the runs that pass.
//! 2. [`proposer`] describes data and program and writes instructions.
//! 3. [`evaluator`] tries combinations on minibatches and evaluates the leaders on the whole selection set.
//!
//! Budgets, resume, cancellation and the choice of the winner come from [`run`]. This crate is the method and nothing
//! else.
//!
//! | feature | adds |
//! |---|---|
//! | `schema` | JSON Schemas of the options |
//!
//! None is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod forecast;
mod options;
mod proposals;
mod search;
mod sizes;
mod space;
mod teacher;

pub use options::MIPROv2;
pub use promptopt_core::program::{Metric, Module, ModuleExt, async_metric_fn, metric_fn, module_fn};
pub use promptopt_core::{self as core, data, lm, money, program, prompt, signature, trace};
pub use promptopt_evaluator as evaluator;
pub use promptopt_proposer as proposer;
pub use promptopt_run::{self as run, Auto, Error, Optimizer, Outcome, Strategy};
pub use promptopt_tips as tips;
pub use promptopt_trace_gen as trace_gen;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
