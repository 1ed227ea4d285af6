//! The data and the small traits that every part of promptopt shares. Start here.
//!
//! An [`Example`](data::Example) goes through a [`Module`](program::Module) under some
//! [`Prompts`](prompt::Prompts); a [`Metric`](program::Metric) judges the [`Prediction`](data::Prediction); what
//! happened is a [`Trace`](trace::Trace). An optimizer looks for the [`PromptCandidate`](prompt::PromptCandidate)
//! whose traces score best and installs it.
//!
//! # What is where
//!
//! | module | holds |
//! |---|---|
//! | [`data`] | examples, predictions, scores, content hashes |
//! | [`signature`] | what a predictor takes and gives |
//! | [`prompt`] | instructions, demos, candidates and where they came from |
//! | [`program`] | modules, predictors, metrics, the context that models are called through, saved programs |
//! | [`lm`] | requests, replies, and the trait of a language model |
//! | [`trace`] | what happened in one run of a program |
//! | [`money`] | what calls cost and what a run may spend |
//! | [`secret`] | the removal of keys and tokens from text |
//! | [`mod@file`] | small files, read whole |
//!
//! # The crates of promptopt
//!
//! | crate | for |
//! |---|---|
//! | `promptopt` | all of it behind one name, with a prelude |
//! | `promptopt-core` | this page: data and traits |
//! | `promptopt-predict`, `promptopt-macros` | predictors, the adapters between a signature and a chat, and derive macros for Rust types |
//! | `promptopt-statistics` | intervals and paired tests, usable alone |
//! | `promptopt-run` | the run engine: what costs, counts, tells or stops |
//! | `promptopt-trace-gen`, `promptopt-proposer`, `promptopt-evaluator` | the stages: demo sets, instructions, search |
//! | `miprov2`, `promptopt-copro`, `promptopt-gepa` | the optimizers, and `promptopt-simba` and `promptopt-random-search` |
//! | `promptopt-mcp`, `promptopt-process` | tools of MCP servers for agents, and commands that a user names |
//! | `promptopt-lm`, `promptopt-lm-local` | clients of language models, and an embedded one |
//! | `promptopt-data`, `promptopt-dspy` | data files, and programs saved by DSPy |
//! | `promptopt-store` | the journal that makes a run safe to kill, and the cache |
//! | `promptopt-report` | what a run came to, as a page |
//! | `promptopt-tips`, `promptopt-testkit` | tips for whoever writes instructions; models and tasks for tests |
//! | `promptopt-cli` | the command `promptopt` |
//!
//! This crate knows no runtime, no HTTP, no templates, no optimizer and no budget keeping.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::data::{Fields, Prediction};
//! use promptopt_core::lm::{LmReply, LmRequest, Message, lm_fn};
//! use promptopt_core::money::Usage;
//! use promptopt_core::program::{CallContext, Module as _, Text, module_fn};
//! # use futures_util::FutureExt as _;
//!
//! // A model that shouts back.
//! let echo = lm_fn("echo", |request: LmRequest| async move {
//!     let last = request.messages.last().map_or("", |message| message.text());
//!     Ok(LmReply::text(last.to_uppercase(), Usage::call(1, 1)))
//! });
//!
//! // A program that calls the model once, with a text that an optimizer may rewrite.
//! let shout = module_fn("shout", [Text::new("tone", "Shout.")], |context: CallContext, texts: Arc<[Text]>, inputs: Fields| async move {
//!     let tone = texts.first().map_or("", |text| text.in_force(&context)).to_owned();
//!     let text = inputs.get("text").and_then(|text| text.as_str()).unwrap_or_default();
//!     let reply = context.complete(LmRequest::new(vec![Message::system(tone), Message::user(text)])).await?;
//!     Ok(Prediction::from_iter([("shout", reply.first_text())]))
//! });
//!
//! let inputs = Fields::from_iter([("text".to_owned(), "hi".into())]);
//! let prediction = shout.run(&CallContext::new(Arc::new(echo)), &inputs).now_or_never().unwrap()?;
//! assert_eq!(prediction.get_str("shout"), Some("HI"));
//! # Ok::<(), anyhow::Error>(())
//! ```

pub mod data;
mod error;
pub mod file;
pub mod lm;
pub mod money;
mod outage;
pub mod program;
pub mod prompt;
pub mod secret;
pub mod signature;
pub mod trace;

pub use error::Error;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
