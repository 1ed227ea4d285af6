//! The client for providers that do not speak the OpenAI dialect, over the `genai` crate.

mod builder;
mod client;
mod exchange;
mod failure;
mod key;
mod reply;
mod request;

pub use builder::ProviderClientBuilder;
pub use client::ProviderClient;
