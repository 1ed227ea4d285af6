//! COPRO: an optimizer that writes better instructions for a program that calls language models.
//!
//! You give it a program, examples with known answers, and a metric that scores an answer. At depth 0 a model writes
//! `breadth - 1` variants of the instruction that a predictor has. All are scored on examples. At each further depth
//! the model sees the best attempts with their scores and writes `breadth` new ones. The best instruction is installed,
//! and the original stays where nothing was better. The method is that of the optimizer of this name in DSPy (Khattab
//! et al. 2023, "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines").
//!
//! Take it where a score is all you have and the prompt should stay short: examples in the prompt (demos) stay as they
//! are. Its siblings are optimizers of [promptopt](https://docs.rs/promptopt), which has them all behind one trait. The
//! words used here are explained in [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_copro::COPRO;
//! use promptopt_core::data::{Example, Prediction};
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::{ModuleExt as _, metric_fn};
//! use promptopt_core::signature::Signature;
//! use promptopt_predict::Predict;
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
//!     // The better instruction is in the program afterwards.
//!     let optimizer = COPRO::builder().breadth(10).depth(3).build();
//!     let outcome = optimizer.compile(&mut program, train_examples).await?;
//!     println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! #     assert!(outcome.improved());
//!     Ok(())
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! #     let task = promptopt_testkit::HiddenRules::new(12, 1);
//! #     optimize(Arc::new(task.model(1)), task.examples(60)).await
//! # }
//! ```
//!
//! # How it searches
//!
//! - **Several predictors.** They are changed two at a time, with the others at their best so far.
//! - **Mistakes.** The model that writes also sees runs in which the best attempt was wrong. They are made
//!   on training examples, never on those that candidates are chosen on.
//! - **A fresh start.** A third of the first instructions is written from mistakes alone. The writer does not see the
//!   present instruction there, so a fault of it does not get into all of them.
//! - **Pairs.** When one of two predictors gets a new instruction, the program is run on three training
//!   examples, and the other predictor gets an instruction that fits. So predictors that must agree on something
//!   can change it, though a change of either alone is a loss. At the next depth the other one leads.
//! - **No duplicates.** A reply that repeats an earlier attempt, apart from white space, is asked for again
//!   before anything is evaluated. One request for several completions (`n`) is enough where the server honours it;
//!   elsewhere single requests that differ from each other keep the breadth. A predictor
//!   for which nothing new comes out is left alone until another candidate is the best.
//! - **Racing.** Candidates of a depth are evaluated together on the same examples, chunk by chunk, and
//!   those that fall behind are dropped ([`promptopt_evaluator::race`]). Only what was evaluated on the whole
//!   selection set can win, and a tie keeps the earlier one.
//! - **Budgets.** A budget is shared between the depths that are left, and enough is kept back for the best of
//!   a depth to finish.
//!
//! The outcome's detail `depths` holds [`DepthStatistics`] for each depth. Its mean, minimum, maximum and standard
//! deviation are over what each attempt was evaluated on. Its best is the highest mean on the whole selection set, so
//! that a lucky start does not count.
//!
//! | feature | adds |
//! |---|---|
//! | `schema` | JSON Schemas of the options |
//!
//! None is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempts;
mod author;
mod forecast;
mod joint;
mod mistakes;
mod options;
mod request;
mod room;
mod search;

pub use attempts::DepthStatistics;
pub use options::COPRO;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
