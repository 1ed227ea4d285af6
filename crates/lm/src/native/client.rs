//! The client for providers that do not speak the OpenAI dialect.

use std::fmt;

use async_trait::async_trait;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, Tell};

use super::wire::NativeWire;
use crate::RateControl;
use crate::client::Client;
use crate::surface::client_surface;
use crate::wire::Wire as _;

/// A chat model behind an API of its provider's own. Made by [`ProviderClient::builder`].
///
/// The `genai` crate writes the requests and reads the replies. Waits, retries, limits, classification of
/// errors, prices and the masking of secrets are the same as with [`ChatClient`](crate::ChatClient);
/// nothing is retried within `genai`.
///
/// | | Anthropic | Gemini | Ollama |
/// | --- | --- | --- | --- |
/// | Prefix | `anthropic` | `gemini` | `ollama` |
/// | Key | `ANTHROPIC_API_KEY` | `GEMINI_API_KEY` | `OLLAMA_API_KEY`, may be missing |
/// | Address | `api.anthropic.com/v1` | `generativelanguage.googleapis.com/v1beta` | `localhost:11434` |
/// | Request | `messages` | `models/…:generateContent` | `api/chat` |
/// | `temperature`, `top_p`, `stop` | yes | yes | yes |
/// | `max_tokens` | yes, 4096 by default | yes | yes |
/// | `seed` | no | yes | yes |
/// | Any JSON object | not asked for | yes | yes |
/// | JSON schema | yes | yes | as any JSON object |
/// | Extra parameters | yes | yes | no |
/// | More than one completion | no | no | no |
///
/// # What a provider does not take
///
/// - [`LmRequest::n`] above 1 is [`LmError::InvalidRequest`], and nothing is sent: whoever wants several
///   completions asks for them one by one.
/// - A seed for Anthropic is a [`ConfigError`](crate::ConfigError) in the client's own sampling; one that comes
///   with a request is left out, with one warning in the log.
/// - A format that the provider does not have is not asked for, so that the prompt alone says what the reply
///   is to look like. One that the model rejects is left out, and so is a sampling parameter that it does
///   not support: the latter with one warning in the log, from then on. Neither changes the client's `id`.
/// - Extra parameters for Ollama are a [`ConfigError`](crate::ConfigError). `MODEL@http://localhost:11434/v1`
///   names the same model for [`ChatClient`](crate::ChatClient), which sends them.
/// - Ollama cuts a prompt that is longer than its context window, and says nothing of it.
///
/// # What is less than with `ChatClient`
///
/// - The size of a reply is not bounded, only its time: `genai` reads replies whole. An honest provider is
///   bounded by `max_tokens`; be careful with a base URL that you do not trust.
/// - There is one time limit for a whole attempt, and no hedge.
///
/// # Replies
///
/// - [`Usage`](promptopt_core::money::Usage) counts tokens that were read from or written to a provider's cache as
///   prompt tokens, and those of hidden reasoning as completion tokens. Their price is not told apart.
/// - Hidden reasoning is no part of the text.
/// - Text that a filter cut short comes as it is, with
///   [`FinishReason::ContentFilter`](promptopt_core::lm::FinishReason::ContentFilter); nothing left at all is
///   [`LmError::Refused`].
/// - Attempts that may be billed although no reply came count as with `ChatClient`.
///
/// # Logs
///
/// What `genai` and the HTTP library log of a request is dropped, since it holds prompts and replies. The
/// client's own log holds neither.
pub struct ProviderClient(pub(super) Client<NativeWire>);

client_surface!(ProviderClient);
