//! Why a run cannot start or go on.

use crate::StopReason;

/// Why an optimizer cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program, its signatures or its prompts are not usable.
    #[error(transparent)]
    Core(#[from] promptopt_core::Error),
    /// An option has a value it cannot have.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with its value, and what to do.
        reason: String,
    },
    /// The data cannot be used.
    #[error("the data set cannot be used: {reason}")]
    Data {
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// What the program did shows that it cannot be improved.
    #[error("the program cannot be improved: {reason}")]
    Program {
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
        stop: Option<StopReason>,
    },
    /// The rollout store failed.
    #[error("the rollout store failed while {doing}")]
    Store {
        /// What was being done.
        doing: String,
        /// What the store said.
        source: anyhow::Error,
    },
    /// Scores could not be compared.
    #[error("the scores could not be compared")]
    Statistics(#[from] promptopt_statistics::Error),
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
    /// An option with a value it cannot have.
    pub fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }

    /// A failed stage.
    pub fn stage(stage: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Stage { stage, source: Box::new(source) }
    }
}
