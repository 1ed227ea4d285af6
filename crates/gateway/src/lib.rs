//! The prompts of programs that are not ours, in any language, for [promptopt](https://docs.rs/promptopt).
//!
//! A [`Gateway`] is an HTTP server on the loopback interface that speaks the dialects of OpenAI and Anthropic. A program whose
//! base URL points at it has all its calls of language models made through the [`CallContext`] of a rollout: budgets, journal,
//! retries, rate control and traces are those of native programs. Each rollout has an address and a key of its own, and the
//! program never sees a real key.
//!
//! A [`Component`] is a text of the program. Where the program sends it, the gateway puts the text of a candidate. So an
//! [`App`] is a module like any other, whose predictors are its components, and every optimizer works on it.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
//! use promptopt_core::money::Usage;
//! use promptopt_core::program::CallContext;
//! use promptopt_gateway::Gateway;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let model = Arc::new(lm_fn("echo", |request: LmRequest| async move {
//!     Ok(LmReply::text(request.messages[0].text().to_uppercase(), Usage::call(1, 1)))
//! }));
//! let gateway = Gateway::start().await?;
//! let session = gateway.open(CallContext::new(model), []);
//! // The program is given `session.openai_url()` and `session.key()`, and asks as it always does.
//! assert!(session.openai_url().starts_with("http://127.0.0.1:"));
//! let ended = session.close().await;
//! assert_eq!(ended.calls, 0);
//! # Ok(())
//! # }
//! ```
//!
//! [`CallContext`]: promptopt_core::program::CallContext

mod answer;
mod app;
mod body;
mod calls;
mod component;
mod dialect;
mod door;
mod error;
mod gateway;
mod handler;
mod listener;
mod memory;
mod models;
mod session;
mod template;

pub use app::App;
pub use component::{Component, ComponentKind, Demos};
pub use door::{Access, Door, Function, Run, Serve, Url};
pub use error::Error;
pub use gateway::Gateway;
pub use models::Asks;
pub use promptopt_process::CommandLine;
pub use session::{Ended, Session};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
