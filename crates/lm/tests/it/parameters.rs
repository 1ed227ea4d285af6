//! Models that do not take every sampling parameter.

use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmRequest, ResponseFormat, Sampling};
use promptopt_lm::{ChatClient, MaxTokensField};
use serde_json::{Value, json};

use crate::support::{Answer, Server, ask, client};

/// A refusal in OpenAI's words.
fn unsupported(param: &str, code: &str, message: &str) -> Answer {
    let kind = "invalid_request_error";
    Answer::new(400, json!({"error": {"message": message, "type": kind, "param": param, "code": code}}))
}

fn no_max_tokens() -> Answer {
    let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                   'max_completion_tokens' instead.";
    unsupported("max_tokens", "unsupported_parameter", message)
}

fn no_temperature() -> Answer {
    let message = "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default \
                   (1) value is supported.";
    unsupported("temperature", "unsupported_value", message)
}

fn full() -> LmRequest {
    let sampling = Sampling::default()
        .with_temperature(0.0)
        .with_top_p(0.5)
        .with_max_tokens(9)
        .with_stop(vec!["END".into()])
        .with_seed(3);
    ask().with_sampling(sampling)
}

/// The body of `full()`, but for these parameters.
fn full_without(names: &[&str]) -> Value {
    let mut body = json!({
        "model": "tiny",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0.0, "top_p": 0.5, "max_tokens": 9, "stop": ["END"], "seed": 3,
    });
    let fields = body.as_object_mut().unwrap();
    fields.retain(|name, _| !names.contains(&name.as_str()));
    body
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body.as_object_mut().unwrap().insert(name.to_owned(), value);
    body
}

fn bodies(server: &Server) -> Vec<Value> {
    server.seen().into_iter().map(|seen| seen.body).collect()
}

#[tokio::test]
async fn max_tokens_goes_by_its_new_name_once_the_old_one_is_refused() {
    let server = Server::start([no_max_tokens(), Answer::text("x")]).await;
    let (client, clock) = client(&server.base_url);
    let id = client.profile().id;
    client.complete(&full(), &Attempts::any()).await.unwrap();
    client.complete(&full(), &Attempts::any()).await.unwrap();
    let renamed = with(full_without(&["max_tokens"]), "max_completion_tokens", json!(9));
    assert_eq!(bodies(&server), [full_without(&[]), renamed.clone(), renamed]);
    assert!(clock.waits().is_empty());
    assert_eq!(client.profile().id, id);
}

#[tokio::test]
async fn max_tokens_goes_by_its_old_name_once_the_new_one_is_refused() {
    for refusal in [
        Answer::error(400, "Unrecognized request argument supplied: max_completion_tokens"),
        Answer::new(
            422,
            json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"],
                               "msg": "Extra inputs are not permitted"}]}),
        ),
    ] {
        let server = Server::start([refusal, Answer::text("x")]).await;
        let client = ChatClient::builder()
            .base_url(&server.base_url)
            .model("tiny")
            .api_key("k")
            .max_tokens_field(MaxTokensField::MaxCompletionTokens)
            .build()
            .unwrap();
        client.complete(&full(), &Attempts::any()).await.unwrap();
        client.complete(&full(), &Attempts::any()).await.unwrap();
        let first = with(full_without(&["max_tokens"]), "max_completion_tokens", json!(9));
        assert_eq!(bodies(&server), [first, full_without(&[]), full_without(&[])]);
    }
}

#[tokio::test]
async fn a_server_that_refuses_both_names_is_asked_twice() {
    let server = Server::start([
        no_max_tokens(),
        Answer::error(400, "Unrecognized request argument supplied: max_completion_tokens"),
    ])
    .await;
    let (client, _) = client(&server.base_url);
    let error = client.complete(&full(), &Attempts::any()).await.unwrap_err();
    assert!(error.is_fatal() && error.to_string().contains("Unrecognized request argument"), "{error}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn an_unsupported_parameter_is_left_out_and_remembered() {
    let refused = |name: &str| {
        let message = format!("Unsupported parameter: '{name}' is not supported with this model.");
        unsupported(name, "unsupported_parameter", &message)
    };
    for (name, refusal) in [
        ("temperature", no_temperature()),
        ("top_p", refused("top_p")),
        ("stop", refused("stop")),
        ("seed", refused("seed")),
    ] {
        let server = Server::start([refusal, Answer::text("x")]).await;
        let (client, clock) = client(&server.base_url);
        let id = client.profile().id;
        client.complete(&full(), &Attempts::any()).await.unwrap();
        client.complete(&full(), &Attempts::any()).await.unwrap();
        let without = full_without(&[name]);
        assert_eq!(bodies(&server), [full_without(&[]), without.clone(), without]);
        assert!(clock.waits().is_empty());
        assert_eq!(client.profile().id, id);
    }
}

#[tokio::test]
async fn an_unsupported_parameter_is_known_by_the_words_of_a_server_error() {
    let server = Server::start([Answer::error(500, "'seed' is not supported"), Answer::text("x")]).await;
    let (client, clock) = client(&server.base_url);
    client.complete(&full(), &Attempts::any()).await.unwrap();
    assert_eq!(bodies(&server), [full_without(&[]), full_without(&["seed"])]);
    assert!(clock.waits().is_empty());
}

#[tokio::test]
async fn several_refusals_are_met_in_one_request() {
    let server = Server::start([
        no_max_tokens(),
        no_temperature(),
        Answer::error(400, "'response_format' is not supported"),
        Answer::error(503, "busy"),
        Answer::error(400, "`stop` is not supported with this model"),
        Answer::text("{}"),
    ])
    .await;
    let (client, _) = client(&server.base_url);
    let request = full().with_response_format(ResponseFormat::JsonObject);
    client.complete(&request, &Attempts::any()).await.unwrap();
    client.complete(&request, &Attempts::any()).await.unwrap();
    let sent = bodies(&server);
    let last = with(full_without(&["max_tokens", "temperature", "stop"]), "max_completion_tokens", json!(9));
    assert_eq!(sent.len(), 7);
    assert_eq!(sent[5..], [last.clone(), last]);
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_not_asked_for_ever() {
    let refusal = "temperature, top_p, max_tokens, max_completion_tokens, 'stop', 'seed' and \
                   response_format are not supported";
    let server = Server::start([Answer::error(400, refusal)]).await;
    let (client, _) = client(&server.base_url);
    let request = full().with_response_format(ResponseFormat::JsonObject);
    let error = client.complete(&request, &Attempts::any()).await.unwrap_err();
    assert!(matches!(error, LmError::InvalidRequest { status: 400, .. }), "{error}");
    // Once as it is, and once for each of five parameters and the format.
    assert_eq!(server.seen().len(), 7);
}

#[tokio::test]
async fn other_rejections_are_final_and_change_nothing() {
    for refusal in [
        Answer::error(400, "max_tokens is too large: 9. This model supports at most 8 completion tokens."),
        unsupported(
            "temperature",
            "decimal_above_max_value",
            "Invalid 'temperature': above 2, got 3 instead.",
        ),
        Answer::error(400, "Image inputs are not supported with this model."),
        unsupported("messages", "unsupported_value", "'messages' with 'seed' of 'x' are not supported"),
        Answer::error(403, "'temperature' is not supported for this key"),
    ] {
        let server = Server::start([refusal, Answer::text("x")]).await;
        let (client, _) = client(&server.base_url);
        let error = client.complete(&full(), &Attempts::any()).await.unwrap_err();
        assert!(error.is_fatal(), "{error}");
        assert_eq!(server.seen().len(), 1, "sent again after: {error}");
        client.complete(&full(), &Attempts::any()).await.unwrap();
        assert_eq!(bodies(&server), [full_without(&[]), full_without(&[])]);
    }
}

#[tokio::test]
async fn a_parameter_that_was_not_sent_is_not_left_out() {
    let server = Server::start([no_temperature()]).await;
    let (client, _) = client(&server.base_url);
    client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn concurrent_requests_agree_on_the_name() {
    let refusals = std::iter::repeat_n(no_max_tokens(), 3);
    let server = Server::start(refusals.chain([Answer::text("x")])).await;
    let (client, _) = client(&server.base_url);
    let request = full();
    // Whichever are refused together, none may turn the name back.
    let any = Attempts::any();
    let _ = tokio::join!(
        client.complete(&request, &any),
        client.complete(&request, &any),
        client.complete(&request, &any)
    );
    client.complete(&request, &Attempts::any()).await.unwrap();
    assert_eq!(bodies(&server).last().unwrap()["max_completion_tokens"], json!(9));
}
