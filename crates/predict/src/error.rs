//! Why a predictor gave no prediction.

use promptopt_core::lm::{LmError, ReplyError};

/// Why a predictor gave no prediction. The cause stays in the chain, so that a failure of the
/// provider is told apart from a reply that does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program gave the predictor no value for one of its inputs.
    #[error("predictor `{predictor}` needs the input `{field}`, but was given {given}")]
    MissingInput {
        /// Path of the predictor.
        predictor: String,
        /// The input that is missing.
        field: String,
        /// The fields it was given.
        given: String,
    },
    /// An image, a file or a history has a form that no message can show.
    #[error(
        "predictor `{predictor}` needs {kind} in the input `{field}`, but was given {found}: give an image as its address \
         or as `data:…;base64,…`, a file as an object with `file_data` or `file_id`, a history as a list of turns"
    )]
    Input {
        /// Path of the predictor.
        predictor: String,
        /// The input.
        field: String,
        /// Its type in short form.
        kind: String,
        /// What it was given, shortened.
        found: String,
    },
    /// The fields of a typed signature do not make its Rust types.
    #[error("predictor `{predictor}` cannot use the types of its signature")]
    Typed {
        /// Path of the predictor.
        predictor: String,
        /// What does not fit.
        source: promptopt_core::Error,
    },
    /// The prompt in force names a format that there is not.
    #[error(
        "the prompt of predictor `{predictor}` has the format `{format}`; there are `chat`, `json` and `plain`"
    )]
    UnknownFormat {
        /// Path of the predictor.
        predictor: String,
        /// What the prompt names.
        format: String,
    },
    /// The model gave no reply.
    #[error("predictor `{predictor}` got no reply")]
    Model {
        /// Path of the predictor.
        predictor: String,
        /// What the model's client said.
        source: LmError,
    },
    /// The model replied, but not in the form asked for.
    #[error("predictor `{predictor}` got a reply it cannot use")]
    Reply {
        /// Path of the predictor.
        predictor: String,
        /// What is wrong with it.
        source: ReplyError,
    },
    /// A language model that a tool called gave no reply.
    #[error("the tool `{tool}` failed")]
    Tool {
        /// Path of the tool.
        tool: String,
        /// What the tool said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// What it is, in a word, for traces.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::MissingInput { .. } => "missing_input",
            Self::Input { .. } => "input",
            Self::Typed { .. } => "typed",
            Self::UnknownFormat { .. } => "unknown_format",
            Self::Model { .. } => "model",
            Self::Reply { .. } => "reply",
            Self::Tool { .. } => "tool",
        }
    }
}
