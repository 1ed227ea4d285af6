//! Random search over demo sets (BootstrapFewShotWithRandomSearch, Khattab et al. 2023, "DSPy: Compiling Declarative
//! Language Model Calls into Self-Improving Pipelines").
//!
//! The program runs over the training examples; the steps of runs that pass become demos. Demo sets are drawn from
//! them at random, and all sets race over the selection set. Instructions stay as they are.
//!
//! ```
//! use promptopt_core::program::ModuleExt as _;
//! use promptopt_random_search::RandomSearch;
//! use promptopt_run::Optimizer as _;
//! # use promptopt_testkit::{HiddenRules, toy};
//! # let task = HiddenRules::new(12, 1);
//! # let train_examples = task.examples(60);
//! # let (predict, metric, model) = (toy::answerer(), toy::exact_answer(), std::sync::Arc::new(task.model(1)));
//!
//! // Any module that comes with a metric and a model.
//! let mut module = predict.with_model(model).with_metric(metric);
//! let outcome = pollster::block_on(RandomSearch::builder().num_sets(12).build().compile(&mut module, train_examples))?;
//! println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! # assert!(outcome.improved());
//! # Ok::<(), promptopt_run::Error>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod forecast;
mod random_search;

pub use random_search::RandomSearch;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
