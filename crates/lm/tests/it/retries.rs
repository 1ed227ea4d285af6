//! What passes by itself: how often and when it is tried again.

use std::sync::Arc;
use std::time::Duration;

use promptopt_core::lm::{Attempts, LanguageModel, LmError};
use promptopt_lm::{ChatClient, Timer};
use serde_json::json;

use crate::support::{Answer, Server, StoppedClock, ask, client};

/// The wait before the second attempt when the first is answered so.
async fn wait_after(answer: Answer) -> f64 {
    let server = Server::start([answer, Answer::text("ok")]).await;
    let (client, clock) = client(&server.base_url);
    assert_eq!(client.complete(&ask(), &Attempts::any()).await.unwrap().first_text(), "ok");
    let [wait] = clock.waits().try_into().unwrap();
    wait
}

/// The wait that was asked for is kept in full, and exceeded by at most the spread of half a second.
async fn check(answer: Answer, asked: f64) {
    let wait = wait_after(answer).await;
    assert!((asked..=asked + 0.5).contains(&wait), "asked for {asked} s, waited {wait} s");
}

#[tokio::test]
async fn retry_after_in_seconds() {
    check(Answer::error(429, "slow").header("retry-after", "7"), 7.0).await;
    check(Answer::error(503, "busy").header("retry-after", "2.5"), 2.5).await;
}

#[tokio::test]
async fn retry_after_as_a_date() {
    let answer = Answer::error(429, "slow")
        .header("date", "Sun, 06 Nov 1994 08:49:00 GMT")
        .header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
    check(answer, 37.0).await;
}

#[tokio::test]
async fn retry_after_in_milliseconds() {
    check(Answer::error(429, "slow").header("retry-after-ms", "1300"), 1.3).await;
}

#[tokio::test]
async fn a_retry_delay_in_the_body() {
    let body = json!([{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}]}}]);
    check(Answer::new(429, body), 12.0).await;
}

#[tokio::test]
async fn every_passing_status_is_tried_again() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        let wait = wait_after(Answer::error(status, "later")).await;
        assert!(wait <= 0.5, "HTTP {status}: {wait} s");
    }
    let gateway = Answer::new(200, json!({"error": {"code": 502, "message": "upstream died"}}));
    wait_after(gateway).await;
}

#[tokio::test]
async fn retries_end_with_the_providers_words() {
    let server = Server::start([Answer::error(503, "The engine is overloaded")]).await;
    let (client, clock) = client(&server.base_url);
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::Server { status: 503, .. }));
    let message = error.to_string();
    assert!(message.contains("The engine is overloaded (gave up after 6 attempts)"), "{message}");
    assert_eq!(server.seen().len(), 6);
    let waits = clock.waits();
    assert_eq!(waits.len(), 5);
    for (wait, bound) in waits.iter().zip([0.5, 1.0, 2.0, 4.0, 8.0]) {
        assert!(*wait <= bound, "{waits:?}");
    }
}

#[tokio::test]
async fn a_wait_beyond_the_bound_is_said_and_not_waited() {
    let server = Server::start([Answer::error(429, "Daily limit").header("retry-after", "86400")]).await;
    let (client, clock) = client(&server.base_url);
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
    let message = error.to_string();
    assert!(message.contains("Daily limit") && message.contains("86400 s"), "{message}");
    assert_eq!((server.seen().len(), clock.waits().len()), (1, 0));
}

#[tokio::test]
async fn the_bounds_of_the_backoff_can_be_set() {
    let server = Server::start([Answer::error(500, "no")]).await;
    let clock = Arc::new(StoppedClock::default());
    let build = |retries: u32| {
        ChatClient::builder()
            .base_url(&server.base_url)
            .model("tiny")
            .max_retries(retries)
            .backoff_base(Duration::from_secs(100))
            .backoff_max(Duration::from_secs(150))
            .max_retry_after(Duration::ZERO)
            .jitter_seed(1)
            .clock(Arc::clone(&clock) as Arc<dyn Timer>)
            .build()
            .unwrap()
    };
    build(20).complete(&ask(), &Attempts::any()).await.unwrap_err();
    let waits = clock.waits();
    assert_eq!(waits.len(), 20);
    assert!(waits.iter().all(|wait| *wait <= 150.0) && waits.iter().any(|wait| *wait > 75.0), "{waits:?}");

    let message = build(0).complete(&ask(), &Attempts::any()).await.unwrap_err().to_string();
    assert_eq!(message, "the provider failed (HTTP 500): no");
    assert_eq!(server.seen().len(), 22);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_waits() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let server = Server::start([Answer::error(500, "no")]).await;
        let (client, clock) = client(&server.base_url);
        client.complete(&ask(), &Attempts::any()).await.unwrap_err();
        runs.push(clock.waits());
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn the_real_clock_waits() {
    let limited = Answer::error(429, "slow").header("retry-after-ms", "200");
    let server = Server::start([limited, Answer::text("ok")]).await;
    let client = ChatClient::builder().base_url(&server.base_url).model("tiny").build().unwrap();
    let start = std::time::Instant::now();
    client.complete(&ask(), &Attempts::any()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
}
