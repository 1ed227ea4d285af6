//! Replies that come as streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use promptopt_core::lm::{Attempts, LanguageModel as _, LmError, LmReply, LmRequest, Piece};
use promptopt_lm::ChatClient;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Answer, Server, ask, raw_server, serve};

/// What was told of a call, in pieces, and what came of it.
async fn heard(client: &ChatClient, request: &LmRequest) -> (Vec<String>, Result<LmReply, LmError>) {
    let mut pieces = Vec::new();
    let mut tell = |piece: Piece<'_>| match piece {
        Piece::Text(text) => pieces.push(text.to_owned()),
        _ => pieces.push("<RESTART>".to_owned()),
    };
    let result = client.stream(request, &Attempts::any(), &mut tell).await;
    (pieces, result)
}

fn builder(base_url: &str) -> ChatClient {
    let quick = Duration::from_millis(5);
    let builder = ChatClient::builder().base_url(base_url).model("tiny").api_key("none");
    builder
        .backoff_base(quick)
        .max_silence(Duration::from_millis(150))
        .max_reply_bytes(20_000)
        .build()
        .unwrap()
}

/// A message of the model in events, as OpenAI writes them: each piece a delta.
fn events(deltas: &[Value], finish: &str, usage: bool) -> String {
    let chunk = |delta: &Value, reason: Value| {
        json!({"id": "c1", "model": "tiny-1", "object": "chat.completion.chunk",
               "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let mut chunks: Vec<Value> = vec![chunk(&json!({"role": "assistant", "content": ""}), Value::Null)];
    chunks.extend(deltas.iter().map(|delta| chunk(delta, Value::Null)));
    chunks.push(chunk(&json!({}), finish.into()));
    if usage {
        chunks.push(json!({"id": "c1", "choices": [],
            "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}}));
    }
    let lines: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    format!(": keep-alive\n\n{lines}: keep-alive\n\ndata: [DONE]\n\n")
}

fn say(pieces: &[&str]) -> Vec<Value> {
    pieces.iter().map(|piece| json!({"content": piece})).collect()
}

fn stream(body: impl ToString) -> Answer {
    Answer::new(200, body).header("content-type", "text/event-stream; charset=utf-8")
}

/// Reads a request and writes a chunked reply in pieces of so many bytes, and then does `then`.
async fn trickle(mut socket: TcpStream, body: &[u8], size: usize, then: Then) {
    let mut request = vec![0; 64 * 1024];
    let read = socket.read(&mut request).await.unwrap();
    assert!(read > 0, "no request came");
    socket.set_nodelay(true).unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    for piece in body.chunks(size) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        if socket.write_all(&chunk).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    match then {
        Then::End => socket.write_all(b"0\r\n\r\n").await.unwrap(),
        Then::Stall => tokio::time::sleep(Duration::from_secs(20)).await,
        Then::Cut => drop(socket),
    }
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Stall,
    Cut,
}

#[tokio::test]
async fn a_stream_comes_to_the_reply_that_comes_whole() {
    let call = |arguments: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]});
    let first = json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                                       "function": {"name": "look", "arguments": ""}}]});
    let cases: [(&[Value], &str, Value, &str); 4] = [
        (
            &say(&["Pa", "ris", " – die \u{1f5fc}", " Stadt."]),
            "stop",
            json!({"role": "assistant", "content": "Paris – die \u{1f5fc} Stadt."}),
            "Paris – die \u{1f5fc} Stadt.",
        ),
        (
            &say(&["<thi", "nk>Is it Lyon?", "</th", "ink>\n", "\nParis."]),
            "length",
            json!({"role": "assistant", "content": "<think>Is it Lyon?</think>\n\nParis."}),
            "Paris.",
        ),
        (
            &[
                json!({"reasoning_content": "Is it"}),
                json!({"reasoning_content": " Lyon?"}),
                json!({"content": "Paris."}),
            ],
            "stop",
            json!({"role": "assistant", "content": "Paris.", "reasoning_content": "Is it Lyon?"}),
            "Paris.",
        ),
        (
            &[first, call("{\"q\":"), call(" 1}")],
            "tool_calls",
            json!({"role": "assistant", "content": null,
                   "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"q\": 1}"}}]}),
            "",
        ),
    ];
    for (deltas, finish, message, text) in cases {
        let streamed = events(deltas, finish, true);
        let whole = json!({"id": "c1", "model": "tiny-1", "choices": [{"index": 0, "finish_reason": finish, "message": message}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}});
        let server = Server::start([stream(&streamed), Answer::new(200, &whole)]).await;
        let client = builder(&server.base_url);
        let (pieces, reply) = heard(&client, &ask()).await;
        let reply = reply.unwrap();
        assert_eq!(pieces.concat(), text);
        assert_eq!(reply, client.complete(&ask(), &Attempts::any()).await.unwrap());
        let [asked, plain] = [0, 1].map(|at| server.seen()[at].body.clone());
        assert_eq!(
            (&asked["stream"], &asked["stream_options"]),
            (&true.into(), &json!({"include_usage": true}))
        );
        assert!(plain.get("stream").is_none() && plain.get("stream_options").is_none());
    }
}

#[tokio::test]
async fn bytes_may_be_cut_anywhere() {
    let body = events(&say(&["Pa", "ris – die \u{1f5fc}", " Stadt."]), "stop", true).replace('\n', "\r\n");
    for size in [1, 2, 3, 7, 50] {
        let body = body.clone();
        let url = raw_server(move |socket| {
            let body = body.clone();
            async move { trickle(socket, body.as_bytes(), size, Then::End).await }
        })
        .await;
        let (pieces, reply) = heard(&builder(&url), &ask()).await;
        assert_eq!(pieces.concat(), "Paris – die \u{1f5fc} Stadt.");
        assert_eq!(reply.unwrap().usage.total_tokens(), 16);
    }
}

#[tokio::test]
async fn a_server_that_streams_less_is_taken_as_it_is() {
    let whole = || Answer::text("Paris.");
    // Without `stream_options`, and remembered.
    let refusal = Answer::error(400, "Unrecognized request argument supplied: stream_options");
    let plain = stream(events(&say(&["Par", "is."]), "stop", false));
    let server = Server::start([refusal, plain]).await;
    let client = builder(&server.base_url);
    for _ in 0..2 {
        let (pieces, reply) = heard(&client, &ask()).await;
        assert_eq!((pieces.concat().as_str(), reply.unwrap().usage.total_tokens()), ("Paris.", 0));
    }
    let asked: Vec<_> = server.seen().iter().map(|seen| seen.body.get("stream_options").is_some()).collect();
    assert_eq!(asked, [true, false, false]);
    // Without streams.
    let refusal = json!({"error": {"message": "Your organization must be verified to stream this model.",
                                    "param": "stream", "code": "unsupported_value"}});
    let server = Server::start([Answer::new(400, refusal), whole()]).await;
    let (pieces, _) = heard(&builder(&server.base_url), &ask()).await;
    assert_eq!(pieces, ["Paris."]);
    assert_eq!(server.seen()[1].body.get("stream"), None);
    // What asks for a stream and gets none.
    let server = Server::start([whole()]).await;
    assert_eq!(heard(&builder(&server.base_url), &ask()).await.0, ["Paris."]);
    // A stream that nobody names so.
    let server = Server::start([Answer::new(200, events(&say(&["Par", "is."]), "stop", true))]).await;
    assert_eq!(heard(&builder(&server.base_url), &ask()).await.0, ["Paris."]);
}

#[tokio::test]
async fn what_was_handed_on_is_not_asked_for_again() {
    let error = "data: {\"error\": {\"message\": \"It broke.\", \"code\": 502}}\n\n";
    let told = events(&say(&["Pa"]), "stop", true)
        .replace("data: {\"id\":\"c1\",\"choices\":[],", &format!("{error}data: {{\"x\":0,"));
    let server = Server::start([stream(&told)]).await;
    let (pieces, result) = heard(&builder(&server.base_url), &ask()).await;
    let message = result.unwrap_err().to_string();
    assert!(message.contains("It broke.") && message.contains("handed on already"), "{message}");
    assert_eq!((pieces.concat().as_str(), server.seen().len()), ("Pa", 1));
    // Thinking was not handed on.
    let silent = events(&say(&["<think>hm"]), "stop", true)
        .replace("data: {\"id\":\"c1\",\"choices\":[],", &format!("{error}data: {{\"x\":0,"));
    let server = Server::start([stream(&silent), stream(events(&say(&["Paris."]), "stop", true))]).await;
    let (pieces, result) = heard(&builder(&server.base_url), &ask()).await;
    assert_eq!((pieces.concat().as_str(), server.seen().len()), ("Paris.", 2));
    assert_eq!(result.unwrap().first_text(), "Paris.");
}

#[tokio::test]
async fn silence_size_and_an_early_end_are_bounded() {
    let begin = || {
        let whole = events(&say(&["Pa"]), "stop", true);
        let at = whole.find("data: {\"id\":\"c1\",\"model\":\"tiny-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},");
        whole[..at.unwrap()].to_owned()
    };
    for (then, says) in [(Then::Stall, "waiting for more of the stream"), (Then::Cut, "the connection broke")]
    {
        let body = begin();
        let url = raw_server(move |socket| {
            let body = body.clone();
            async move { trickle(socket, body.as_bytes(), 4096, then).await }
        })
        .await;
        let (pieces, result) = heard(&builder(&url), &ask()).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("handed on"), "{error}");
        assert_eq!(pieces.concat(), "Pa");
    }
    // A well-behaved end of the connection, without a word of the end of the reply.
    let server = Server::start([stream(begin())]).await;
    let error = heard(&builder(&server.base_url), &ask()).await.1.unwrap_err().to_string();
    assert!(error.contains("ends early"), "{error}");
    let long = "x".repeat(5_000);
    let server = Server::start([stream(events(&say(&[&*long; 9]), "stop", true))]).await;
    let error = heard(&builder(&server.base_url), &ask()).await.1.unwrap_err();
    assert!(matches!(error, LmError::TooLarge { limit: 20_000 }), "{error}");
    let line = format!("data: {}", "y".repeat(50_000));
    let server = Server::start([stream(line)]).await;
    let client =
        ChatClient::builder().base_url(&server.base_url).model("m").max_retries(0).max_reply_bytes(20_000);
    let error = heard(&client.build().unwrap(), &ask()).await.1.unwrap_err();
    assert!(matches!(error, LmError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn requests_of_users_are_shed_when_there_is_no_room_and_end_at_their_deadline() {
    let under_way = Arc::new(AtomicUsize::new(0));
    let served = Arc::clone(&under_way);
    let url = serve(move |_| {
        let served = Arc::clone(&served);
        async move {
            served.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(3)).await;
            Answer::text("Paris.")
        }
    })
    .await;
    let rate = promptopt_lm::RateControl::builder()
        .concurrency(promptopt_lm::Concurrency::Fixed(1))
        .build()
        .unwrap();
    let client = ChatClient::builder().base_url(url).model("m").for_serving().rate_control(rate);
    let millis = Duration::from_millis;
    let client = client.max_queue_wait(millis(50)).deadline(millis(400)).build().unwrap();
    let request = ask();
    let any = Attempts::any();
    let (first, second) = tokio::join!(client.complete(&request, &any), client.complete(&request, &any));
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert!(matches!(first, LmError::Timeout { .. }) && first.to_string().contains("`deadline`"), "{first}");
    assert!(matches!(second, LmError::Overloaded { .. }) && second.is_retryable(), "{second}");
    assert!(second.to_string().contains("1 requests") && second.to_string().contains("0.05 s"), "{second}");
    assert_eq!(under_way.load(Ordering::SeqCst), 1, "nothing was sent");
}

#[tokio::test]
async fn users_do_not_wait_for_a_long_retry_after() {
    let slow = || Answer::error(429, "Slow down.").header("retry-after", "9");
    let server = Server::start([slow()]).await;
    let client = ChatClient::builder().base_url(&server.base_url).model("m").for_serving().build().unwrap();
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err().to_string();
    assert!(error.contains("longer than the 5 s that `max_retry_after` allows"), "{error}");
    assert_eq!(server.seen().len(), 1);
    // A wait that the deadline does not leave.
    let server = Server::start([Answer::error(429, "Slow down.").header("retry-after", "2")]).await;
    let client = ChatClient::builder().base_url(&server.base_url).model("m").for_serving();
    let client = client.deadline(Duration::from_millis(1500)).build().unwrap();
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::RateLimited { .. }), "{error}");
    assert!(error.to_string().contains("`deadline` leaves no time"), "{error}");
    // One that no clock can hold.
    let server = Server::start([Answer::error(429, "Slow down.").header("retry-after", "1e300")]).await;
    let client = ChatClient::builder().base_url(&server.base_url).model("m").for_serving();
    let client = client.max_retry_after(Duration::MAX).build().unwrap();
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::RateLimited { .. }), "{error}");
}
