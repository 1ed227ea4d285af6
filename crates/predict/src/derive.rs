//! What the derive macros write. Not meant to be used by hand.

use std::future::Ready;

pub use anyhow;
pub use async_trait::async_trait;
pub use promptopt_core::data::{Fields, Prediction};
pub use promptopt_core::lm::LanguageModel;
pub use promptopt_core::program::{CallContext, HasPredictors, Module, Predictor};
pub use promptopt_core::signature::{FieldValue, Signature, TypedSignature};
use promptopt_core::signature::{from_fields, to_fields};
pub use serde;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What `forward` of a module takes.
#[diagnostic::on_unimplemented(
    message = "`forward` cannot take `{Self}`",
    note = "after the context it takes the input of a typed signature, such as `TriageInput`, `Fields`, or another struct that \
            derives `Deserialize`, by value"
)]
pub trait ForwardInput: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> ForwardInput for T {}

/// What `forward` of a module gives.
#[diagnostic::on_unimplemented(
    message = "`forward` cannot give `{Self}`",
    note = "it gives `anyhow::Result` of the output of a typed signature, such as `TriageOutput`, of `Prediction`, or of \
            another struct that derives `Serialize`"
)]
pub trait ForwardOutput: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize> ForwardOutput for T {}

/// What `forward` takes, of the fields of an example.
pub fn input<T: ForwardInput>(inputs: &Fields) -> anyhow::Result<T> {
    Ok(from_fields(inputs)?)
}

/// What `forward` gives, as a prediction.
pub fn output<T: ForwardOutput>(output: &T) -> anyhow::Result<Prediction> {
    Ok(Prediction::new(to_fields(output)?))
}

/// A struct that has written its `forward`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no method `forward`",
    note = "write the program as one: `async fn forward(&self, context: &CallContext, input: TriageInput) -> \
            anyhow::Result<TriageOutput>` in `impl {Self}`"
)]
pub trait HasForward {}

/// The method that is found where a struct has written none.
pub trait ForwardIsMissing {
    /// Cannot be called, because nothing is [`HasForward`].
    fn forward<T>(&self, _: &CallContext, _: T) -> Ready<anyhow::Result<Prediction>>
    where
        Self: HasForward,
    {
        std::future::ready(Ok(Prediction::default()))
    }
}

impl<T: ?Sized> ForwardIsMissing for T {}
