//! The data and the small traits that every part of [promptopt](https://docs.rs/promptopt) shares.
//!
//! promptopt makes the prompts of programs that call language models better by measurement. This crate says what such a
//! program is: examples, signatures, prompts, programs, metrics, language models and traces. Take it to write a
//! program, a metric or a model of your own, or to run an optimized program without an optimizer. Whoever wants to
//! optimize takes the crate `promptopt`, which has all of this in its prelude.
//!
//! ```
//! use std::sync::Arc;
//!
//! use futures_util::FutureExt as _;
//! use promptopt_core::data::{Fields, Prediction};
//! use promptopt_core::lm::{LmReply, LmRequest, Message, lm_fn};
//! use promptopt_core::money::Usage;
//! use promptopt_core::program::{CallContext, Module as _, Text, module_fn};
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
//!
//! Programs in which each call of a model has named fields are shorter with `promptopt-predict`, which writes the
//! request and reads the reply.
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
//! | [`telemetry`] | spans of `tracing`, with OpenTelemetry's names (feature `tracing`) |
//! | [`mod@file`] | small files, read whole |
//!
//! This crate has no async runtime, no HTTP, no templates and no optimizer. It keeps no budget.
//!
//! | feature | adds |
//! |---|---|
//! | `schema` | field types for Rust types that `schemars` describes; `promptopt-predict` turns it on |
//! | `tracing` | spans of `tracing` around calls, predictors and tools ([`telemetry`]) |
//!
//! None is on by default.
//!
//! # Words
//!
//! All crates of promptopt use the same words. Most are those of DSPy and of the papers on its optimizers.
//!
//! | word | what it means |
//! |---|---|
//! | signature | the names and types of what goes in and what comes out, such as `question -> answer` ([`Signature`](signature::Signature)) |
//! | predictor | a place in a program that asks a model: a signature with a prompt ([`Predictor`](program::Predictor)) |
//! | prompt | what an optimizer may change of a predictor: an instruction and demos ([`Prompt`](prompt::Prompt)) |
//! | demo | a worked example that is shown to the model in the prompt ([`Demo`](prompt::Demo)) |
//! | program, module | code that answers by calling one predictor or more ([`Module`](program::Module)) |
//! | example | a row of a data set: the inputs, and what is known of the answer ([`Example`](data::Example)) |
//! | prediction | what a program answers ([`Prediction`](data::Prediction)) |
//! | metric | scores a prediction, 1 for right and 0 for wrong as a rule ([`Metric`](program::Metric)) |
//! | rollout, trace | a run of a program on one example, and the record of it ([`Trace`](trace::Trace)) |
//! | candidate | prompts for all predictors of a program, to be compared with others ([`PromptCandidate`](prompt::PromptCandidate)) |
//! | task model, prompt model | the model that the program calls, and the model that writes instructions; often the same |
//! | training examples | what demos and instructions are made from |
//! | selection set | examples on which candidates are compared and the winner is chosen; DSPy's `valset` |
//! | sealed test | examples that no search sees, for the last measurement |
//! | minibatch | a few examples, drawn at random, for a first comparison |
//! | run | one search for better prompts, from the original to the winner |
//! | strategy, optimizer | a way to search, such as MIPROv2 or GEPA |
//!
//! # The crates of promptopt
//!
//! | crate | for |
//! |---|---|
//! | `promptopt` | all of it behind one name, with a prelude |
//! | `promptopt-core` | this page: data and traits |
//! | `promptopt-predict`, `promptopt-macros` | predictors, the adapters between a signature and a chat, and derive macros for Rust types |
//! | `promptopt-statistics` | intervals and paired tests, usable alone |
//! | `promptopt-run` | the run engine: budgets, records, resume, the choice of the winner |
//! | `promptopt-trace-gen`, `promptopt-proposer`, `promptopt-evaluator` | the stages: demo sets, instructions, search |
//! | `miprov2`, `promptopt-copro`, `promptopt-gepa` | the optimizers, and `promptopt-simba` and `promptopt-random-search` |
//! | `promptopt-mcp`, `promptopt-process` | tools of MCP servers for agents, and commands that a user names |
//! | `promptopt-gateway` | programs that are not ours: their calls over HTTP, and their texts |
//! | `promptopt-fleet` | rollouts on many machines, with the calls at one |
//! | `promptopt-lm`, `promptopt-lm-local` | clients of language models, and an embedded one |
//! | `promptopt-otel` | the spans of calls and runs, sent over OTLP |
//! | `promptopt-data`, `promptopt-dspy` | data files, and programs saved by DSPy |
//! | `promptopt-store` | the journal that makes a run safe to kill, and the cache |
//! | `promptopt-report` | what a run came to, as a page |
//! | `promptopt-tips`, `promptopt-testkit` | tips for whoever writes instructions; models and tasks for tests |
//! | `promptopt-cli` | the command `promptopt` |

#![cfg_attr(docsrs, feature(doc_cfg))]

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
pub mod telemetry;
pub mod trace;

pub use error::Error;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
