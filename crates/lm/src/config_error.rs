//! What can be wrong with a client before it has sent anything.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// Why a client or its [`RateControl`](crate::RateControl) could not be built.
///
/// No message holds a key, a password or the value of a header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The base URL can not be used.
    #[error("the base URL `{url}` can not be used: {reason}")]
    BaseUrl {
        /// The URL, without user name, password and query.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The environment variable named for the key is not set.
    #[error(
        "the environment variable `{variable}`, which should hold the API key, is not set or is empty; set it, or give \
         the key in another way"
    )]
    MissingKey {
        /// Name of the variable.
        variable: String,
    },
    /// The file named for the key can not be read.
    #[error("reading the API key from the file `{}`; check the path in `api_key_file`", .file.display())]
    KeyFile {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The key can not be sent in a header.
    #[error("the API key from {origin} can not be used: {reason}")]
    Key {
        /// Where the key came from.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An extra header can not be sent.
    #[error("the header `{name}` can not be used: {reason}")]
    Header {
        /// Name of the header.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An extra body parameter is one that the client sets itself.
    #[error("the extra body parameter `{name}` clashes with one of the client's own; {instead}")]
    BodyParameter {
        /// Name of the parameter.
        name: String,
        /// What to use instead.
        instead: String,
    },
    /// An option has a value that makes no sense.
    #[error("the option `{option}` can not be used: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// The name of a model says nothing that can be used.
    #[error("the model name `{name}` can not be used: {reason}")]
    ModelName {
        /// The name, without what could be a login.
        name: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The provider needs a feature that this program was built without.
    #[error(
        "`{provider}/…` needs the feature `{feature}`, which this program was built without; build it with `--features {feature}`"
    )]
    Feature {
        /// The provider's prefix.
        provider: &'static str,
        /// The feature of `promptopt-lm`.
        feature: &'static str,
    },
    /// The models of a server could not be listed, or there is not exactly one.
    #[error("no model is named, and the server's only one can not be told: {reason}")]
    Models {
        /// What happened, and what to do.
        reason: String,
    },
    /// The HTTP stack could not be set up, for example for want of root certificates.
    #[error("the HTTP client could not be set up: {reason}")]
    Http {
        /// What failed.
        reason: String,
        /// The error of the HTTP library.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ConfigError {
    /// The error of an option whose value makes no sense.
    pub(crate) fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }
}
