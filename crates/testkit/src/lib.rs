//! Language models, tasks and checks for tests of programs that call language models. No key, no network, no model file.
//!
//! They are what the tests of [promptopt](https://docs.rs/promptopt) share, and they serve for tests of your own programs,
//! metrics and optimizers. The words used here are explained in [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::data::Fields;
//! use promptopt_core::program::{CallContext, Module as _};
//! use promptopt_testkit::{ScriptedLm, around, toy};
//!
//! # fn main() -> anyhow::Result<()> {
//! // A model that always answers "4", with a closure around it that sees each request and each reply.
//! let model = around(ScriptedLm::answering("4"), |next, request| async move {
//!     assert!(request.messages.iter().any(|message| message.text().contains("2 + 2?")));
//!     next.complete(&request).await
//! });
//!
//! // A program with one predictor, `question -> answer`.
//! let inputs = Fields::from_iter([("question".to_owned(), "2 + 2?".into())]);
//! let context = CallContext::new(Arc::new(model));
//! let prediction = pollster::block_on(toy::answerer().run(&context, &inputs))?;
//! assert_eq!(prediction.get_str("answer"), Some("4"));
//! # Ok(())
//! # }
//! ```
//!
//! # What is in it
//!
//! | name | what it is |
//! |---|---|
//! | [`ScriptedLm`] | a model that answers what a closure says, and remembers what it was asked |
//! | [`around`] | a closure around a model, to count, change, delay or break what goes through it |
//! | [`requested_fields`] | which fields a request asks for, for a model that you write yourself |
//! | [`SimulatedLm`] | a model with gaps in its knowledge: it answers rightly only when the prompt teaches what an example needs; as a writer of instructions it knows only what its request shows |
//! | [`HiddenRules`] | a task for it: rules that nobody states, to be found by an optimizer |
//! | [`Landscape`] | a family of such tasks, each hiding something else, to measure optimizers on |
//! | [`HeadroomTask`] | a task of which it is known whether another prompt would gain |
//! | [`Drawers`] | a task for an agent: which call of a tool is right, only the prompt can teach |
//! | [`ToolCaller`] | a model that knows which calls of tools are right, and makes the mistakes of real ones ([`CallFault`]) until a prompt keeps it from them |
//! | [`LookingLm`] | a model that tells the colour of an image |
//! | [`toy`] | programs with one and with two predictors |
//! | [`conformance`] | what every optimizer promises, as tests |
//!
//! | feature | adds |
//! |---|---|
//! | `server` | any model behind an OpenAI-compatible endpoint on the loopback interface: `LoopbackServer` as it should be, `FaultServer` with the faults and limits of real providers |
//! | `nats` | `NatsServer`, a real nats-server of a test's own |
//! | `proptest` | `strategies`, which make arbitrary examples, signatures and prompts |
//!
//! None is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod call_fault;
pub mod conformance;
mod drawers;
#[cfg(feature = "server")]
mod fault_server;
mod hidden_rules;
mod landscapes;
mod looking;
#[cfg(feature = "nats")]
mod nats_server;
#[cfg(feature = "server")]
mod openai;
mod scripted;
#[cfg(feature = "server")]
mod server;
mod simulated;
#[cfg(feature = "proptest")]
pub mod strategies;
mod tool_caller;
pub mod toy;

pub use call_fault::CallFault;
pub use drawers::Drawers;
#[cfg(feature = "server")]
pub use fault_server::{Answer, Fault, FaultPlan, FaultServer, Seen};
pub use hidden_rules::HiddenRules;
pub use landscapes::{HeadroomTask, Landscape};
pub use looking::LookingLm;
#[cfg(feature = "nats")]
pub use nats_server::NatsServer;
pub use promptopt_core::lm::{Around, Next, around};
pub use scripted::ScriptedLm;
#[cfg(feature = "server")]
pub use server::LoopbackServer;
pub use simulated::{Knowledge, Rule, SimulatedLm, requested_fields};
pub use tool_caller::{Talk, ToolCaller};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
