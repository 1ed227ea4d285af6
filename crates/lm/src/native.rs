//! The client for providers that do not speak the OpenAI dialect, over the `genai` crate.

mod builder;
mod chat;
mod client;
mod failure;
mod key;
mod mended;
mod reply;
mod request;
mod wire;

pub use builder::ProviderClientBuilder;
pub use client::ProviderClient;
