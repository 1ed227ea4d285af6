//! COPRO: instructions refined depth by depth, in the manner of the optimizer of that name in DSPy
//! (Khattab et al. 2023, "DSPy: Compiling Declarative Language Model Calls into Self-Improving
//! Pipelines").
//!
//! At depth 0 the prompt model writes `breadth - 1` instructions from the one that a predictor has.
//! They are evaluated, and at each further depth the prompt model gets the ranked attempts with their
//! scores and writes `breadth` new ones. Several predictors are changed two at a time, the others at their
//! best so far. A score is all that is needed, and demos stay as they are.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_copro::{COPRO, DepthStatistics};
//! use promptopt_core::program::ModuleExt as _;
//! use promptopt_run::Optimizer as _;
//! # use promptopt_testkit::{HiddenRules, toy};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! # let task = HiddenRules::new(12, 1);
//! # let train_examples = task.examples(60);
//! # let (predict, metric, model) = (toy::answerer(), toy::exact_answer(), Arc::new(task.model(1)));
//!
//! // Any module that comes with a metric and a model.
//! let mut module = predict.with_model(model).with_metric(metric);
//!
//! let optimizer = COPRO::builder().breadth(10).depth(3).init_temperature(1.4).track_stats(true).build();
//! let outcome = optimizer.compile(&mut module, train_examples).await?;
//! println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! for depth in outcome.detail::<Vec<DepthStatistics>>("depths").unwrap_or_default() {
//!     println!("{} at depth {}: best {:.2}, mean {:.2}", depth.predictor, depth.depth, depth.best, depth.mean);
//! }
//! # assert!(outcome.improved());
//! # Ok(())
//! # }
//! ```
//!
//! What it does besides:
//!
//! - **Mistakes.** The prompt model also sees some runs in which the best attempt was wrong. They are made
//!   on training examples, never on those that candidates are chosen on.
//! - **A fresh start.** A third of the first instructions is written from mistakes alone, without the present
//!   one, so that a fault of it is not in all of them.
//! - **Pairs.** Where one of two predictors has a new instruction, the program is run on three training
//!   examples, and the other one gets an instruction that fits. So predictors that must agree in something
//!   can change it, though a change of either alone is a loss. At the next depth the other one leads.
//! - **No duplicates.** A reply that repeats anything tried before, but for white space, is asked for again
//!   before anything is evaluated. One request with `n` is enough where the server honours it; where it
//!   does not, single requests that differ from each other keep the breadth. A predictor
//!   for which nothing new comes out is left alone until another candidate is the best.
//! - **Racing.** Candidates of a depth are evaluated together on the same examples, chunk by chunk, and
//!   those that fall behind are dropped ([`promptopt_evaluator::race`]). Only what was evaluated on the whole
//!   selection set can win, and a tie keeps the earlier one.
//! - **Statistics.** A depth's mean, minimum, maximum and standard deviation are over what each attempt was
//!   evaluated on; its best is the highest mean on the whole selection set, so that a lucky start does not
//!   count.
//! - **Budgets.** A budget is shared between the depths that are left, and enough is kept back for the best of
//!   a depth to finish.

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
