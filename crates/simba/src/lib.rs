//! SIMBA: an optimizer that learns from the examples on which a program is least sure of itself.
//!
//! You give it a program that calls language models, examples with known answers, and a metric that scores an answer.
//! Each step runs good prompts several times on a minibatch of training examples, at rising temperatures. The examples
//! on which the runs differ most teach most. From such an example the step makes a demo of the best run, or the prompt
//! model compares the best run with the worst and writes a rule, which is appended to the instruction of each
//! predictor. The new prompts are scored on the same minibatch. In the end the winners of the steps race over the
//! selection set. The best is installed, and the original stays where nothing was better.
//!
//! SIMBA stands for stochastic introspective mini-batch ascent, the optimizer of that name in DSPy (Khattab et al.
//! 2023; `dspy/teleprompt/simba.py` is the reference). It is one of the optimizers of
//! [promptopt](https://docs.rs/promptopt), which has them all behind one trait. The words used here are explained in
//! [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::data::{Example, Prediction};
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::{ModuleExt as _, metric_fn};
//! use promptopt_core::signature::Signature;
//! use promptopt_predict::Predict;
//! use promptopt_run::Optimizer as _;
//! use promptopt_simba::SIMBA;
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
//!     let optimizer = SIMBA::builder().max_steps(6).minibatch_size(20).build();
//!     let outcome = optimizer.compile(&mut program, train_examples).await?;
//!     println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! #     assert!(outcome.improved());
//!     Ok(())
//! }
//! # fn main() -> anyhow::Result<()> {
//! #     let task = promptopt_testkit::HiddenRules::new(12, 1);
//! #     pollster::block_on(optimize(Arc::new(task.model(1)), task.examples(100)))
//! # }
//! ```
//!
//! # Where it differs from DSPy's
//!
//! - The rules of a step are written in parallel.
//! - A demo is never shown for the example that it comes from.
//! - The winners are chosen on a selection set, against the original, and not on the training set.
//! - The original has its mean on the selection set where the reference gives it 0.
//!
//! | feature | adds |
//! |---|---|
//! | `schema` | JSON Schemas of the options |
//!
//! None is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod forecast;
mod lesson;
mod simba;

pub use simba::SIMBA;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
