//! Turns a failed reply into the error that says what happened and what the user can do.

use std::time::{Duration, SystemTime};

use promptopt_core::lm::LmError;
use promptopt_core::secret::Redactor;
use reqwest::header::{CONTENT_TYPE, LOCATION};

use crate::endpoint::without_secrets;
use crate::form_refusal::{NO_TOOLS, takes_no_tools};
use crate::format_support::{FormatRefusal, format_refusal, may_be_about_the_request};
use crate::parameter_refusal::refused_parameters;
use crate::parameter_support::Parameter;
use crate::payload::Payload;
use crate::provider_error::ProviderError;
use crate::reply::ReplyProblem;
use crate::retry_after::asked_wait;
use crate::secrets::KeyOrigin;
use crate::text::{EXCERPT_LIMIT, WORDS_LIMIT, html_title, tidy};
use crate::transport::RawReply;

/// A failed attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AttemptError {
    /// What the caller will see.
    pub(crate) error: LmError,
    /// Set when the server objects to `response_format`.
    pub(crate) format_refusal: Option<FormatRefusal>,
    /// Parameters that the server objects to, the likeliest first.
    pub(crate) refused_parameters: Vec<Parameter>,
    /// Whether the provider may have answered, and may bill it, although nothing usable came.
    pub(crate) may_be_billed: bool,
}

impl AttemptError {
    /// An attempt that ended in `error` and may be billed nonetheless, or not.
    pub(crate) fn new(error: LmError, may_be_billed: bool) -> Self {
        Self { error, format_refusal: None, refused_parameters: Vec::new(), may_be_billed }
    }
}

impl From<LmError> for AttemptError {
    fn from(error: LmError) -> Self {
        Self::new(error, false)
    }
}

/// Knows what an error message needs: what to hide, and what the user could have got wrong.
#[derive(Debug)]
pub(crate) struct Classifier {
    pub(crate) redactor: Redactor,
    pub(crate) url: String,
    pub(crate) model: String,
    pub(crate) key: KeyOrigin,
}

impl Classifier {
    /// The error for a reply with any status but a success.
    pub(crate) fn failed_status(&self, reply: &RawReply, now: SystemTime) -> AttemptError {
        let json = Payload::read(&reply.body).ok().and_then(|payload| payload.values.into_iter().next());
        let asked = asked_wait(&reply.headers, json.as_ref(), now);
        let error = json.as_ref().and_then(ProviderError::from_body).unwrap_or_else(|| ProviderError {
            message: unstructured_words(&reply.body),
            ..ProviderError::default()
        });
        if (300..400).contains(&reply.status) {
            return self.redirected(reply).into();
        }
        self.refusal(reply.status, &error, asked)
    }

    /// The error for a reply with a success status that holds no completion.
    pub(crate) fn failed_reply(&self, problem: ReplyProblem, reply: &RawReply) -> AttemptError {
        let error = match problem {
            ReplyProblem::Refused(words) => LmError::Refused { message: self.words(&words) },
            // Without a status the failure is the server's own, and passing for all we know.
            ReplyProblem::Failed(error) => return self.refusal(error.status.unwrap_or(502), &error, None),
            ReplyProblem::Malformed(reason) => self.malformed(&reason, reply),
        };
        let may_be_billed = matches!(error, LmError::MalformedReply { .. });
        AttemptError::new(error, may_be_billed)
    }

    /// What a provider said with a status, and what it said of parts of the request.
    fn refusal(&self, status: u16, words: &ProviderError, asked: Option<Duration>) -> AttemptError {
        let error = self.provider_error(status, words, asked);
        let is_open = matches!(error, LmError::InvalidRequest { .. } | LmError::Server { .. });
        AttemptError {
            format_refusal: format_refusal(status, words),
            refused_parameters: if is_open { refused_parameters(status, words) } else { Vec::new() },
            error,
            may_be_billed: false,
        }
    }

    fn provider_error(&self, status: u16, error: &ProviderError, asked: Option<Duration>) -> LmError {
        let words = self.words(&error.message);
        let lower = words.to_lowercase();
        let client_error = (400..500).contains(&status) && status != 429 && status != 401;
        if is_context_length(error, &lower) && (client_error || status == 500) {
            return LmError::ContextLength { message: words };
        }
        if client_error && is_refusal(error, &lower) {
            return LmError::Refused { message: words };
        }
        let with_hint = |hint: &str| join(&words, hint);
        if may_be_about_the_request(status) && takes_no_tools(&lower) {
            return LmError::InvalidRequest { status, message: with_hint(NO_TOOLS) };
        }
        match status {
            401 | 403 => LmError::Unauthorized { status, message: with_hint(&self.key.hint()) },
            402 => LmError::InvalidRequest { status, message: with_hint(NO_CREDIT) },
            // The code decides, not the wording: providers also speak of a "quota" for a limit per minute.
            429 if error.has_label(&SPENT_QUOTA) => {
                LmError::InvalidRequest { status, message: with_hint(NO_CREDIT) }
            }
            429 => LmError::RateLimited { message: words, retry_after: asked },
            408 | 409 | 500..=599 => LmError::Server { status, message: words, retry_after: asked },
            404 => LmError::InvalidRequest { status, message: with_hint(&self.where_to_look()) },
            _ => LmError::InvalidRequest { status, message: words },
        }
    }

    /// What a 404 may be about.
    fn where_to_look(&self) -> String {
        let speaks_openai = self.url.ends_with("/chat/completions");
        let version = if speaks_openai { "; many servers want it to end in `/v1`" } else { "" };
        format!(
            "check the model name `{}` and the base URL (requests go to {}{version})",
            self.model, self.url
        )
    }

    fn redirected(&self, reply: &RawReply) -> LmError {
        let target = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("elsewhere");
        let target = tidy(&self.redactor, &without_secrets(target), EXCERPT_LIMIT);
        // Following would hand the key to whatever server the reply names.
        LmError::InvalidRequest {
            status: reply.status,
            message: format!("{} redirects to {target}, which is not followed; mend the base URL", self.url),
        }
    }

    fn malformed(&self, reason: &str, reply: &RawReply) -> LmError {
        let text = String::from_utf8_lossy(&reply.body);
        let content_type = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = tidy(&self.redactor, content_type.unwrap_or("no content type"), 80);
        let message = if let Some(title) = html_title(&text) {
            let title = tidy(&self.redactor, title, EXCERPT_LIMIT);
            format!("{} answered with an HTML page \"{title}\"; check the base URL", self.url)
        } else if text.trim().is_empty() {
            format!("{} answered with an empty body ({content_type})", self.url)
        } else {
            let excerpt = tidy(&self.redactor, &text, EXCERPT_LIMIT);
            let reason = tidy(&self.redactor, reason, EXCERPT_LIMIT);
            format!("expected a chat completion, but {reason} ({content_type}): {excerpt}")
        };
        LmError::MalformedReply { message }
    }

    fn words(&self, message: &str) -> String {
        let words = tidy(&self.redactor, message, WORDS_LIMIT);
        if words.is_empty() { "the provider gave no reason".to_owned() } else { words }
    }
}

const NO_CREDIT: &str =
    "the account has no credit left: add credit or use another key; waiting does not help";

/// Codes of a 429 that no wait mends.
const SPENT_QUOTA: [&str; 4] =
    ["insufficient_quota", "insufficient_user_quota", "billing_hard_limit_reached", "billing_not_active"];

/// The words of an error body that is no JSON we know.
fn unstructured_words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match html_title(&text) {
        Some("") => "an HTML page without a title".to_owned(),
        Some(title) => title.to_owned(),
        None => text.into_owned(),
    }
}

fn join(words: &str, hint: &str) -> String {
    format!("{}; {hint}", words.trim_end_matches(['.', ';', ' ']))
}

fn is_context_length(error: &ProviderError, message: &str) -> bool {
    const WORDINGS: [&str; 8] = [
        "maximum context length",
        "context_length_exceeded",
        "prompt is too long",
        "input is too long",
        "exceed context limit",
        "exceeds the maximum number of tokens",
        "please reduce the length of the messages",
        "please reduce the length of the prompt",
    ];
    let is_about_context =
        ["context length", "context window", "context size"].iter().any(|it| message.contains(it));
    let is_about_excess = ["exceed", "too long", "too large", "larger than", "longer than"]
        .iter()
        .any(|it| message.contains(it));
    error.has_label(&["context_length_exceeded", "exceed_context_size_error"])
        || WORDINGS.iter().any(|wording| message.contains(wording))
        || (is_about_context && is_about_excess)
}

fn is_refusal(error: &ProviderError, message: &str) -> bool {
    const LABELS: [&str; 5] = [
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "moderation_blocked",
        "data_inspection_failed",
    ];
    error.has_label(&LABELS) || message.contains("content management policy")
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
