//! Stage 3: evaluate candidates, compare them honestly and search.
//!
//! - [`evaluate`] runs a program over a data set and says how it scored, with an interval.
//! - [`Scoreboard`] keeps what is known of every (candidate, example) pair and buys each once.
//! - [`race`] evaluates candidates on the same examples in chunks and drops those that fall behind.
//! - [`Search`] looks for the best combination of instruction and demo set for every predictor
//!   together: minibatches chosen by a multivariate tree-structured Parzen estimator, full
//!   evaluations of the leaders, hopeless ones dropped early, and the winner chosen on the full
//!   selection set against the original (MIPROv2, Opsahl-Ong et al. 2024, section 3.3).
//! - [`statistics`] says how sure scores and comparisons are, usable alone; its page says which function
//!   to use when. [`estimate`], [`compare`] and [`wilson`] are at hand here, too.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::{ModuleExt as _, RolloutRunner};
//! use promptopt_evaluator::evaluate;
//! use promptopt_testkit::{HiddenRules, toy};
//! # use futures_util::FutureExt as _;
//! # futures_util::FutureExt::now_or_never(async {
//!
//! let task = HiddenRules::new(12, 1);
//! let examples: Vec<_> = task.examples(50).into_iter().map(Arc::new).collect();
//! let program = toy::answerer().with_metric(toy::exact_answer());
//! let runner = RolloutRunner::new(&program, Arc::new(task.model(1)));
//! let evaluation = evaluate(&runner, &Arc::default(), &examples).await?;
//! assert!(evaluation.estimate.low < evaluation.estimate.mean);
//! # Ok::<(), promptopt_evaluator::Error>(())
//! # }).unwrap().unwrap();
//! ```
//!
//! It knows nothing of how traces and instructions are made.

mod cost;
mod error;
mod evaluate;
mod memory;
mod minibatch;
mod race;
mod scoreboard;
mod search;
pub mod session;
mod space;
pub mod statistics;
mod tpe;

pub use cost::RolloutCost;
pub use error::Error;
pub use evaluate::{Evaluation, evaluate};
pub use memory::MemoryStore;
pub use minibatch::MinibatchSampler;
pub use race::{Contender, RaceEnd, RaceOptions, Raced, race};
pub use scoreboard::{Evidence, Scoreboard};
pub use search::{Found, Search, SearchOptions};
pub use space::{Choice, PredictorSpace, Space};
pub use statistics::{compare, estimate, wilson};
pub use tpe::{Densities, Tpe};
