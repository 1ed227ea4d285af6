//! What went wrong within `genai`, in our own terms.

use genai::Error;
use genai::webc::Error as WebError;
use promptopt_core::lm::LmError;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

use super::wire::NativeWire;
use crate::body::unsent;
use crate::classify::{AttemptError, Classifier};
use crate::parameter_support::Parameter;
use crate::provider_error::ProviderError;
use crate::reply::ReplyProblem;
use crate::text::{WORDS_LIMIT, tidy};
use crate::transport::{ERROR_BODY_LIMIT, RawReply, no_connection};
use crate::wire::Peer;

impl NativeWire {
    /// The failure of one attempt.
    pub(super) fn failure(&self, error: Error) -> AttemptError {
        match error {
            Error::WebModelCall { webc_error, .. } | Error::WebAdapterCall { webc_error, .. } => {
                self.web_failure(webc_error)
            }
            Error::HttpError { status, body, headers, .. } => {
                self.failed_status(status.as_u16(), *headers, body)
            }
            Error::ChatResponseGeneration { response_body, .. } => self.no_completion(&response_body),
            Error::ChatResponse { body, .. } => self.no_completion(&body),
            // The rest is about requests that can not be written for this provider.
            error => unsent(tidy(&self.peer.classifier.redactor, &error.to_string(), WORDS_LIMIT)).into(),
        }
    }

    fn web_failure(&self, error: WebError) -> AttemptError {
        match error {
            WebError::ResponseFailedStatus { status, body, headers } => {
                self.failed_status(status.as_u16(), *headers, body)
            }
            WebError::ResponseFailedNotJson { content_type, body } => {
                self.malformed("it is not JSON", &content_type, body)
            }
            WebError::ResponseFailedInvalidJson { body, cause } => {
                self.malformed(&format!("it is not JSON ({cause})"), "application/json", body)
            }
            WebError::JsonValueExt(error) => {
                self.malformed(&error.to_string(), "application/json", String::new())
            }
            WebError::Reqwest(error) => {
                let Classifier { url, redactor, .. } = &self.peer.classifier;
                no_connection(error, url, self.connect_timeout, redactor)
            }
        }
    }

    fn failed_status(&self, status: u16, headers: HeaderMap, body: String) -> AttemptError {
        let mut body = body.into_bytes();
        body.truncate(ERROR_BODY_LIMIT);
        let is_about_the_key = status == 400 && contains(&body, "API_KEY_INVALID");
        let Peer { classifier, timer, .. } = &self.peer;
        let mut failure = classifier.failed_status(&RawReply { status, headers, body }, timer.now());
        if let (LmError::InvalidRequest { message, .. }, true) = (&failure.error, is_about_the_key) {
            // Google says 400 where others say 401.
            let message = format!("{}; {}", message.trim_end_matches(['.', ' ']), classifier.key.hint());
            return LmError::Unauthorized { status, message }.into();
        }
        // The bound on the completion has one name only in each of these APIs.
        failure.refused_parameters.retain(|parameter| !matches!(parameter, Parameter::MaxTokens(_)));
        failure
    }

    /// The failure behind a success status without a completion.
    pub(super) fn no_completion(&self, body: &Value) -> AttemptError {
        let blocked = body.pointer("/promptFeedback/blockReason").and_then(Value::as_str);
        let problem = match (blocked, ProviderError::from_body(body)) {
            (Some(reason), _) => ReplyProblem::Refused(format!("the prompt was blocked: {reason}")),
            (None, Some(error)) => ReplyProblem::Failed(error),
            (None, None) => return self.malformed("it holds none", "application/json", body.to_string()),
        };
        self.failed_reply(problem, "application/json", body.to_string())
    }

    fn malformed(&self, reason: &str, content_type: &str, body: String) -> AttemptError {
        self.failed_reply(ReplyProblem::Malformed(reason.to_owned()), content_type, body)
    }

    pub(super) fn failed_reply(
        &self,
        problem: ReplyProblem,
        content_type: &str,
        body: String,
    ) -> AttemptError {
        let content_type = HeaderValue::from_str(content_type).ok();
        let headers = content_type.map(|value| (CONTENT_TYPE, value)).into_iter().collect();
        let reply = RawReply { status: 200, headers, body: body.into_bytes() };
        self.peer.classifier.failed_reply(problem, &reply)
    }
}

fn contains(body: &[u8], needle: &str) -> bool {
    String::from_utf8_lossy(body).to_lowercase().contains(&needle.to_lowercase())
}
