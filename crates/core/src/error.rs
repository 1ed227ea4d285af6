//! What can go wrong in the shared parts, and when an optimizer cannot start or go on.

/// An error of promptopt's core and of every [`Optimizer`](crate::Optimizer).
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
    /// An option has a value it cannot have.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with its value, and what to do.
        reason: String,
    },
    /// A text is no amount of money.
    #[error("`{text}` is no amount of money; write it in dollars, such as `0.05` or `$0.05`")]
    Money {
        /// The text.
        text: String,
    },
    /// The data cannot serve.
    #[error("the data set cannot be used: {reason}")]
    Data {
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The model refused or failed in a way that every further call would meet again.
    #[error("the language model ended the run before anything was learnt: {message}")]
    Model {
        /// The provider's words, with context, and what to do.
        message: String,
    },
    /// The run ended before even the original program was evaluated.
    #[error("the run ended before the original program was evaluated: {reason}")]
    TooEarly {
        /// Why it ended, and what to do.
        reason: String,
        /// The same for a program to read; `None` where every rollout failed.
        stop: Option<crate::StopReason>,
    },
    /// The rollout store failed.
    #[error("the rollout store failed while {doing}")]
    Store {
        /// What was being done.
        doing: String,
        /// What the store said.
        source: anyhow::Error,
    },
    /// A stage of an optimizer failed.
    #[error("the {stage} stage failed")]
    Stage {
        /// Name of the stage.
        stage: &'static str,
        /// The stage's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn signature(signature: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Signature { signature: signature.into(), reason: reason.into() }
    }

    /// An option with a value it cannot have.
    pub fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }

    /// A failed stage.
    pub fn stage(stage: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Stage { stage, source: Box::new(source) }
    }
}
