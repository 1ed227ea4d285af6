//! A scripted chat server, a server of raw sockets, and a clock that does not wait.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use promptopt_core::lm::{LmRequest, Message};
use promptopt_lm::{ChatClient, ConfigError, Timer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// What the server answers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl ToString) -> Self {
        Self { status, headers: vec![("content-type", "application/json".into())], body: body.to_string() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// A good completion of this text.
    pub(crate) fn text(text: &str) -> Self {
        Self::new(200, completion(text))
    }

    /// A failure in OpenAI's words.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::new(status, json!({"error": {"message": message, "type": "t", "code": null}}))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::from_u16(self.status).unwrap(), self.body).into_response();
        for (name, value) in self.headers {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        }
        response
    }
}

pub(crate) fn completion(text: &str) -> Value {
    json!({
        "id": "c1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
    })
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// A server that gives one answer after the other; the last one for ever.
pub(crate) struct Server {
    pub(crate) base_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<_> = answers.into_iter().collect();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| {
            let (answers, log) = (answers.clone(), Arc::clone(&log));
            async move {
                let (parts, body) = request.into_parts();
                let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let mut log = log.lock().unwrap();
                let answer = answers.get(log.len()).or(answers.last()).cloned().unwrap();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                log.push(Seen { uri: parts.uri, headers: parts.headers, body });
                answer
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base_url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Serves every request by `answer`, which gets its body; returns the base URL.
pub(crate) async fn serve<F, Fut>(answer: F) -> String
where
    F: Fn(Value) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let app = Router::new().fallback(move |request: Request| {
        let answer = answer.clone();
        async move {
            let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
            answer(serde_json::from_slice(&body).unwrap_or_default()).await
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    base_url
}

/// Serves every connection by `serve`; returns the base URL.
pub(crate) async fn raw_server<F, Fut>(serve: F) -> String
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    base_url
}

/// A clock that moves only when it is asked to wait, at once and by as much, and writes that down.
#[derive(Debug, Default)]
pub(crate) struct StoppedClock {
    waits: Mutex<Vec<Duration>>,
}

impl StoppedClock {
    /// The waits so far, in seconds.
    pub(crate) fn waits(&self) -> Vec<f64> {
        self.waits.lock().unwrap().iter().map(Duration::as_secs_f64).collect()
    }
}

#[async_trait]
impl Timer for StoppedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.waits.lock().unwrap().iter().sum::<Duration>()
    }

    async fn sleep(&self, duration: Duration) {
        self.waits.lock().unwrap().push(duration);
    }
}

/// A client with a key that must never show, and its clock. `None` as clock in the builder is set here.
pub(crate) fn client(base_url: &str) -> (ChatClient, Arc<StoppedClock>) {
    let clock = Arc::new(StoppedClock::default());
    let client = ChatClient::builder()
        .base_url(base_url)
        .model("tiny")
        .api_key(CANARY)
        .jitter_seed(7)
        .clock(Arc::clone(&clock) as Arc<dyn Timer>)
        .build();
    (client.unwrap(), clock)
}

/// A key that must never show.
pub(crate) const CANARY: &str = "sk-canary-0123456789abcdef";

pub(crate) fn ask() -> LmRequest {
    LmRequest::new(vec![Message::user("What is the capital of France?")])
}

pub(crate) fn config_error(result: Result<ChatClient, ConfigError>) -> ConfigError {
    result.expect_err("the configuration should be refused")
}
