//! Servers that misbehave below the level of HTTP, or are not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use promptopt_core::lm::{Attempts, LanguageModel, LmError};
use promptopt_lm::{ChatClient, Timer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Answer, Server, StoppedClock, ask, client, completion, raw_server};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// A client that does not retry and waits no longer than half a second.
fn impatient(base_url: &str) -> ChatClient {
    ChatClient::builder()
        .base_url(base_url)
        .model("tiny")
        .timeout(Duration::from_millis(500))
        .max_reply_bytes(100_000)
        .max_retries(0)
        .build()
        .unwrap()
}

/// Reads the request to its end: closing a socket that holds unread bytes would reset it.
async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") && stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {}
}

/// Writes without end; returns how much the client took before it hung up.
async fn write_endlessly(stream: &mut TcpStream, head: &str) -> usize {
    let chunk = [b' '; 8192];
    let mut written = 0;
    if stream.write_all(head.as_bytes()).await.is_err() {
        return 0;
    }
    while stream.write_all(&chunk).await.is_ok() {
        written += chunk.len();
    }
    written
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let (plain, clock) = client(&base_url);
    let error = plain.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::Connection { .. }));
    let message = error.to_string();
    for part in [
        &format!("could not connect to {base_url}/chat/completions"),
        "refused",
        "is the server running at this address?",
        "gave up after 6 attempts",
    ] {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert_eq!(clock.waits().len(), 5);

    // Nothing was sent, so nothing may be billed.
    let careful = ChatClient::builder()
        .base_url(&base_url)
        .model("tiny")
        .max_attempts_billed(1)
        .clock(Arc::clone(&clock) as Arc<dyn Timer>)
        .build()
        .unwrap();
    careful.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(clock.waits().len(), 10);

    let with_login = impatient(&base_url.replace("http://", "http://ann:sk-canary@"));
    let message = with_login.complete(&ask(), &Attempts::any()).await.unwrap_err().to_string();
    assert!(message.contains(&base_url) && !message.contains("canary"), "{message}");
}

#[tokio::test]
async fn a_slow_first_byte_is_a_timeout() {
    let base_url = raw_server(|mut stream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    })
    .await;
    let client = ChatClient::builder()
        .base_url(&base_url)
        .model("tiny")
        .first_byte_timeout(Duration::from_millis(200))
        .max_retries(0)
        .build()
        .unwrap();
    let start = Instant::now();
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(matches!(error, LmError::Timeout { after, .. } if after == Duration::from_millis(200)));
    assert!(error.to_string().starts_with("no reply within 0.2 s: waiting for the first byte"), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_slow_body_is_a_timeout() {
    let base_url = raw_server(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(format!("{HEAD}content-length: 99\r\n\r\n{{").as_bytes()).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    })
    .await;
    let error = impatient(&base_url).complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("reading the reply"), "{error}");
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let base_url = raw_server(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_request(&mut stream).await;
            let written = write_endlessly(&mut stream, &format!("{HEAD}\r\n")).await;
            counter.fetch_add(written, Ordering::SeqCst);
        }
    })
    .await;
    let (client, clock) = client(&base_url);
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(error, LmError::TooLarge { limit: 4 * 1024 * 1024 });
    assert_eq!(clock.waits().len(), 5, "the next one may be whole");

    let error = impatient(&base_url).complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(error, LmError::TooLarge { limit: 100_000 });
    for _ in 0..100 {
        if taken.load(Ordering::SeqCst) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the connection is still open");
}

#[tokio::test]
async fn an_error_body_without_end_still_gives_its_status() {
    let base_url = raw_server(|mut stream| async move {
        read_request(&mut stream).await;
        write_endlessly(&mut stream, "HTTP/1.1 401 Unauthorized\r\n\r\nno key").await;
    })
    .await;
    let error = impatient(&base_url).complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::Unauthorized { status: 401, .. }), "{error}");
    assert!(error.to_string().contains("no key"), "{error}");
}

#[tokio::test]
async fn a_cut_connection_is_tried_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let base_url = raw_server(move |mut stream| {
        let attempt = count.fetch_add(1, Ordering::SeqCst);
        async move {
            read_request(&mut stream).await;
            let body = completion("ok").to_string();
            let head = format!("{HEAD}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let reply = format!("{head}{body}");
            let sent = match attempt {
                0 => "",
                1 => &reply[..20],
                2 => &reply[..head.len() + 10],
                _ => &reply,
            };
            let _ = stream.write_all(sent.as_bytes()).await;
        }
    })
    .await;
    let (client, clock) = client(&base_url);
    let reply = client.complete(&ask(), &Attempts::any()).await.unwrap();
    assert_eq!(reply.first_text(), "ok");
    assert_eq!(clock.waits().len(), 3);
    // Whether the three that broke off are billed is not known, so they count.
    assert_eq!((reply.usage.calls, reply.usage.prompt_tokens, reply.usage.completion_tokens), (4, 44, 20));
}

#[tokio::test]
async fn what_may_be_billed_is_bounded_and_what_is_refused_is_not() {
    let truncated = || Answer::new(200, "{\"choices\": [");
    let build = |server: &Server, most: u32| {
        ChatClient::builder()
            .base_url(&server.base_url)
            .model("tiny")
            .max_attempts_billed(most)
            .clock(Arc::new(StoppedClock::default()) as Arc<dyn Timer>)
            .build()
            .unwrap()
    };
    let busy = || Answer::error(503, "busy");
    let answers = [busy(), truncated(), busy(), Answer::error(429, "slow"), Answer::text("ok")];
    let server = Server::start(answers).await;
    let error = build(&server, 1).complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::MalformedReply { .. }));
    assert!(error.to_string().contains("`max_attempts_billed` allows no further attempt"), "{error}");
    assert_eq!(server.seen().len(), 2);

    let reply = build(&server, 1).complete(&ask(), &Attempts::any()).await.unwrap();
    assert_eq!((server.seen().len(), reply.usage.calls), (5, 1), "what is refused costs nothing");

    let server = Server::start([busy(), truncated(), busy(), Answer::text("ok")]).await;
    let reply = build(&server, 2).complete(&ask(), &Attempts::any()).await.unwrap();
    assert_eq!((server.seen().len(), reply.usage.calls), (4, 2));
}

#[tokio::test]
async fn truncated_json_is_tried_again_and_then_malformed() {
    let truncated = completion("Paris").to_string()[..60].to_owned();
    let server = Server::start([Answer::new(200, &truncated), Answer::text("ok")]).await;
    let (first, _) = client(&server.base_url);
    assert_eq!(first.complete(&ask(), &Attempts::any()).await.unwrap().first_text(), "ok");

    let server = Server::start([Answer::new(200, &truncated)]).await;
    let (second, _) = client(&server.base_url);
    let error = second.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(server.seen().len(), 6);
    assert!(matches!(error, LmError::MalformedReply { .. }));
    let message = error.to_string();
    assert!(message.contains("the JSON ends early, after 60 bytes (application/json)"), "{message}");
    assert!(message.contains("gave up after 6 attempts"), "{message}");
}

#[tokio::test]
async fn a_web_page_is_malformed_and_points_at_the_base_url() {
    let page = "<!doctype html><html><head><title>Welcome to nginx!</title></head></html>";
    let server = Server::start([Answer::new(200, page).header("content-type", "text/html")]).await;
    let error = impatient(&server.base_url).complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::MalformedReply { .. }));
    let message = error.to_string();
    assert!(message.contains("an HTML page \"Welcome to nginx!\"; check the base URL"), "{message}");
}
