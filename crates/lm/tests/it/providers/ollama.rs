//! Ollama: `POST /api/chat`.

use promptopt_core::lm::{Attempts, FinishReason, LanguageModel, LmError, ResponseFormat};
use promptopt_core::money::Usage;
use promptopt_lm::ProviderClient;
use serde_json::{Value, json};

use super::{OLLAMA, chat, client, client_with, fail, sampling};
use crate::support::{Answer, CANARY, Server};

fn reply(text: &str, done_reason: &str) -> Value {
    json!({
        "model": "llama3.2:3b", "created_at": "2025-10-01T00:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": true, "done_reason": done_reason, "total_duration": 1, "prompt_eval_count": 26, "eval_count": 4,
    })
}

#[tokio::test]
async fn a_chat_goes_over_the_wire_as_ollama_wants_it_and_comes_back() {
    let server = Server::start([Answer::new(200, reply("Paris", "stop"))]).await;
    let mut sampling = sampling();
    sampling.seed = Some(3);
    let (client, _) = client_with(OLLAMA, server.base_url.trim_end_matches("/v1"), sampling);
    let reply = client.complete(&chat(), &Attempts::any()).await.unwrap();
    assert_eq!((reply.first_text(), reply.usage), ("Paris", Usage::call(26, 4)));

    let seen = &server.seen()[0];
    assert_eq!(seen.uri.path(), "/api/chat");
    assert_eq!(seen.headers["authorization"], format!("Bearer {CANARY}").as_str());
    assert_eq!(seen.body["model"], "llama3.2:3b");
    assert_eq!(seen.body["stream"], false);
    let roles: Vec<_> =
        seen.body["messages"].as_array().unwrap().iter().map(|it| it["role"].as_str()).collect();
    assert_eq!(roles, [Some("system"), Some("user"), Some("assistant"), Some("user")]);
    assert_eq!(
        seen.body["options"],
        json!({"temperature": 0.25, "top_p": 0.5, "num_predict": 9, "seed": 3, "stop": ["END"]})
    );
}

#[tokio::test]
async fn a_schema_is_asked_for_as_json_and_a_cut_is_told() {
    let server = Server::start([Answer::new(200, reply("{", "length"))]).await;
    let (client, _) = client(OLLAMA, &server.base_url);
    let response_format = ResponseFormat::JsonSchema { name: "a".into(), schema: json!({}) };
    let reply =
        client.complete(&chat().with_response_format(response_format), &Attempts::any()).await.unwrap();
    assert_eq!(reply.completions[0].finish_reason, FinishReason::Length);
    assert_eq!(server.seen()[0].body["format"], "json");
}

#[tokio::test]
async fn a_missing_model_is_said_and_no_key_is_needed() {
    let words = "model 'llama3.2:3b' not found";
    let (error, ..) = fail(OLLAMA, [Answer::new(404, json!({"error": words}))]).await;
    assert!(
        matches!(&error, LmError::InvalidRequest { status: 404, message } if message.contains(words)),
        "{error}"
    );

    let client = ProviderClient::builder().model(OLLAMA).build().unwrap();
    assert_eq!(
        (client.profile().id.as_str(), client.url()),
        ("ollama llama3.2:3b", "http://localhost:11434")
    );
    assert_eq!(client.profile().price, None);
}
