//! Clients for language models that can be left alone with a million requests: OpenAI-compatible chat endpoints, and
//! other providers by a feature.
//!
//! [`ChatClient`] implements [`LanguageModel`](promptopt_core::lm::LanguageModel) over
//! `POST {base_url}/chat/completions`: the dialect that hosted providers, vLLM, llama.cpp, Ollama and
//! most gateways speak. So it is a model for [promptopt](https://docs.rs/promptopt), where this crate is the feature `lm`,
//! and it works without it. It does the tedious part well and nothing else:
//!
//! - **Retries** for what passes by itself (HTTP 408, 409, 429, 5xx, broken connections, timeouts,
//!   unreadable bodies), with exponential backoff and full jitter. A wait that the provider asks for
//!   is kept in full, whichever header asks for it. What can not pass by itself (400, 401, 403,
//!   404, 422, an exhausted quota) is never tried again.
//! - **Fallbacks** for what the model does not take: `response_format` and sampling parameters are left
//!   out, and `max_tokens` goes by its other name, as soon as the server says so.
//! - **Rate control**, adaptive or fixed, shared by the clients of an endpoint: see [`RateControl`].
//! - **Bounds** on every wait and on the size of a reply, which is cut off while it streams in.
//! - **Errors** with the provider's own words, shortened and cleaned, and what the user can do.
//! - **Secrets** stay secret: the key is in no message, no log and no `Debug` output, even where a
//!   provider echoes it.
//!
//! Budgets and caches are not part of a client: they stand around it. A retry that may be billed is made only where
//! [`Attempts`](promptopt_core::lm::Attempts) permits it, which is how a budget stops it. What a model costs is in
//! [`KnownPrices`], where it is known.
//!
//! | Feature | What it adds |
//! | --- | --- |
//! | `providers` (off) | `ProviderClient` for Anthropic, Gemini and Ollama by their own APIs, over the `genai` crate |
//!
//! [`by_name`] finds the client for a name such as `anthropic/claude-sonnet-4-5`, `groq/…` or
//! `MODEL@http://localhost:8000/v1`; the [`Provider`]s that speak the OpenAI dialect need no feature.
//!
//! ```
//! use promptopt_core::lm::{Attempts, LanguageModel, LmRequest, Message, Sampling};
//! use promptopt_lm::ChatClient;
//!
//! # fn main() -> Result<(), promptopt_lm::ConfigError> {
//! let client = ChatClient::builder()
//!     .base_url("http://localhost:8000/v1")
//!     .model("my-model")
//!     .sampling(Sampling::default().with_temperature(0.0).with_max_tokens(200))
//!     .build()?;
//! assert_eq!(client.profile().id, "localhost:8000/v1 my-model temperature=0.0 max_tokens=200");
//!
//! # async fn ask(client: &ChatClient) -> Result<(), promptopt_core::lm::LmError> {
//! let reply = client.complete(&LmRequest::new(vec![Message::user("Say hello.")]), &Attempts::any()).await?;
//! println!("{}", reply.first_text());
//! # Ok(())
//! # }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod bill;
mod body;
mod by_name;
mod chat;
mod classify;
mod client;
mod conduct;
mod config_error;
mod draft;
mod endpoint;
mod exchange;
mod form_refusal;
mod format_support;
mod forms;
mod headers;
mod hearer;
mod hedge;
mod identity;
mod lines;
mod name;
#[cfg(feature = "providers")]
mod native;
mod only_model;
mod parameter_refusal;
mod parameter_support;
mod payload;
mod prices;
mod provider;
mod provider_error;
mod rate;
mod reasoning;
mod reply;
mod retry;
mod retry_after;
mod secrets;
mod server;
mod serving;
mod surface;
mod text;
mod timer;
mod transport;
mod wire;

pub use body::MaxTokensField;
pub use by_name::{ModelSettings, by_name};
pub use chat::{ChatClient, ChatClientBuilder};
pub use config_error::ConfigError;
pub use name::ModelName;
#[cfg(feature = "providers")]
pub use native::{ProviderClient, ProviderClientBuilder};
pub use only_model::only_model;
pub use prices::KnownPrices;
pub use provider::Provider;
pub use rate::{AdaptiveConcurrency, Concurrency, RateControl, RateControlBuilder};
#[doc(hidden)]
pub use reply::read_body;
pub use timer::{SystemTimer, Timer};
