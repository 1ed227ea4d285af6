//! What can go wrong in the shared parts.

use std::path::PathBuf;

use crate::program::{Drift, in_words};
use crate::prompt::Misfit;

/// Why a signature, a program, demos, a value or an amount cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A signature cannot be what it says.
    #[error("signature `{signature}`: {reason}")]
    Signature {
        /// The signature, in short form.
        signature: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The program cannot be optimized or installed into as it is.
    #[error("the program cannot be optimized: {reason}")]
    Program {
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Demos do not fit the signature of their predictor.
    #[error("the demos of the predictor `{predictor}` do not fit its signature: {misfit}")]
    Demos {
        /// The predictor's path.
        predictor: String,
        /// What does not fit, and what to do.
        misfit: Misfit,
    },
    /// A saved program is not of the program that it should be installed in.
    #[error(
        "the saved program `{program}` is not for the program as it is: {}. Optimize the program again and save it, or go \
         back to the signatures of the file; `install` takes prompts without this check",
        in_words(.drifts)
    )]
    Drift {
        /// Name of the saved program.
        program: String,
        /// What differs.
        drifts: Vec<Drift>,
    },
    /// A program could not be read from a file or written to one.
    #[error("the program file {}: {reason}", .path.display())]
    ProgramFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A value is not of its field's type.
    #[error("the field `{field}`, whose type is {kind}, holds {found}: correct the value or the type")]
    Value {
        /// The field.
        field: String,
        /// Its type, in short form.
        kind: String,
        /// The value, shortened.
        found: String,
    },
    /// Fields do not make a value of a Rust type, or a value no fields.
    #[error("the fields are no `{what}`: {reason}")]
    Fields {
        /// The type.
        what: &'static str,
        /// Which field does not fit, and why.
        reason: String,
    },
    /// A text is not an amount of money.
    #[error("cannot parse `{text}` as an amount in dollars; write it like `0.05` or `$0.05`")]
    Money {
        /// The text.
        text: String,
    },
}

impl Error {
    pub(crate) fn signature(signature: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Signature { signature: signature.into(), reason: reason.into() }
    }
}
