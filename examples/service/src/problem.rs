//! What users are told when there is no answer.

use axum::Json;
use axum::http::{StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use promptopt_core::lm::LmError;
use promptopt_predict::Error;
use serde_json::{Value, json};

/// Why there is no answer: a status and a sentence. Words of the provider and of the model stay out of it.
pub(crate) struct Problem {
    status: StatusCode,
    says: String,
    /// After how many seconds it is worth to try again.
    retry: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, says: impl Into<String>) -> Self {
        Self { status, says: says.into(), retry: None }
    }

    pub(crate) fn body(&self) -> Value {
        json!({"error": self.says, "retry_after": self.retry})
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let source = match &error {
            Error::Model { source, .. } => source,
            Error::MissingInput { .. } | Error::Input { .. } | Error::Typed { .. } => {
                return Self::new(StatusCode::BAD_REQUEST, error.to_string());
            }
            // Asked twice, the model did not answer in the form that the signature asks for.
            _ => return Self::new(StatusCode::BAD_GATEWAY, "The model gave no usable answer."),
        };
        let (status, says) = match source {
            LmError::RateLimited { .. } | LmError::Overloaded { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "Too many requests at the moment.")
            }
            LmError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "The model took too long."),
            LmError::ContextLength { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "The ticket is too long."),
            LmError::Refused { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "The model refused to answer."),
            source if source.is_retryable() => (StatusCode::BAD_GATEWAY, "The model cannot be reached."),
            // A key, a model name or a parameter is wrong: ours to mend, and nothing that a retry helps.
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "The service is not set up well."),
        };
        let wait = source.retry_after().map_or(1, |wait| wait.as_secs().max(1));
        Self { retry: source.is_retryable().then_some(wait), ..Self::new(status, says) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
