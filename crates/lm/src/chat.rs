//! The client for the OpenAI dialect.

mod builder;
mod client;
mod embeddings;
mod stream;
mod wire;

pub use builder::ChatClientBuilder;
pub(crate) use builder::USER_AGENT;
pub use client::ChatClient;
