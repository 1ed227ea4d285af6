//! Weights: which models are known, where their files lie, and whether a file can be trusted.

mod checksum;
#[cfg(any(feature = "llama", test))]
mod gguf;
mod install;
mod known;
mod locate;
#[cfg(any(feature = "llama", test))]
mod requantize;

pub use checksum::{check_header, sha256_file, verify};
pub use install::install_from_reader;
pub use known::{DEFAULT_MODEL, KnownModel, Source, known_model, known_models};
pub use locate::{CACHE_VARIABLE, MODEL_PATH_VARIABLE, cache_dir, resolve, resolve_in};
#[cfg(feature = "llama")]
pub(crate) use requantize::{RECIPE, derived_name, requantize};
