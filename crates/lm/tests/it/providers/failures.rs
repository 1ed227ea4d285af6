//! What passes by itself, what does not, and what is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use promptopt_core::lm::{Attempts, FinishReason, LanguageModel, LmError};
use promptopt_core::money::Usage;
use promptopt_lm::{Concurrency, ProviderClient, RateControl};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{ANTHROPIC, GEMINI, OLLAMA, chat, client, fail};
use crate::support::{Answer, CANARY, Server, raw_server};

fn good() -> Answer {
    Answer::new(200, json!({"content": [{"type": "text", "text": "Paris"}], "stop_reason": "end_turn"}))
}

fn overloaded() -> Answer {
    Answer::new(529, json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
}

fn limited() -> Answer {
    let error = json!({"type": "rate_limit_error", "message": "This request would exceed your rate limit"});
    Answer::new(429, json!({"type": "error", "error": error}))
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_kept_and_a_failing_server_is_tried_again() {
    let answers = [limited().header("retry-after", "7"), overloaded(), Answer::new(500, "oops"), good()];
    let server = Server::start(answers).await;
    let (client, clock) = client(ANTHROPIC, &server.base_url);
    let reply = client.complete(&chat(), &Attempts::any()).await.unwrap();
    assert_eq!((reply.first_text(), reply.usage.calls), ("Paris", 1));
    assert_eq!(server.seen().len(), 4);
    let waited: f64 = clock.waits().iter().sum();
    assert!((7.0..10.5).contains(&waited), "{waited}");
}

#[tokio::test]
async fn retries_have_an_end_and_a_wait_beyond_the_bound_is_final() {
    let (error, seen, _) = fail(ANTHROPIC, [overloaded()]).await;
    assert!(matches!(error, LmError::Server { status: 529, .. }), "{error}");
    assert!(error.to_string().contains("gave up after 6 attempts"), "{error}");
    assert_eq!(seen.len(), 6);

    let (error, seen, waits) = fail(ANTHROPIC, [limited().header("retry-after", "3600")]).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!((seen.len(), waits.len()), (1, 0));
}

#[tokio::test]
async fn what_is_no_reply_is_tried_again_billed_and_shown_in_part() {
    let page = Answer::new(200, "<html><title>Log in</title>").header("content-type", "text/html");
    let (error, seen, _) = fail(GEMINI, [page]).await;
    assert!(matches!(&error, LmError::MalformedReply { message } if message.contains("Log in")), "{error}");
    assert_eq!(seen.len(), 6);

    let echo = Answer::new(200, json!({"unexpected": CANARY}));
    let (error, ..) = fail(ANTHROPIC, [echo]).await;
    assert!(
        matches!(&error, LmError::MalformedReply { message } if message.contains("unexpected")),
        "{error}"
    );

    let server = Server::start([Answer::new(200, "{\"content\": [{"), good()]).await;
    let (client, _) = client(ANTHROPIC, &server.base_url);
    assert_eq!(client.complete(&chat(), &Attempts::any()).await.unwrap().usage.calls, 2);
}

#[tokio::test]
async fn a_further_attempt_that_may_be_billed_is_asked_for() {
    let server = Server::start([Answer::new(200, "no JSON"), good()]).await;
    let (client, _) = client(ANTHROPIC, &server.base_url);
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let attempts = Attempts::asking(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        false
    });
    let error = client.complete(&chat(), &attempts).await.unwrap_err();
    assert!(error.to_string().contains("nothing is set aside for a further attempt"), "{error}");
    assert_eq!((asked.load(Ordering::SeqCst), server.seen().len()), (1, 1));
    assert_eq!(client.profile().max_attempts_billed, 6);
}

#[tokio::test]
async fn several_completions_are_refused_before_anything_is_sent() {
    let server = Server::start([good()]).await;
    let (client, _) = client(ANTHROPIC, &server.base_url);
    let error = client.complete(&chat().with_n(3), &Attempts::any()).await.unwrap_err();
    assert!(
        matches!(&error, LmError::InvalidRequest { message, .. } if message.contains("`n` is 3")),
        "{error}"
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_reply_that_never_ends_is_bounded_in_time() {
    let base_url = raw_server(|mut stream| async move {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut written = stream.write_all(head.as_bytes()).await;
        while written.is_ok() {
            written = stream.write_all(b"1\r\n \r\n").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let client = ProviderClient::builder()
        .model(OLLAMA)
        .base_url(base_url)
        .timeout(Duration::from_millis(200))
        .max_retries(0)
        .build()
        .unwrap();
    let error = client.complete(&chat(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::Timeout { .. }) && error.may_be_billed(), "{error}");
    assert_eq!(client.rate_control().in_flight(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_and_is_not_billed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (client, clock) = client(OLLAMA, &base_url);
    let attempts = Attempts::asking(|| panic!("nothing was sent"));
    let error = client.complete(&chat(), &attempts).await.unwrap_err();
    assert!(
        matches!(&error, LmError::Connection { message } if message.contains("is the server running")),
        "{error}"
    );
    assert_eq!(clock.waits().len(), 5);
}

#[tokio::test]
async fn a_missing_key_is_said_by_the_name_of_its_variable() {
    if std::env::var_os("ANTHROPIC_API_KEY").is_some() {
        return;
    }
    let keyless = || ProviderClient::builder().model(ANTHROPIC);
    let error = keyless().build().unwrap_err().to_string();
    assert!(error.contains("`ANTHROPIC_API_KEY`"), "{error}");
    // A proxy may have a key of its own.
    let body =
        json!({"type": "error", "error": {"type": "authentication_error", "message": "x-api-key required"}});
    let server = Server::start([Answer::new(401, body)]).await;
    let error = keyless()
        .base_url(&server.base_url)
        .build()
        .unwrap()
        .complete(&chat(), &Attempts::any())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("set the environment variable `ANTHROPIC_API_KEY`"), "{error}");
    assert!(error.is_fatal());
}

#[tokio::test]
async fn clients_share_the_limits_of_a_provider() {
    let server = Server::start([good()]).await;
    let rate = RateControl::builder().concurrency(Concurrency::Fixed(1)).build().unwrap();
    let client = |model: &str| {
        let builder = ProviderClient::builder().model(model).base_url(&server.base_url).api_key("key");
        builder.rate_control(rate.clone()).build().unwrap()
    };
    let (one, other) = (client("anthropic/one"), client("anthropic/other"));
    let (chat_one, chat_other, any) = (chat(), chat(), Attempts::any());
    let (first, second) = tokio::join!(one.complete(&chat_one, &any), other.complete(&chat_other, &any));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!((rate.limit(), rate.in_flight()), (1, 0));
}

#[tokio::test]
async fn half_a_character_or_a_stream_does_not_spoil_a_reply() {
    let bodies = [
        (
            ANTHROPIC,
            r#"{"id": "m", "content": [{"type": "thinking", "thinking": "Rome?"}, {"type": "text", "text": "Paris \ud83d"}],
                "stop_reason": "max_tokens", "usage": {"input_tokens": 11, "output_tokens": 5}}"#,
        ),
        (
            GEMINI,
            r#"{"candidates": [{"content": {"parts": [{"text": "Rome?", "thought": true}, {"text": "Paris \ud83d"}]},
                "finishReason": "MAX_TOKENS"}], "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 2,
                "thoughtsTokenCount": 3, "totalTokenCount": 16}}"#,
        ),
        (
            OLLAMA,
            "{\"message\": {\"role\": \"assistant\", \"content\": \"Par\", \"thinking\": \"Rome?\"}, \"done\": false}\n\
             {\"message\": {\"content\": \"is \\ud83d\"}, \"done\": true, \"done_reason\": \"length\", \
             \"prompt_eval_count\": 11, \"eval_count\": 5}\n",
        ),
    ];
    for (model, body) in bodies {
        for content_type in ["application/json", "text/event-stream"] {
            let server = Server::start([Answer::new(200, body).header("content-type", content_type)]).await;
            let (client, clock) = client(model, &server.base_url);
            let reply = client.complete(&chat(), &Attempts::any()).await.unwrap();
            let completion = &reply.completions[0];
            assert_eq!(
                (completion.text.as_str(), completion.reasoning.as_str()),
                ("Paris \u{fffd}", "Rome?"),
                "{model}"
            );
            assert_eq!(completion.finish_reason, FinishReason::Length);
            assert_eq!(reply.usage, Usage::call(11, 5));
            assert!(clock.waits().is_empty() && server.seen().len() == 1);
        }
    }
}
