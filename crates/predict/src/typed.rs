//! The Rust types of a predictor, where it has any.

use std::marker::PhantomData;

use promptopt_core::data::Fields;
use promptopt_core::signature::{TypedSignature, from_fields};

/// The types of a predictor that takes and gives fields.
#[derive(Debug, Clone, Copy)]
pub enum Untyped {}

/// The Rust types of a predictor.
pub(crate) struct Of<S> {
    /// Why no output can be made of some fields.
    misfit: fn(&Fields) -> Option<String>,
    of: PhantomData<fn() -> S>,
}

impl<S> Clone for Of<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Of<S> {}

impl Of<Untyped> {
    pub(crate) fn fields() -> Self {
        Self { misfit: |_| None, of: PhantomData }
    }
}

impl<S: TypedSignature> Of<S> {
    pub(crate) fn typed() -> Self {
        Self {
            misfit: |fields| from_fields::<S::Output>(fields).err().map(|error| error.to_string()),
            of: PhantomData,
        }
    }
}

impl<S> Of<S> {
    /// Outputs of which the Rust type can be made, or why it cannot.
    pub(crate) fn checked(&self, outputs: Fields) -> Result<Fields, String> {
        match (self.misfit)(&outputs) {
            None => Ok(outputs),
            Some(reason) => Err(reason),
        }
    }
}
