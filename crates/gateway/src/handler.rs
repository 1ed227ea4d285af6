//! What comes over HTTP, and what goes back.

use std::sync::Arc;

use axum::body::Body as Incoming;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use promptopt_core::data::shorten;
use promptopt_core::lm::{LmError, LmRequest, Message};
use serde_json::{Value, json};

use crate::Error;
use crate::body;
use crate::dialect::{Body, Dialect};
use crate::gateway::Sessions;
use crate::session::Shared;

/// Clients of OpenAI and Anthropic heed it: what failed here was tried again already.
const SHOULD_RETRY: &str = "x-should-retry";

/// The longest text of an error that a program is told, in characters.
const MAX_SAID: usize = 2_000;

pub(crate) async fn handle(sessions: &Sessions, request: Request<Incoming>) -> Response {
    let (head, body) = request.into_parts();
    let (token, place) = match head.uri.path().strip_prefix("/s/").and_then(|path| path.split_once('/')) {
        Some((token, place)) => (Some(token), place),
        None => (key_of(&head.headers), head.uri.path().trim_start_matches('/')),
    };
    let place = place.strip_prefix("v1/").unwrap_or(place).trim_end_matches('/');
    let dialect = match place {
        "chat/completions" => Dialect::Chat,
        "responses" => Dialect::Responses,
        "messages" => Dialect::Messages,
        _ => Dialect::Chat,
    };
    // Nothing of a request is kept before it is known whose it is.
    let Some(session) = token.and_then(|token| sessions.find(token)) else {
        body::discard(body).await;
        return no_rollout(dialect);
    };
    match (head.method, place) {
        (Method::POST, "chat/completions" | "responses" | "messages" | "embeddings") => {
            if let Some(error) = session.calls().refuse_unread() {
                body::discard(body).await;
                return failed(dialect, &error);
            }
            let Some(_room) = session.calls().room(body::room(&body)).await else {
                return no_rollout(dialect);
            };
            match body::read(body).await {
                Ok(body) if place == "embeddings" => embed(&session, &body).await,
                Ok(body) => complete(dialect, &session, &body).await,
                Err(unread) => {
                    session.refused(&unread.says());
                    let says = format!("the gateway does not take {}", unread.says());
                    refuse(dialect, unread.status(), "invalid_request_error", &says)
                }
            }
        }
        (Method::GET, "models") => json_response(StatusCode::OK, &models(&session)),
        (method, place) => {
            body::discard(body).await;
            let place = shorten(place, MAX_SAID / 10);
            session.unknown(&format!("`{method} /{place}`"));
            let says = format!(
                "promptopt's gateway does not speak `{method} /{place}`: it speaks `POST /chat/completions`, `POST \
                 /responses`, `POST /messages`, `POST /embeddings` and `GET /models`"
            );
            refuse(dialect, StatusCode::NOT_FOUND, "not_found_error", &says)
        }
    }
}

fn no_rollout(dialect: Dialect) -> Response {
    let says = "this key is of no rollout that is under way: use the base URL and the key that the program was given";
    refuse(dialect, StatusCode::UNAUTHORIZED, "authentication_error", says)
}

/// The key as clients of both providers send it.
fn key_of(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let bearer = text(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    bearer.or_else(|| text("x-api-key")).or_else(|| text("api-key"))
}

async fn complete(dialect: Dialect, session: &Arc<Shared>, raw: &Bytes) -> Response {
    let invalid = |says: &str| refuse(dialect, StatusCode::BAD_REQUEST, "invalid_request_error", says);
    let body: Body = match serde_json::from_slice(raw) {
        Ok(body) => body,
        Err(error) => return invalid(&format!("the body is no JSON object: {error}")),
    };
    let mut asked = match dialect.read(body) {
        Ok(asked) => asked,
        Err(says) => return invalid(&says),
    };
    let call = match session.calls().of((dialect, raw)) {
        Ok(call) => call,
        Err(error) => return failed(dialect, &error),
    };
    let (own, request, model) = (Arc::clone(session), asked.hand_over(), asked.model.clone());
    match session.calls().make(&call, async move { own.complete(request, &model).await }).await {
        Ok(reply) => {
            let id = call.number.to_string();
            let written = dialect.write(&asked, &reply, &id);
            if asked.stream {
                let head = [(CONTENT_TYPE, "text/event-stream")];
                return (head, dialect.events(&asked, &written)).into_response();
            }
            json_response(StatusCode::OK, &written)
        }
        Err(error) => failed(dialect, &error),
    }
}

/// Embeddings go to the provider as they are, and come back as they are.
async fn embed(session: &Arc<Shared>, raw: &Bytes) -> Response {
    let invalid = |says: &str| refuse(Dialect::Chat, StatusCode::BAD_REQUEST, "invalid_request_error", says);
    let mut body: Body = match serde_json::from_slice(raw) {
        Ok(body) => body,
        Err(error) => return invalid(&format!("the body is no JSON object: {error}")),
    };
    let Some(Value::String(model)) = body.shift_remove("model") else {
        return invalid("`model` is missing: name the model");
    };
    let text = match body.get("input") {
        Some(Value::String(text)) => text.clone(),
        Some(input) => input.to_string(),
        None => return invalid("`input` is missing: give a text or a list of texts"),
    };
    let mut request = LmRequest::new(vec![Message::user(text)]);
    request.sampling.max_tokens = Some(0);
    request.extra.extend(body);
    let call = match session.calls().of(("embeddings", raw)) {
        Ok(call) => call,
        Err(error) => return failed(Dialect::Chat, &error),
    };
    let own = Arc::clone(session);
    match session.calls().make(&call, async move { own.embed(request, &model).await }).await {
        Ok(reply) => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], reply.first_text().to_owned())
            .into_response(),
        Err(error) => failed(Dialect::Chat, &error),
    }
}

fn failed(dialect: Dialect, error: &LmError) -> Response {
    let (status, kind) = status_of(error);
    let says = match error {
        LmError::CallLimit { limit } => Error::Calls { most: *limit }.to_string(),
        error => shorten(&error.to_string(), MAX_SAID),
    };
    refuse(dialect, status, kind, &says)
}

/// How a provider would say it.
fn status_of(error: &LmError) -> (StatusCode, &'static str) {
    let of = |status: u16| StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    match error {
        LmError::Unauthorized { status, .. } => (of(*status), "authentication_error"),
        LmError::InvalidRequest { status, .. } => (of(*status), "invalid_request_error"),
        LmError::ContextLength { .. } => (StatusCode::BAD_REQUEST, "context_length_exceeded"),
        LmError::Refused { .. } => (StatusCode::BAD_REQUEST, "content_filter"),
        LmError::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
        LmError::Server { status, .. } => (of(*status), "api_error"),
        LmError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "api_error"),
        LmError::Budget { .. } | LmError::Unpriced { .. } | LmError::CallLimit { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota")
        }
        _ => (StatusCode::BAD_GATEWAY, "api_error"),
    }
}

fn models(session: &Shared) -> Value {
    let mut names: Vec<&str> = session.models().names().collect();
    if names.is_empty() {
        names.push("promptopt");
    }
    let model = |name: &&str| json!({"id": name, "object": "model", "created": 0, "owned_by": "promptopt"});
    json!({"object": "list", "data": names.iter().map(model).collect::<Vec<_>>()})
}

fn refuse(dialect: Dialect, status: StatusCode, kind: &str, says: &str) -> Response {
    let mut response = json_response(status, &dialect.error(kind, says));
    response.headers_mut().insert(SHOULD_RETRY, axum::http::HeaderValue::from_static("false"));
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
