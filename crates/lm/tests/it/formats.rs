//! Servers that do not know `response_format`.

use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmRequest, ResponseFormat};
use serde_json::json;

use crate::support::{Answer, Server, ask, client};

fn json_object() -> LmRequest {
    ask().with_response_format(ResponseFormat::JsonObject)
}

fn json_schema() -> LmRequest {
    let schema = json!({"type": "object"});
    ask().with_response_format(ResponseFormat::JsonSchema { name: "s".into(), schema })
}

#[tokio::test]
async fn an_unknown_format_is_left_out_and_remembered() {
    let refusal = Answer::error(400, "'response_format' of type 'json_schema' is not supported");
    let server = Server::start([refusal, Answer::text("{}")]).await;
    let (client, clock) = client(&server.base_url);
    client.complete(&json_schema(), &Attempts::any()).await.unwrap();
    client.complete(&json_schema(), &Attempts::any()).await.unwrap();
    client.complete(&json_object(), &Attempts::any()).await.unwrap();
    let sent: Vec<_> =
        server.seen().iter().map(|seen| seen.body["response_format"]["type"].clone()).collect();
    assert_eq!(sent, [json!("json_schema"), json!(null), json!(null), json!("json_object")]);
    assert!(clock.waits().is_empty());
}

#[tokio::test]
async fn a_schema_that_does_not_fit_does_not_spoil_the_next() {
    let refusal = Answer::error(400, "Invalid schema for response_format 's': 'required' is missing");
    let server = Server::start([refusal, Answer::text("{}")]).await;
    let (client, _) = client(&server.base_url);
    let other = ResponseFormat::JsonSchema { name: "t".into(), schema: json!({"type": "object"}) };
    for request in [json_schema(), json_schema(), ask().with_response_format(other)] {
        client.complete(&request, &Attempts::any()).await.unwrap();
    }
    let sent: Vec<_> = server.seen().iter().map(|seen| !seen.body["response_format"].is_null()).collect();
    assert_eq!(sent, [true, false, false, true], "the one that was refused is not sent again");
}

#[tokio::test]
async fn without_the_format_the_second_failure_counts() {
    let server =
        Server::start([Answer::error(400, "response_format? no"), Answer::error(400, "and no")]).await;
    let (client, _) = client(&server.base_url);
    let error = client.complete(&json_object(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(&error, LmError::InvalidRequest { message, .. } if message == "and no"), "{error}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_request_without_a_format_is_not_sent_twice() {
    let server = Server::start([Answer::error(400, "response_format? no")]).await;
    let (client, _) = client(&server.base_url);
    client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_format_that_is_refused_with_any_status_costs_one_request_and_no_wait() {
    let words = "response_format type must be one of \"text\" or \"json_object\", but got: json_schema";
    let inside = json!({"error": {"code": 500, "message": words}});
    let refusals = [400, 422, 500, 501, 503].map(|status| Answer::error(status, words));
    for refusal in refusals.into_iter().chain([Answer::new(200, inside)]) {
        let server = Server::start([refusal, Answer::text("{}")]).await;
        let (client, clock) = client(&server.base_url);
        for _ in 0..3 {
            client.complete(&json_schema(), &Attempts::any()).await.unwrap();
        }
        let sent: Vec<_> = server.seen().iter().map(|seen| !seen.body["response_format"].is_null()).collect();
        assert_eq!(sent, [true, false, false, false]);
        assert!(clock.waits().is_empty());
    }
}
