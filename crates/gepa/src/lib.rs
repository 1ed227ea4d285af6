//! GEPA: reflective evolution of instructions over a Pareto frontier (Agrawal et al. 2025, "GEPA:
//! Reflective Prompt Evolution Can Outperform Reinforcement Learning").
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::program::ModuleExt as _;
//! use promptopt_run::Optimizer as _;
//! use promptopt_gepa::GEPA;
//! # use promptopt_testkit::{HiddenRules, toy};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! # let task = HiddenRules::new(12, 1);
//! # let train_examples = task.examples(60);
//! # let (predict, metric, model) = (toy::answerer(), toy::exact_answer(), Arc::new(task.model(1)));
//!
//! // Any module that comes with a metric and a model. A metric that says in words what is wrong
//! // (`Score::with_feedback`) teaches faster.
//! let mut module = predict.with_model(model).with_metric(metric);
//!
//! let optimizer = GEPA::builder().max_metric_calls(400).build();
//! let outcome = optimizer.compile(&mut module, train_examples).await?;
//! println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! # Ok(())
//! # }
//! ```
//!
//! A step draws a parent from the frontier, runs it on a minibatch of training examples, has the
//! prompt model reflect on the traces and write a new instruction for one component, and compares
//! the child with its parent: on the minibatch, on more training examples while that is undecided,
//! then over the selection set in portions ([`gate`]). A child that reaches the end enters the frontier
//! ([`frontier`]). Where a child is no gain on its minibatch, another component gets an instruction that fits
//! the change, and the two are compared with the parent together. The first instruction of each component is
//! written without the present one, so that a fault of it is not in every lineage. Lineages with a common ancestor are merged component by component ([`merge`]).
//!
//! The outcome holds every candidate with parents, scores by example and objective, what was spent when it was
//! found, and as a detail `frontier` the indices of the frontier's members.
//!
//! | feature | adds |
//! |---|---|
//! | `schema` | JSON Schemas of the options |

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
