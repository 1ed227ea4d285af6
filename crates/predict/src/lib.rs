//! Predictors, and the adapters between a signature and a chat.
//!
//! A [`Predict`] asks a language model once; a [`ChainOfThought`] asks it to reason first. Both
//! find the prompt in force in the [`CallContext`](promptopt_core::program::CallContext), write the chat
//! with an [`Adapter`] (by default [`ChatAdapter`], byte for byte the chat format of DSPy 3, so
//! that prompts carry over) and read typed values out of the reply. When the reply does not fit,
//! one retry goes out in JSON form ([`JsonAdapter`]). [`PlainAdapter`] is a short format for models
//! that are too small to follow markers.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::data::Example;
//! use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
//! use promptopt_core::money::Usage;
//! use promptopt_core::program::CallContext;
//! use promptopt_core::signature::Signature;
//! use promptopt_predict::Predict;
//! # use futures_util::FutureExt as _;
//! # let model = Arc::new(lm_fn("fixed", |_: LmRequest| async {
//! #     Ok(LmReply::text("[[ ## department ## ]]\nsales\n\n[[ ## completed ## ]]", Usage::call(9, 9)))
//! # }));
//!
//! let signature = Signature::parse("ticket -> department: enum[billing, sales]")?;
//! let route = Predict::new("route", signature);
//! let inputs = Example::new([("ticket", "Do you have blue ones?")], ["ticket"]).inputs();
//! let prediction = route.call(&CallContext::new(model), &inputs).now_or_never().unwrap()?;
//! assert_eq!(prediction.get_str("department"), Some("sales"));
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! An [`Agent`] calls [`Tool`]s before it answers: async closures ([`tool_fn`]) or anything that implements the trait.
//!
//! Limits: a reply of more than 256 KiB is not parsed, JSON nests at most 128 deep.

mod adapter;
mod agent;
mod chain_of_thought;
mod chat;
#[doc(hidden)]
pub mod derive;
mod error;
mod field_reader;
mod json;
mod json_reader;
mod pieces;
mod plain;
mod predict;
mod python;
mod schema;
mod stream;
mod typed;
mod unrequested;
mod value;

pub use adapter::{Adapter, adapter_of};
pub use agent::{Agent, Tool, ToolFn, ToolForm, tool_fn};
pub use chain_of_thought::ChainOfThought;
pub use chat::ChatAdapter;
pub use error::Error;
pub use field_reader::FieldReader;
pub use json::JsonAdapter;
pub use plain::PlainAdapter;
pub use predict::Predict;
pub use promptopt_core::signature::Signature;
pub use promptopt_core::trace::TRAJECTORY;
#[doc(inline)]
pub use promptopt_macros::{PredictModule as Module, PredictSignature as Signature};
pub use stream::{PredictionStream, StreamEvent};
pub use typed::Untyped;
pub use value::parse_value;

#[cfg(test)]
extern crate self as promptopt_predict;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
