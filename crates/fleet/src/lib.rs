//! Rollouts of prompt optimization on many machines, for [promptopt](https://docs.rs/promptopt).
//!
//! A [`Fleet`] is an [`Executor`](promptopt_run::Executor): a run that is given one hands its rollouts out instead of making them.
//! A [`Worker`], in another process or on another machine, holds the same program with its metric, takes rollouts, and makes them.
//! **Calls of language models stay with the fleet**: a worker asks it for each of them, and it makes the call through the context of
//! the rollout. So budgets, journal, keys, rate limits and the outcome are those of a run in one process, and a worker holds no key.
//!
//! It pays where programs compute: agents in sandboxes, retrieval, tests that compile. Work that waits for a provider
//! fits one process, and is no faster with a fleet.
//!
//! Nothing of what a worker, the queue or a message may do changes an outcome. A rollout whose worker is silent goes to another one,
//! which pays for no call that was completed. A queue that is lost is filled again. A result counts once. A rollout that was given to
//! four workers, none of which came back, is a failure of the program.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::data::Example;
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::{CallContext, Cancellation, Evaluator};
//! use promptopt_core::trace::Trace;
//! use promptopt_fleet::{Fleet, LocalTransport, Worker};
//! use promptopt_run::Executor as _;
//!
//! /// One rollout by a worker. A whole run takes `RunOptions::builder().executor(fleet)`.
//! async fn by_a_worker(
//!     program: fn() -> Box<dyn Evaluator>,
//!     model: Arc<dyn LanguageModel>,
//!     example: Example,
//! ) -> anyhow::Result<Trace> {
//!     // Over NATS it is `nats::NatsCoordinator` here, and `nats::NatsWorker` there.
//!     let transport = LocalTransport::new();
//!
//!     let worker = Worker::new(program(), Arc::clone(&model), Arc::new(transport.clone())).with_slots(8);
//!     let leave = Cancellation::new();
//!     let leaving = leave.clone();
//!     let working = tokio::spawn(async move { worker.run(&leaving).await });
//!
//!     let fleet = Fleet::new(Arc::new(transport))?;
//!     let trace = fleet.rollout(&*program(), &CallContext::new(model), Arc::new(example)).await;
//!     // What a worker has begun it finishes.
//!     leave.cancel();
//!     working.await??;
//!     Ok(trace)
//! }
//! # #[tokio::main]
//! # async fn main() -> anyhow::Result<()> {
//! #     use promptopt_core::program::ModuleExt as _;
//! #     use promptopt_testkit::{HiddenRules, toy};
//! #     let task = HiddenRules::new(12, 1);
//! #     let program = || -> Box<dyn Evaluator> { Box::new(toy::answerer().with_metric(toy::exact_answer())) };
//! #     let trace = by_a_worker(program, Arc::new(task.model(1)), task.examples(1).remove(0)).await?;
//! #     assert!(trace.score.is_some() && trace.usage.calls == 1, "{trace:?}");
//! #     Ok(())
//! # }
//! ```
//!
//! Between the two stands a transport: [`Coordinating`] and [`Working`]. [`LocalTransport`] is one within a process, for tests, and
//! `nats` has the one over NATS JetStream. The command does all of this by `promptopt worker` and `--fleet`; how a fleet is set up,
//! sized and guarded is `docs/fleet.md` in the repository.
//!
//! Examples, prompts and replies go to workers. A worker decides the scores of its rollouts, so it must be trusted as the program
//! is. Time in a worker's steps is that of its own clock.
//!
//! | feature | adds |
//! |---|---|
//! | `nats` (default) | the transport over NATS JetStream |

mod coordinator;
mod error;
mod local;
mod member;
#[cfg(feature = "nats")]
pub mod nats;
mod on_workers;
mod protocol;
mod replies;
mod transport;
mod worker;

pub use coordinator::{Fleet, FleetFigures};
pub use error::Error;
pub use local::LocalTransport;
pub use member::{Describe, Member, Role, WorkerFigures};
pub use on_workers::OnWorkers;
pub use protocol::{Identity, JobId, PROTOCOL};
pub use transport::{Coordinating, Lease, Leased, Question, Reply, Working};
pub use worker::Worker;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
