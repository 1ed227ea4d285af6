//! What the tests of promptopt share, and what tests of your own programs may use.
//!
//! - [`ScriptedLm`] answers what a closure says and remembers what it was asked.
//! - [`SimulatedLm`] is a model with knowledge gaps: it answers rightly only when the prompt
//!   teaches what an example needs, and as a prompt model it can only write what it can see.
//! - [`HiddenRules`] is a task for it: rules nobody states, to be found by an optimizer.
//! - [`Landscape`] is a family of such tasks, each hiding something else, to measure optimizers on.
//! - [`HeadroomTask`] is a task with something to gain from another prompt, or with nothing.
//! - [`Drawers`] is a task for an agent: which tool call is right, only the prompt can teach.
//! - [`requested_fields`] says what a request asks for, for a model that you write yourself.
//! - [`ToolCaller`] is a model that knows which calls of tools are right, and makes the mistakes of real ones
//!   ([`CallFault`]) until a prompt keeps it from them.
//! - [`around`] puts a closure around a model, to count, change, delay or break what goes through it.
//! - [`toy`] holds programs with one and with two predictors.
//! - [`conformance`] holds every optimizer to the same promises.
//! - `server` (feature) serves any model over loopback HTTP: `LoopbackServer` as it should be, `FaultServer`
//!   with the faults and hidden limits of real providers, by plan.
//! - `strategies` (feature `proptest`) makes arbitrary examples, signatures and prompts.
//!
//! ```
//! use promptopt_testkit::HiddenRules;
//!
//! let task = HiddenRules::new(12, 7);
//! let examples = task.examples(100);
//! assert_eq!(examples.len(), 100);
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `server` | any model behind an OpenAI-compatible endpoint, well or badly behaved (axum, tokio, httpdate) |
//! | `proptest` | strategies for property tests |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod call_fault;
pub mod conformance;
mod drawers;
#[cfg(feature = "server")]
mod fault_server;
mod hidden_rules;
mod landscapes;
mod looking;
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
