//! Gemini: `POST /v1beta/models/…:generateContent`.

use promptopt_core::lm::{Attempts, FinishReason, LanguageModel, LmError, ResponseFormat};
use promptopt_core::money::Usage;
use promptopt_lm::ProviderClient;
use serde_json::{Value, json};

use super::{GEMINI, chat, client, client_with, fail, sampling};
use crate::support::{Answer, CANARY, Server};

fn candidate(text: &str, finish_reason: &str) -> Value {
    json!({
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": finish_reason, "index": 0}],
        "usageMetadata": {"promptTokenCount": 20, "cachedContentTokenCount": 12, "candidatesTokenCount": 5,
                          "thoughtsTokenCount": 30, "totalTokenCount": 55},
        "modelVersion": "gemini-2.5-flash",
    })
}

fn error(status: u16, kind: &str, message: &str, details: Value) -> Answer {
    let error = json!({"code": status, "message": message, "status": kind, "details": details});
    Answer::new(status, json!({"error": error}))
}

#[tokio::test]
async fn a_chat_goes_over_the_wire_as_gemini_wants_it_and_comes_back() {
    let server = Server::start([Answer::new(200, candidate("Paris", "STOP"))]).await;
    let mut sampling = sampling();
    sampling.seed = Some(3);
    let (client, _) = client_with(GEMINI, &server.base_url, sampling);
    let reply = client.complete(&chat(), &Attempts::any()).await.unwrap();
    assert_eq!(reply.first_text(), "Paris");
    assert_eq!(reply.completions[0].finish_reason, FinishReason::Stop);
    assert_eq!(
        reply.usage,
        Usage::call(20, 35).with_cached(12).with_reasoning(30),
        "hidden reasoning is written, too"
    );

    let seen = &server.seen()[0];
    assert_eq!(seen.uri.to_string(), "/v1/models/gemini-2.5-flash:generateContent");
    assert_eq!(seen.headers["x-goog-api-key"], CANARY);
    assert_eq!(seen.body["systemInstruction"]["parts"][0]["text"], "Be brief.");
    let roles: Vec<_> =
        seen.body["contents"].as_array().unwrap().iter().map(|it| it["role"].as_str()).collect();
    assert_eq!(roles, [Some("user"), Some("model"), Some("user")]);
    assert_eq!(
        seen.body["generationConfig"],
        json!({"temperature": 0.25, "stopSequences": ["END"], "maxOutputTokens": 9, "topP": 0.5, "seed": 3})
    );
}

#[tokio::test]
async fn formats_and_extra_parameters_go_beside_the_sampling() {
    let server = Server::start([Answer::new(200, candidate("{}", "STOP"))]).await;
    let client = ProviderClient::builder()
        .model(GEMINI)
        .base_url(&server.base_url)
        .api_key(CANARY)
        .sampling(sampling())
        .extra("generationConfig", json!({"topK": 5}))
        .extra("safetySettings", json!([]))
        .build()
        .unwrap();
    let schema = json!({"type": "object"});
    let formats =
        [ResponseFormat::JsonObject, ResponseFormat::JsonSchema { name: "a".into(), schema: schema.clone() }];
    for response_format in formats {
        client.complete(&chat().with_response_format(response_format), &Attempts::any()).await.unwrap();
    }
    let seen = server.seen();
    for seen in &seen {
        let config = &seen.body["generationConfig"];
        assert_eq!(
            (&config["topK"], &config["topP"], &config["maxOutputTokens"]),
            (&json!(5), &json!(0.5), &json!(9))
        );
        assert_eq!(config["responseMimeType"], "application/json");
        assert_eq!(seen.body["safetySettings"], json!([]));
    }
    assert_eq!(seen[0].body["generationConfig"].get("responseJsonSchema"), None);
    assert_eq!(seen[1].body["generationConfig"]["responseJsonSchema"], schema);
}

#[tokio::test]
async fn cut_withheld_and_blocked_are_told_apart() {
    let mut thought_only = candidate("", "MAX_TOKENS");
    thought_only["candidates"][0]["content"] = json!({"role": "model"});
    thought_only["usageMetadata"]["candidatesTokenCount"].take();
    let server = Server::start([Answer::new(200, thought_only)]).await;
    let (client, _) = client(GEMINI, &server.base_url);
    let reply = client.complete(&chat(), &Attempts::any()).await.unwrap();
    assert_eq!((reply.first_text(), reply.completions[0].finish_reason), ("", FinishReason::Length));
    assert_eq!(reply.usage, Usage::call(20, 30).with_cached(12).with_reasoning(30));

    let withheld = json!({"candidates": [{"finishReason": "SAFETY", "index": 0}]});
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}});
    let empty = json!({"candidates": [], "promptFeedback": {"blockReason": "OTHER"}});
    for (body, reason) in [(withheld, "SAFETY"), (blocked, "PROHIBITED_CONTENT"), (empty, "OTHER")] {
        let (error, seen, _) = fail(GEMINI, [Answer::new(200, body)]).await;
        assert!(matches!(&error, LmError::Refused { message } if message.contains(reason)), "{error}");
        assert_eq!(seen.len(), 1);
    }
}

#[tokio::test]
async fn errors_are_classified() {
    let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let words = "API key not valid. Please pass a valid API key.";
    let (unauthorized, ..) = fail(GEMINI, [error(400, "INVALID_ARGUMENT", words, details)]).await;
    assert!(matches!(unauthorized, LmError::Unauthorized { status: 400, .. }), "{unauthorized}");
    assert!(unauthorized.to_string().contains("check the key given"), "{unauthorized}");

    let words = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).";
    let (too_long, ..) = fail(GEMINI, [error(400, "INVALID_ARGUMENT", words, json!([]))]).await;
    assert!(matches!(too_long, LmError::ContextLength { .. }), "{too_long}");
}

#[tokio::test]
async fn the_wait_in_the_body_of_a_429_is_kept() {
    let details = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}]);
    let limited = error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for requests per minute.", details);
    let server = Server::start([limited, Answer::new(200, candidate("Paris", "STOP"))]).await;
    let (client, clock) = client(GEMINI, &server.base_url);
    assert_eq!(
        client.complete(&chat(), &Attempts::any()).await.unwrap().usage.calls,
        1,
        "a refusal is not billed"
    );
    let waited: f64 = clock.waits().iter().sum();
    assert!((12.0..13.0).contains(&waited), "{waited}");
}
