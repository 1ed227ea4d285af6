//! What can go wrong with weights and with the engine.

use std::io;
use std::path::PathBuf;

use promptopt_core::lm::LmError;

/// Why the weights could not be found, trusted or installed, or the engine could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file that was named does not exist.
    #[error(
        "no model file at {}; give the path of a GGUF file, or fetch one with `promptopt model pull smollm2-135m`",
        path.display()
    )]
    Missing {
        /// The path that was looked at.
        path: PathBuf,
    },
    /// A known model is not in the cache folder yet.
    #[error(
        "the weights of `{name}` are not in {}; fetch them with `promptopt model pull {name}`, or set PROMPTOPT_MODEL_PATH to a GGUF file, or give a path",
        folder.display()
    )]
    NotInstalled {
        /// Name of the model.
        name: String,
        /// The cache folder that was looked at.
        folder: PathBuf,
    },
    /// The name is neither a known model nor a path.
    #[error(
        "no known model is called `{name}` (known: {known}); give one of these names, or the path of a GGUF file"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The file is there, but its size is not that of the model.
    #[error(
        "{} holds {actual} bytes, but {expected} were expected, so it is cut off or another file; delete it and fetch it again with `promptopt model pull`",
        path.display()
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        actual: u64,
        /// The size it should have.
        expected: u64,
    },
    /// The file does not begin as a GGUF file does.
    #[error(
        "{} is not a GGUF model file (it does not begin with `GGUF`); delete it and fetch it again with `promptopt model pull`, or give the path of a GGUF file",
        path.display()
    )]
    NotGguf {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before its tensors do, or its head makes no sense.
    #[error(
        "{} is cut off or damaged; delete it and fetch it again with `promptopt model pull`, or give the path of a whole GGUF file",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// The content is not what its pinned checksum says.
    #[error(
        "{} is corrupt or another file: its sha256 is {actual}, but {expected} was expected; delete it and fetch it again with `promptopt model pull`",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The sha256 of its content, in hexadecimal.
        actual: String,
        /// The pinned sha256.
        expected: String,
    },
    /// The platform names no cache folder.
    #[error("this platform names no cache folder; set PROMPTOPT_CACHE to a folder for model weights")]
    NoCacheFolder,
    /// The file system refused.
    #[error("while {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, such as `reading`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// llama.cpp could not load or run the model.
    #[error("while {doing}: {message}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// What went wrong, and what to do.
        message: String,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

impl From<Error> for LmError {
    fn from(error: Error) -> Self {
        Self::Engine { message: error.to_string() }
    }
}
