//! A simulated model behind an OpenAI-compatible endpoint on the loopback interface.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use promptopt_core::lm::{Attempts, LanguageModel};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::openai;

/// Serves any model at `http://127.0.0.1:PORT/v1/chat/completions` until it is dropped, whole or as a stream, as each
/// request asks.
pub struct LoopbackServer {
    address: SocketAddr,
    state: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    model: Arc<dyn LanguageModel>,
    latency: Duration,
    key: Option<String>,
    under_way: AtomicUsize,
    peak: AtomicUsize,
}

impl LoopbackServer {
    /// Starts serving `model`; every reply takes at least `latency`. With `key`, requests must
    /// carry it as a bearer token.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    pub async fn start(
        model: Arc<dyn LanguageModel>,
        latency: Duration,
        key: Option<String>,
    ) -> std::io::Result<Self> {
        let state = Arc::new(Shared {
            model,
            latency,
            key,
            under_way: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&state));
        let task = tokio::spawn(async move {
            // An error ends the serving; the client then sees a refused connection.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { address, state, task })
    }

    /// The base URL to give to a client.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The most requests that were under way at once.
    pub fn peak(&self) -> usize {
        self.state.peak.load(Ordering::SeqCst)
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn complete(State(state): State<Arc<Shared>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Some(key) = &state.key {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if given != format!("Bearer {key}") {
            return refuse(StatusCode::UNAUTHORIZED, "Incorrect API key provided.");
        }
    }
    let Some(request) = openai::read_request(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "`messages` must be a list of role and content.");
    };
    let now = state.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    state.peak.fetch_max(now, Ordering::SeqCst);
    tokio::time::sleep(state.latency).await;
    let reply = state.model.complete(&request, &Attempts::any()).await;
    state.under_way.fetch_sub(1, Ordering::SeqCst);
    match reply {
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Ok(reply) if openai::wants_stream(&body) => streamed(openai::events(&body, &reply)),
        Ok(reply) => (StatusCode::OK, Json(openai::whole_reply(&reply, &body))).into_response(),
    }
}

/// Events one after the other, each on its way before the next one is made.
fn streamed(events: Vec<String>) -> Response {
    let pieces = stream::iter(events).then(|event| async {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(event)
    });
    ([("content-type", "text/event-stream")], Body::from_stream(pieces)).into_response()
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(openai::error(message))).into_response()
}
