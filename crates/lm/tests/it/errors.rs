//! What can not pass by itself: one request, the provider's words, a hint.

use promptopt_core::lm::{Attempts, LanguageModel, LmError};
use promptopt_lm::ChatClient;
use serde_json::json;

use crate::support::{Answer, CANARY, Server, ask, client};

/// Asks a server that answers so; checks that it was asked once and that the message has `parts`.
async fn check(answer: Answer, parts: &[&str]) -> LmError {
    let server = Server::start([answer]).await;
    let (client, clock) = client(&server.base_url);
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(server.seen().len(), 1, "tried again after: {error}");
    assert!(clock.waits().is_empty());
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert!(!format!("{message}{error:?}").contains("canary"), "{message}");
    error
}

#[tokio::test]
async fn a_refused_key_is_final_and_never_echoed() {
    let words = format!("Incorrect API key provided: {CANARY}. Find yours in the console.");
    for status in [401, 403] {
        let error = check(
            Answer::error(status, &words).header("retry-after", "1"),
            &["Incorrect API key provided: [redacted]", "check the key given as `api_key`"],
        )
        .await;
        assert!(matches!(error, LmError::Unauthorized { status: s, .. } if s == status));
        assert!(error.is_fatal());
    }
}

#[tokio::test]
async fn a_bad_request_is_final() {
    let error =
        check(Answer::error(400, "temperature is too high"), &["HTTP 400", "temperature is too high"]);
    assert!(error.await.is_fatal());
    let detail = json!({"detail": [{"loc": ["body", "n"], "msg": "must be 1"}]});
    check(Answer::new(422, detail), &["HTTP 422", "body.n: must be 1"]).await;
    check(Answer::error(404, "no such model"), &["no such model", "model name `tiny`", "base URL"]).await;
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_the_prompts_fault() {
    let body = json!({"error": {"message": "16385 tokens at most", "code": "context_length_exceeded"}});
    let error = check(Answer::new(400, body), &["16385 tokens at most"]).await;
    assert!(matches!(error, LmError::ContextLength { .. }) && error.is_caused_by_prompt());
}

#[tokio::test]
async fn a_withheld_reply_is_a_refusal() {
    let filtered = json!({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]});
    let refused = json!({"choices": [{"message": {"content": null, "refusal": "I can't help with that."}}]});
    let rejected = json!({"error": {"message": "policy", "code": "content_filter"}});
    for (status, body, words) in
        [(200, filtered, "content filter"), (200, refused, "I can't help"), (400, rejected, "policy")]
    {
        let error = check(Answer::new(status, body), &[words]).await;
        assert!(matches!(error, LmError::Refused { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_account_without_credit_is_not_waited_for() {
    let body = json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}});
    let error = check(Answer::new(429, body).header("retry-after", "1"), &["no credit left"]).await;
    assert!(error.is_fatal());
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_key_elsewhere() {
    let target = Server::start([Answer::text("caught")]).await;
    let moved = Answer::new(307, "").header("location", format!("{}/chat/completions", target.base_url));
    check(moved, &["is not followed", "mend the base URL"]).await;
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn without_a_key_the_hint_names_the_variable() {
    let server = Server::start([Answer::error(401, "who are you?")]).await;
    let named = ChatClient::builder()
        .base_url(&server.base_url)
        .model("tiny")
        .api_key_env("CARGO_PKG_NAME")
        .build()
        .unwrap();
    let message = named.complete(&ask(), &Attempts::any()).await.unwrap_err().to_string();
    assert!(message.contains("check the key in the environment variable `CARGO_PKG_NAME`"), "{message}");
    assert_eq!(server.seen()[0].headers["authorization"], "Bearer promptopt-lm");
}
