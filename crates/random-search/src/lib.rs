//! Random search over demo sets: the plainest optimizer that works, and the one to beat.
//!
//! You give it a program that calls language models, examples with known answers, and a metric that scores an answer.
//! The program runs on the training examples, and the steps of runs that pass become demos: worked examples for the
//! prompt. Demo sets are drawn from them at random, and all sets race over the selection set. The best set is
//! installed, and the original prompt stays where nothing was better. Instructions stay as they are, so no model has to
//! write any (BootstrapFewShotWithRandomSearch, Khattab et al. 2023, "DSPy: Compiling Declarative Language Model Calls
//! into Self-Improving Pipelines").
//!
//! It is one of the optimizers of [promptopt](https://docs.rs/promptopt), which has them all behind one trait. The
//! words used here are explained in [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::data::{Example, Prediction};
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::{ModuleExt as _, metric_fn};
//! use promptopt_core::signature::Signature;
//! use promptopt_predict::Predict;
//! use promptopt_random_search::RandomSearch;
//! use promptopt_run::Optimizer as _;
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
//!     // The better demos are in the program afterwards.
//!     let optimizer = RandomSearch::builder().num_sets(12).build();
//!     let outcome = optimizer.compile(&mut program, train_examples).await?;
//!     println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! #     assert!(outcome.improved());
//!     Ok(())
//! }
//! # fn main() -> anyhow::Result<()> {
//! #     let task = promptopt_testkit::HiddenRules::new(12, 1);
//! #     pollster::block_on(optimize(Arc::new(task.model(1)), task.examples(60)))
//! # }
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `schema` | JSON Schemas of the options |
//!
//! None is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod forecast;
mod random_search;

pub use random_search::RandomSearch;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
