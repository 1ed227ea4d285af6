//! What the client logs. Alone in its binary, since a subscriber is global to the process.

use std::io;
use std::sync::{Arc, Mutex};

use promptopt_core::lm::{Attempts, LanguageModel, LmRequest, Message, Sampling};
use promptopt_lm::ChatClient;
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
        // Closing a socket that holds unread bytes resets it, so the request is read to its end.
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let length = body.len();
        let reply =
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
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

    let echo = format!("busy; key {CANARY}; prompt: the capital of France");
    let good = r#"{"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}]}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ChatClient::builder()
        .base_url(format!("http://{}/v1", listener.local_addr().unwrap()))
        .model("tiny")
        .api_key(CANARY)
        .backoff_base(std::time::Duration::from_millis(1))
        .build()
        .unwrap();
    let replies = vec![("503 Busy", echo.clone()), ("200 OK", echo), ("200 OK", good.to_owned())];
    tokio::spawn(serve(listener, replies));
    let request = LmRequest::new(vec![Message::user("What is the capital of France?")]);
    assert_eq!(client.complete(&request, &Attempts::any()).await.unwrap().first_text(), "Paris");

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for part in ["attempt=1 status=503", "wait_ms=", "failure=\"malformed reply\"", "attempt=3 status=200"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    for secret in ["canary", "capital", "Paris"] {
        assert!(!text.contains(secret), "`{secret}` is in: {text}");
    }
    for line in text.lines().filter(|line| line.contains("promptopt_lm")) {
        assert!(line.contains(" DEBUG "), "louder than debug: {line}");
    }
}

#[tokio::test]
async fn a_parameter_that_is_left_out_is_warned_of_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ChatClient::builder()
        .base_url(format!("http://{}/v1", listener.local_addr().unwrap()))
        .model("tiny")
        .api_key(CANARY)
        .sampling(Sampling::default().with_temperature(0.0).with_max_tokens(9))
        .build()
        .unwrap();
    let refusal = |name| format!("{{\"error\": \"'{name}' is not supported, {CANARY}\"}}");
    let good = r#"{"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}]}"#.to_owned();
    let replies = vec![
        ("400 Bad Request", refusal("temperature")),
        ("400 Bad Request", refusal("max_tokens")),
        ("200 OK", good.clone()),
        ("200 OK", good),
    ];
    tokio::spawn(serve(listener, replies));
    let request = LmRequest::new(vec![Message::user("What is the capital of France?")]);
    client.complete(&request, &Attempts::any()).await.unwrap();
    client.complete(&request, &Attempts::any()).await.unwrap();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in [" WARN ", "`temperature`", "left out", "tiny"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    assert!(!text.contains("canary") && !text.contains("capital"), "{text}");
}
