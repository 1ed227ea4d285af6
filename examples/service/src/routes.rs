//! What the service answers.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt as _};
use promptopt_core::program::{CallContext, LivePrompts, Program};
use promptopt_predict::{Predict, StreamEvent};
use serde::Serialize;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::triage::{Triage, TriageInput, TriageOutput};

/// All that requests share. Nothing in it grows.
pub(crate) struct Service {
    pub(crate) triage: Predict<Triage>,
    pub(crate) context: CallContext,
    pub(crate) live: LivePrompts,
    /// Where the saved program is.
    pub(crate) file: PathBuf,
}

type Shared = State<Arc<Service>>;

pub(crate) fn router(service: Service) -> Router {
    Router::new()
        .route("/triage", post(triage))
        .route("/triage/stream", post(stream))
        .route("/reload", post(reload))
        .route("/health", get(health))
        .with_state(Arc::new(service))
}

impl Service {
    /// The context of one request, under the prompts that are in force when it begins.
    fn context(&self) -> CallContext {
        self.context.with_prompts(self.live.current())
    }
}

async fn triage(
    State(service): Shared,
    Json(input): Json<TriageInput>,
) -> Result<Json<TriageOutput>, Problem> {
    Ok(Json(service.triage.call(&service.context(), input).await?))
}

/// The draft as it is written, then the whole answer. When the user goes away the stream is dropped, and the call ends.
async fn stream(
    State(service): Shared,
    Json(input): Json<TriageInput>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = service.triage.stream(&service.context(), input);
    Sse::new(events.map(|event| {
        Ok(match event {
            Ok(StreamEvent::Text { field, delta }) => named("text", &json!({"field": field, "delta": delta})),
            Ok(StreamEvent::Done(output)) => named("done", &output),
            Ok(_) => named("restarted", &Value::Null),
            Err(error) => named("error", &Problem::from(error).body()),
        })
    }))
}

fn named(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// Puts the program that the file holds now in force. Requests under way end under the prompts that they began with.
async fn reload(State(service): Shared) -> Result<Json<Value>, Problem> {
    let refused = |error: promptopt_core::Error| Problem::new(StatusCode::CONFLICT, error.to_string());
    let program = Program::load(&service.file).map_err(refused)?;
    service.live.reload(&service.triage, &program).map_err(refused)?;
    Ok(Json(json!({"program": program.name})))
}

async fn health(State(service): Shared) -> Json<Value> {
    let usage = service.context.record().1;
    let prompts = service.live.current().content_hash();
    Json(json!({"status": "ok", "prompts": prompts, "calls": usage.calls, "tokens": usage.total_tokens()}))
}
