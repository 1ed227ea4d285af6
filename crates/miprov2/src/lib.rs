//! MIPROv2: joint optimization of instructions and demos (Opsahl-Ong et al. 2024, "Optimizing
//! Instructions and Demonstrations for Multi-Stage Language Model Programs").
//!
//! ```
//! use std::sync::Arc;
//! use miprov2::{MIPROv2, ModuleExt as _, Optimizer as _};
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
//! let optimizer = MIPROv2::builder().num_candidates(10).num_trials(20).minibatch_size(25).build();
//! let outcome = optimizer.compile(&mut module, train_examples).await?;
//! println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! # Ok(())
//! # }
//! ```
//!
//! The three stages are crates of their own, re-exported here: [`trace_gen`] runs the program and
//! bootstraps demo sets, [`proposer`] writes instructions, [`evaluator`] searches. What a run is stands in
//! [`run`]. This crate is the method and nothing else.

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
