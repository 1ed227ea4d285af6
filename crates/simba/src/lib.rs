//! SIMBA: stochastic introspective mini-batch ascent, after the optimizer of that name in DSPy
//! (Khattab et al. 2023; `dspy/teleprompt/simba.py` is the reference behaviour).
//!
//! Each step runs the best candidates several times on a minibatch of training examples, at rising temperatures.
//! Examples on which the runs differ most teach most: of the best run a demo is made, or the prompt model contrasts the
//! best with the worst run and writes a rule for each predictor, which is appended to its instruction. The new
//! candidates are scored on the same minibatch; in the end the winners of the steps race over the selection set.
//!
//! ```
//! use promptopt_core::program::ModuleExt as _;
//! use promptopt_run::Optimizer as _;
//! use promptopt_simba::SIMBA;
//! # use promptopt_testkit::{HiddenRules, toy};
//! # let task = HiddenRules::new(12, 1);
//! # let train_examples = task.examples(100);
//! # let (predict, metric, model) = (toy::answerer(), toy::exact_answer(), std::sync::Arc::new(task.model(1)));
//!
//! // Any module that comes with a metric and a model.
//! let mut module = predict.with_model(model).with_metric(metric);
//! let optimizer = SIMBA::builder().max_steps(6).minibatch_size(20).build();
//! let outcome = pollster::block_on(optimizer.compile(&mut module, train_examples))?;
//! println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! # assert!(outcome.improved());
//! # Ok::<(), promptopt_run::Error>(())
//! ```
//!
//! Where it differs from the reference: the rules of a step are written in parallel; a demo never comes from the
//! example it is shown for; the winners are chosen on a selection set, against the original, and not on the training
//! set; the original has its mean on the selection set where the reference gives it 0.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod forecast;
mod lesson;
mod simba;

pub use simba::SIMBA;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
