//! GEPA: an optimizer in which a language model reads what went wrong and writes a better instruction.
//!
//! You give it a program that calls language models, examples with known answers, and a metric that scores an answer.
//! In each step a model reads what the program did on a few examples, says what went wrong, and writes a new
//! instruction (reflection). What helps is kept. A prompt that is best at any one thing stays in the pool (the Pareto
//! frontier), so different strengths can be merged later. The best prompt is installed, and the original stays where
//! nothing was better (Agrawal et al. 2025, "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning").
//!
//! Take it where the metric can say why an answer is wrong. It changes instructions only: examples in the prompt
//! (demos) stay as they are. It is one of the optimizers of [promptopt](https://docs.rs/promptopt), which has them all
//! behind one trait. The words used here are explained in [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::data::{Example, Prediction, Score};
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::{ModuleExt as _, metric_fn};
//! use promptopt_core::signature::Signature;
//! use promptopt_gepa::GEPA;
//! use promptopt_predict::Predict;
//! use promptopt_run::Optimizer as _;
//!
//! /// The model is a client such as `ChatClient` of `promptopt-lm`. Each example has a `question` and an `answer`.
//! async fn optimize(model: Arc<dyn LanguageModel>, train_examples: Vec<Example>) -> anyhow::Result<()> {
//!     // A program with one predictor, and what a good answer is.
//!     // The metric may say in words what is wrong. GEPA learns faster from that than from the score alone.
//!     let program = Predict::new("answer", Signature::parse("question -> answer")?);
//!     let metric = metric_fn(|example: &Example, prediction: &Prediction| {
//!         let expected = example.get_str("answer").unwrap_or_default();
//!         match prediction.get_str("answer") == Some(expected) {
//!             true => Score::new(1.0),
//!             false => Score::new(0.0).with_feedback(format!("the right answer is `{expected}`")),
//!         }
//!     });
//!     let mut program = program.with_model(model).with_metric(metric);
//!
//!     // The better instruction is in the program afterwards.
//!     let optimizer = GEPA::builder().max_metric_calls(400).build();
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
//! A component is a predictor whose instruction may change. A step does this:
//!
//! 1. It draws a parent from the frontier and runs it on a minibatch of training examples.
//! 2. The prompt model reads the traces and writes a new instruction for one component: the child.
//! 3. Child and parent are compared on the minibatch, on more training examples while that is undecided, and then on the
//!    selection set in portions ([`gate`]). A child that reaches the end enters the frontier ([`frontier`]).
//! 4. Where a child is no gain on its minibatch, another component gets an instruction that fits the change. The two
//!    changes together are compared with the parent.
//!
//! The first instruction of each component is written without sight of the present one, so that a fault of it is not in
//! every lineage. Lineages with a common ancestor are merged component by component ([`merge`]).
//!
//! The [`Outcome`](promptopt_run::Outcome) holds every candidate with its parents, its scores by example and objective,
//! and what was spent when it was found. Its detail `frontier` holds the indices of the frontier's members.
//!
//! | feature | adds |
//! |---|---|
//! | `schema` | JSON Schemas of the options |
//!
//! None is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod evolution;
mod forecast;
pub mod frontier;
pub mod gate;
pub mod merge;
mod options;
mod reflect;
mod search;
mod select;

pub use frontier::{Frontier, FrontierType};
pub use options::{GEPA, max_metric_calls};
pub use reflect::record;
pub use select::{CandidateSelector, ComponentChoice, ComponentSelector};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
