//! What the client for providers logs. Alone in its binary, since a subscriber is global to the process.
#![cfg(feature = "providers")]

use std::io;
use std::sync::{Arc, Mutex};

use promptopt_core::lm::{Attempts, LanguageModel, LmRequest, Message, Sampling};
use promptopt_lm::ProviderClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tracing::Level;

const CANARY: &str = "sk-canary-0123456789abcdef";

/// Collects what a subscriber writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers one connection with each of `replies`, a status line and a body.
async fn serve(listener: TcpListener, replies: Vec<(&str, String)>) -> io::Result<()> {
    for (status, body) in replies {
        let (mut stream, _) = listener.accept().await?;
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let head = "connection: close\r\ncontent-type: application/json";
        let length = body.len();
        let reply = format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(reply.as_bytes()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn logs_hold_attempts_but_neither_key_nor_prompt_nor_reply() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let echo = format!("{{\"error\": \"busy; key {CANARY}; prompt: the capital of France\"}}");
    let good = r#"{"content": [{"type": "text", "text": "Paris"}], "stop_reason": "end_turn"}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ProviderClient::builder()
        .model("anthropic/claude-3")
        .base_url(format!("http://{}/v1", listener.local_addr().unwrap()))
        .api_key(CANARY)
        .backoff_base(std::time::Duration::from_millis(1))
        .build()
        .unwrap();
    tokio::spawn(serve(
        listener,
        vec![("503 Busy", echo.clone()), ("200 OK", echo), ("200 OK", good.to_owned())],
    ));
    let request = LmRequest::new(vec![Message::user("Name the capital of France.")]);
    assert_eq!(client.complete(&request, &Attempts::any()).await.unwrap().first_text(), "Paris");

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("attempt=2"), "{log}");
    for secret in ["canary", "capital", "Paris"] {
        assert!(!log.contains(secret), "`{secret}` is in the log: {log}");
    }
}

#[tokio::test]
async fn a_seed_that_the_provider_has_no_words_for_is_warned_of_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let good = r#"{"content": [{"type": "text", "text": "Paris"}], "stop_reason": "end_turn"}"#.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ProviderClient::builder()
        .model("anthropic/claude-3")
        .base_url(format!("http://{}/v1", listener.local_addr().unwrap()))
        .api_key(CANARY)
        .build()
        .unwrap();
    tokio::spawn(serve(listener, vec![("200 OK", good.clone()), ("200 OK", good)]));
    let mut request = LmRequest::new(vec![Message::user("Name the capital of France.")]);
    request.sampling = Sampling::default().with_seed(3);
    client.complete(&request, &Attempts::any()).await.unwrap();
    client.complete(&request, &Attempts::any()).await.unwrap();

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    for part in [" WARN ", "`seed`", "left out", "claude-3"] {
        assert!(log.contains(part), "`{part}` is missing in: {log}");
    }
}
