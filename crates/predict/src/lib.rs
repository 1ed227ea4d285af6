//! Calls of a language model with typed inputs and outputs, whose prompts an optimizer can improve.
//!
//! A *signature* names what goes in and what comes out, with types. A [`Predict`] writes a chat from it, asks the
//! model, and reads typed values from the reply. A [`ChainOfThought`] has the model reason first, and an [`Agent`] has
//! it call tools before it answers. They are the building blocks of programs for
//! [promptopt](https://docs.rs/promptopt), which finds better instructions and examples for them, and this crate is
//! what production needs to run the result. The words used here are explained in
//! [`promptopt_core`](promptopt_core#words).
//!
//! ```
//! use std::sync::Arc;
//!
//! use promptopt_core::lm::LanguageModel;
//! use promptopt_core::program::CallContext;
//! use promptopt_predict::{Error, Predict, Signature};
//!
//! /// Find the parcel that the customer writes about.
//! #[derive(Signature)]
//! struct Parcel {
//!     /// The message as the customer wrote it.
//!     #[input]
//!     message: String,
//!     /// The number of the parcel, where one is given.
//!     #[output]
//!     number: Option<u32>,
//!     /// Whether the customer is angry.
//!     #[output]
//!     angry: bool,
//! }
//!
//! /// The model is a client such as `ChatClient` of `promptopt-lm`.
//! async fn read(model: Arc<dyn LanguageModel>, message: String) -> Result<ParcelOutput, Error> {
//!     let context = CallContext::new(model);
//!     Predict::<Parcel>::typed("parcel").call(&context, ParcelInput { message }).await
//! }
//! # use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
//! # let model = Arc::new(lm_fn("fixed", |_: LmRequest| async {
//! #     let reply = "[[ ## number ## ]]\n1207\n\n[[ ## angry ## ]]\nfalse\n\n[[ ## completed ## ]]";
//! #     Ok(LmReply::text(reply, promptopt_core::money::Usage::call(9, 9)))
//! # }));
//! # let parcel = futures_util::FutureExt::now_or_never(read(model, "Where is 1207?".to_owned())).unwrap()?;
//! # assert_eq!((parcel.number, parcel.angry), (Some(1207), false));
//! # Ok::<(), Error>(())
//! ```
//!
//! The comment on the struct is the instruction, and the comments on the fields are descriptions for the model. Where
//! the fields are known only at run time, a signature is a value, and [`Predict::new`] takes and gives fields:
//!
//! ```
//! use promptopt_predict::{Predict, Signature};
//!
//! let route = Predict::new("route", Signature::parse("ticket -> department: enum[billing, sales]")?);
//! # Ok::<(), promptopt_core::Error>(())
//! ```
//!
//! # Formats
//!
//! | format | for |
//! |---|---|
//! | [`ChatAdapter`] | the default: markers around each field, byte for byte the chat format of DSPy 3, so that prompts carry over |
//! | [`JsonAdapter`] | a JSON object, by schema where the server takes one; a reply that does not fit is asked for once more in this form |
//! | [`PlainAdapter`] | a short format for models that are too small to follow markers |
//! | [`Adapter`] | the trait of these, for a format of your own |
//!
//! A reply of more than 256 KiB is not parsed, and JSON nests at most 128 deep.
//!
//! | feature | adds |
//! |---|---|
//! | `tracing` | spans of predictors, agents, tools and calls |
//!
//! None is on by default.

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
