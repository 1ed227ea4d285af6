//! Which failed reply becomes which error.

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::json;

use super::*;
use crate::secrets::redactor;

fn classifier() -> Classifier {
    Classifier {
        redactor: redactor(vec!["sk-canary-123456".to_owned()]),
        url: "https://x.io/v1/chat/completions".into(),
        model: "tiny".into(),
        key: KeyOrigin::Variable("MY_KEY".into()),
    }
}

fn reply(status: u16, body: impl ToString) -> RawReply {
    RawReply { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() }
}

fn error(status: u16, body: impl ToString) -> LmError {
    classifier().failed_status(&reply(status, body), SystemTime::UNIX_EPOCH).error
}

/// Checks the message of an error and that it has every one of `parts`.
fn check(error: &LmError, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert!(!message.contains("canary"), "{message}");
}

#[test]
fn a_refused_key_names_where_it_came_from() {
    let body = json!({"error": {"message": "Incorrect API key provided: sk-canary-123456."}});
    for status in [401, 403] {
        let error = error(status, &body);
        assert!(matches!(error, LmError::Unauthorized { .. }));
        check(&error, &["Incorrect API key provided: [redacted]; check the key", "`MY_KEY`"]);
    }
}

#[test]
fn a_key_that_was_never_there_is_asked_for() {
    let key = KeyOrigin::None { variable: "OPENAI_API_KEY".into() };
    let failure =
        Classifier { key, ..classifier() }.failed_status(&reply(401, "who?"), SystemTime::UNIX_EPOCH);
    check(&failure.error, &["who?; no key was sent; set the environment variable `OPENAI_API_KEY`"]);
}

#[test]
fn a_missing_model_names_model_and_address() {
    let error = error(404, json!({"error": "model not found"}));
    assert!(matches!(error, LmError::InvalidRequest { status: 404, .. }));
    check(&error, &["model not found", "`tiny`", "https://x.io/v1/chat/completions"]);
}

#[test]
fn a_prompt_that_is_too_long_is_known_by_code_or_wording() {
    for (status, body) in [
        (400, json!({"error": {"message": "Too long.", "code": "context_length_exceeded"}})),
        (400, json!({"message": "This model's maximum context length is 8192 tokens. However, you …"})),
        (400, json!({"error": {"type": "exceed_context_size_error", "message": "…", "code": 400}})),
        (413, json!({"error": {"message": "prompt is too long: 200001 tokens > 200000 maximum"}})),
        (
            400,
            json!([{"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed"}}]),
        ),
        (500, json!({"error": {"message": "the request exceeds the available context size"}})),
    ] {
        assert!(matches!(error(status, &body), LmError::ContextLength { .. }), "{body}");
    }
    let unrelated = json!({"error": {"message": "max_tokens is too large: 99999 completion tokens"}});
    assert!(matches!(error(400, unrelated), LmError::InvalidRequest { .. }));
}

#[test]
fn a_content_filter_is_a_refusal() {
    for (status, body) in [
        (400, json!({"error": {"code": "content_filter", "message": "filtered"}})),
        (400, json!({"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "m"}})),
        (403, json!({"error": {"message": "flagged", "metadata": {"flagged_input": "…", "reasons": []}}})),
    ] {
        assert!(matches!(error(status, &body), LmError::Refused { .. }), "{body}");
    }
}

#[test]
fn a_spent_quota_is_final_but_a_quota_per_minute_is_not() {
    let spent =
        error(429, json!({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}));
    assert!(spent.is_fatal() && !spent.is_retryable());
    check(&spent, &["You exceeded your quota", "no credit left"]);
    assert!(error(402, "pay").is_fatal());

    let body = json!([{"error": {"message": "You exceeded your current quota, check your plan and billing",
                                 "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "12s"}]}}]);
    let passing = error(429, body);
    assert!(passing.is_retryable());
    assert_eq!(passing.retry_after(), Some(Duration::from_secs(12)));
}

#[test]
fn every_status_has_its_class() {
    for status in [408, 409, 500, 502, 503, 504, 529] {
        assert!(matches!(error(status, "busy"), LmError::Server { .. }), "{status}");
    }
    for status in [400, 404, 405, 410, 413, 415, 422] {
        assert!(error(status, "no").is_fatal(), "{status}");
    }
}

#[test]
fn a_refused_parameter_is_known_unless_the_error_is_about_the_prompt() {
    let refused = |code: &str| {
        let message = "'seed' is not supported";
        let body = json!({"error": {"param": "seed", "message": message, "code": code}});
        classifier().failed_status(&reply(400, body), SystemTime::UNIX_EPOCH).refused_parameters
    };
    assert_eq!(refused("unsupported_parameter"), [Parameter::Seed]);
    assert_eq!(refused("context_length_exceeded"), []);
}

#[test]
fn a_redirect_is_not_followed_and_says_where_it_led() {
    let mut reply = reply(301, "");
    reply.headers.insert(LOCATION, HeaderValue::from_static("https://u:sk-canary-123456@y.io/?k=1"));
    let error = classifier().failed_status(&reply, SystemTime::UNIX_EPOCH).error;
    assert!(error.is_fatal());
    check(&error, &["redirects to https://y.io/,", "mend the base URL"]);
}

#[test]
fn an_html_page_is_named_by_its_title() {
    let page = "<html><head><title>502 Bad\nGateway</title></head><body>sk-canary-123456</body>";
    check(&error(502, page), &["502 Bad Gateway"]);
    let malformed = classifier().failed_reply(ReplyProblem::Malformed("x".into()), &reply(200, page)).error;
    check(&malformed, &["HTML page \"502 Bad Gateway\"; check the base URL"]);
}

#[test]
fn an_excerpt_is_short_and_clean() {
    let body = format!("sk-canary-123456\u{1b}[31m{}", "y".repeat(100_000));
    let malformed =
        classifier().failed_reply(ReplyProblem::Malformed("it is not JSON".into()), &reply(200, body)).error;
    check(&malformed, &["it is not JSON (no content type): [redacted] [31myyy"]);
    assert!(malformed.to_string().chars().count() < 400);
    assert!(!malformed.to_string().contains('\u{1b}'));
    check(&error(400, "z".repeat(100_000)), &["zzz…"]);
}

#[test]
fn an_empty_body_is_said_to_be_one() {
    check(&error(400, ""), &["gave no reason"]);
    let empty = classifier().failed_reply(ReplyProblem::Malformed("x".into()), &reply(200, " ")).error;
    check(&empty, &["empty body"]);
}
