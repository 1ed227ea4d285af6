//! A language model inside the process, on the CPU: llama.cpp behind the
//! [`LanguageModel`](promptopt_core::lm::LanguageModel) trait, made for evaluating prompts.
//!
//! It is the model of [promptopt](https://docs.rs/promptopt) where there is no key and no network. It works without it.
//! An evaluation sends the same instruction and demos again and again with different inputs, many
//! requests at a time. So `LocalModel` keeps what it has read of a prompt and reads only what is
//! new, runs one context per core, and gives **the same reply to the same request whatever else is
//! in flight**, in any order and at any concurrency. How, and what was measured, is said at
//! `LocalModel`. It needs the feature `llama`, which is not built on docs.rs: `cargo doc --features llama --open` shows it.
//!
//! ```no_run
//! # #[cfg(feature = "llama")]
//! # async fn run() -> anyhow::Result<()> {
//! use promptopt_core::lm::{Attempts, LanguageModel, LmRequest, Message};
//! use promptopt_lm_local::{LocalModel, LocalModelOptions, resolve};
//!
//! let path = resolve(None)?; // `PROMPTOPT_MODEL_PATH`, or the default model in the cache folder
//! let model = LocalModel::load(LocalModelOptions::builder().path(path).build()).await?;
//! let request = LmRequest::new(vec![
//!     Message::system("Answer with one word."),
//!     Message::user("The capital of France is"),
//! ]);
//! println!("{}", model.complete(&request, &Attempts::any()).await?.first_text());
//! # Ok(())
//! # }
//! ```
//!
//! # Weights
//!
//! [`resolve`] finds a file by path, environment or name, and says what to do when there is none.
//! This crate never fetches anything: [`known_models`] tells a program where the files lie,
//! [`install_from_reader`] puts what it fetched into place, checked and all at once.
//!
//! ```
//! use promptopt_lm_local::{DEFAULT_MODEL, known_model};
//!
//! let model = known_model(DEFAULT_MODEL).expect("the default is known");
//! assert_eq!(model.licence, "Apache-2.0");
//! assert!(model.sha256.is_some());
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `llama` | no | `LocalModel`, the engine: builds llama.cpp, which needs cmake, libclang and a C++ compiler and takes minutes |
//!
//! Without it the crate is the weights part alone and builds in seconds.
//!
//! # Speed of the model
//!
//! llama.cpp is compiled for x86-64 with AVX2 unless told more. Set the variables `GGML_AVX512`,
//! `GGML_AVX512_VNNI`, `GGML_AVX512_VBMI` and `GGML_AVX512_BF16` to `ON` before the first build
//! where the processor has these, or `RUSTFLAGS=-C target-cpu=native`.

#[cfg(feature = "llama")]
mod engine;
mod error;
mod weights;

#[cfg(feature = "llama")]
pub use engine::{LocalModel, LocalModelOptions, LocalStats};
pub use error::Error;
pub use weights::{
    CACHE_VARIABLE, DEFAULT_MODEL, KnownModel, MODEL_PATH_VARIABLE, Source, cache_dir, check_header,
    install_from_reader, known_model, known_models, resolve, resolve_in, sha256_file, verify,
};
