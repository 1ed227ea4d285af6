//! Stage 1: run a program, keep its traces, bootstrap demo sets.
//!
//! [`generate_traces`] runs a program over examples and keeps everything that happened, errors
//! too. [`bootstrap`] goes on from there: the steps of rollouts that pass become demos (one per
//! predictor and example), and demo sets are put together from them and from labelled examples:
//! none, labelled, bootstrapped in order, shuffled ones of varied size (MIPROv2, Opsahl-Ong et
//! al. 2024, section 3; BootstrapFewShot, Khattab et al. 2023).
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::program::ModuleExt as _;
//! use promptopt_run::Run;
//! use promptopt_testkit::{HiddenRules, toy};
//! use promptopt_trace_gen::{BootstrapOptions, bootstrap, generate_traces};
//! # use futures_util::FutureExt as _;
//! # futures_util::FutureExt::now_or_never(async {
//!
//! let task = HiddenRules::new(12, 1);
//! let examples: Vec<_> = task.examples(40).into_iter().map(Arc::new).collect();
//! let program = toy::answerer().with_metric(toy::exact_answer());
//! let mut run = Run::bare(&program, Arc::new(task.model(1)));
//!
//! let traces = generate_traces(&mut run, &examples).await?;
//! assert_eq!(traces.len(), 40);
//!
//! let found = bootstrap(&mut run, &examples, &BootstrapOptions::default()).await?;
//! assert!(found.sets.len() > 3);
//! # Ok::<(), promptopt_run::Halt>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! It knows nothing of proposals, search or optimizers.

mod best;
mod bootstrap;
mod demo_sets;
mod error;
mod generate;
mod varied;

pub use best::best_traces;
pub use bootstrap::{BootstrapOptions, Bootstrapped, bootstrap, bootstrap_with};
pub use demo_sets::{DemoSet, DemoSetKind};
pub use error::Error;
pub use generate::generate_traces;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
