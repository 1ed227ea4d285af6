//! The client for providers against servers that speak as they do.

mod anthropic;
mod failures;
mod gemini;
mod ollama;
mod settings;
mod tools;

use std::sync::Arc;

use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmRequest, Message, Sampling};
use promptopt_lm::{ProviderClient, Timer};

use crate::support::{Answer, CANARY, Seen, Server, StoppedClock};

pub(crate) const ANTHROPIC: &str = "anthropic/claude-haiku-4-5";
pub(crate) const GEMINI: &str = "gemini/gemini-2.5-flash";
pub(crate) const OLLAMA: &str = "ollama/llama3.2:3b";

/// A client with a key that must never show, and its clock.
pub(crate) fn client(model: &str, base_url: &str) -> (ProviderClient, Arc<StoppedClock>) {
    client_with(model, base_url, Sampling::default())
}

fn client_with(model: &str, base_url: &str, sampling: Sampling) -> (ProviderClient, Arc<StoppedClock>) {
    let clock = Arc::new(StoppedClock::default());
    let client = ProviderClient::builder()
        .model(model)
        .base_url(base_url)
        .api_key(CANARY)
        .sampling(sampling)
        .jitter_seed(7)
        .clock(Arc::clone(&clock) as Arc<dyn Timer>)
        .build();
    (client.unwrap(), clock)
}

/// A chat with all roles but a prefix of the reply.
fn chat() -> LmRequest {
    LmRequest::new(vec![
        Message::system("Be brief."),
        Message::user("Capital of Italy?"),
        Message::assistant("Rome"),
        Message::user("Capital of France?"),
    ])
}

fn sampling() -> Sampling {
    Sampling::default()
        .with_temperature(0.25)
        .with_top_p(0.5)
        .with_max_tokens(9)
        .with_stop(vec!["END".into()])
}

/// The error of one request to a server that answers so, what the server saw, and the waits between.
async fn fail(model: &str, answers: impl IntoIterator<Item = Answer>) -> (LmError, Vec<Seen>, Vec<f64>) {
    let server = Server::start(answers).await;
    let (client, clock) = client(model, &server.base_url);
    let error = client.complete(&chat(), &Attempts::any()).await.unwrap_err();
    assert!(!format!("{error} {error:?} {client:?}").contains("canary"), "{error}");
    (error, server.seen(), clock.waits())
}
