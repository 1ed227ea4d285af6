//! What the tests of promptopt share, and what tests of your own programs may use.
//!
//! - [`ScriptedLm`] answers what a closure says and remembers what it was asked.
//! - [`SimulatedLm`] is a model with knowledge gaps: it answers rightly only when the prompt
//!   teaches what an example needs, and as a prompt model it can only write what it can see.
//! - [`HiddenRules`] is a task for it: rules nobody states, to be found by an optimizer.
//! - [`toy`] holds programs with one and with two predictors.
//! - [`conformance`] holds every optimizer to the same promises.
//! - `server` (feature) serves a simulated model over loopback HTTP, `strategies` (feature
//!   `proptest`) makes arbitrary examples, signatures and prompts.
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
//! | `server` | [`SimulatedLm`] behind an OpenAI-compatible endpoint (axum, tokio) |
//! | `proptest` | strategies for property tests |

pub mod conformance;
mod hidden_rules;
mod scripted;
#[cfg(feature = "server")]
mod server;
mod simulated;
#[cfg(feature = "proptest")]
pub mod strategies;
pub mod toy;

pub use hidden_rules::HiddenRules;
pub use scripted::ScriptedLm;
#[cfg(feature = "server")]
pub use server::LoopbackServer;
pub use simulated::{Knowledge, Rule, SimulatedLm};
