//! Anthropic: `POST /v1/messages`.

use promptopt_core::lm::{Attempts, FinishReason, LanguageModel, LmError, ResponseFormat, Sampling};
use promptopt_core::money::Usage;
use promptopt_lm::ProviderClient;
use serde_json::{Value, json};

use super::{ANTHROPIC, chat, client, client_with, fail, sampling};
use crate::support::{Answer, CANARY, Server};

fn message(text: &str, stop_reason: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5-20251001",
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": text}],
        "stop_reason": stop_reason, "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 200,
                  "output_tokens": 7},
    })
}

fn error(status: u16, kind: &str, message: &str) -> Answer {
    let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"});
    Answer::new(status, body)
}

#[tokio::test]
async fn a_chat_goes_over_the_wire_as_anthropic_wants_it_and_comes_back() {
    let server = Server::start([Answer::new(200, message("Paris", "end_turn"))]).await;
    let (client, _) = client_with(ANTHROPIC, &server.base_url, sampling());
    let reply = client.complete(&chat(), &Attempts::any()).await.unwrap();
    assert_eq!(reply.first_text(), "Paris");
    assert_eq!(reply.completions[0].finish_reason, FinishReason::Stop);
    assert_eq!(
        reply.usage,
        Usage::call(213, 7).with_cached(200).with_cache_write(3),
        "cached tokens are tokens of the prompt"
    );

    let seen = &server.seen()[0];
    assert_eq!(seen.uri.path(), "/v1/messages");
    assert_eq!(seen.headers["x-api-key"], CANARY);
    assert_eq!(seen.headers["anthropic-version"], "2023-06-01");
    assert!(!seen.headers.contains_key("authorization"));
    let texts = |role: &str, text: &str| json!({"role": role, "content": text});
    assert_eq!(seen.body["model"], "claude-haiku-4-5");
    assert_eq!(seen.body["system"], "Be brief.");
    assert_eq!(seen.body["messages"][0], texts("user", "Capital of Italy?"));
    assert_eq!(seen.body["messages"][1]["role"], "assistant");
    assert_eq!(seen.body["messages"][2], texts("user", "Capital of France?"));
    assert_eq!(seen.body["temperature"], 0.25);
    assert_eq!(seen.body["top_p"], 0.5);
    assert_eq!(seen.body["max_tokens"], 9);
    assert_eq!(seen.body["stop_sequences"], json!(["END"]));
    assert_eq!(seen.body["stream"], false);
}

#[tokio::test]
async fn a_bound_is_always_sent_and_said_and_a_cut_is_told() {
    let server = Server::start([Answer::new(200, message("Par", "max_tokens"))]).await;
    let (client, _) = client(ANTHROPIC, &server.base_url);
    let reply = client.complete(&chat(), &Attempts::any()).await.unwrap();
    assert_eq!(reply.completions[0].finish_reason, FinishReason::Length);
    assert_eq!(server.seen()[0].body["max_tokens"], 4096);
    assert_eq!(client.profile().max_tokens, Some(4096));
    assert!(client.profile().id.ends_with(" claude-haiku-4-5 max_tokens=4096"), "{}", client.profile().id);
}

#[tokio::test]
async fn a_header_can_stand_for_the_key() {
    let server = Server::start([Answer::new(200, message("Paris", "end_turn"))]).await;
    let builder = ProviderClient::builder().model(ANTHROPIC).base_url(&server.base_url);
    let client = builder.secret_header("X-Api-Key", CANARY).header("anthropic-beta", "b-1").build().unwrap();
    client.complete(&chat(), &Attempts::any()).await.unwrap();
    let headers = &server.seen()[0].headers;
    let keys: Vec<_> = headers.get_all("x-api-key").iter().collect();
    assert_eq!(keys, [CANARY]);
    assert_eq!(headers["anthropic-beta"], "b-1");
    assert_eq!(client.redact(CANARY), "[redacted]");
}

#[tokio::test]
async fn a_reply_that_is_withheld_is_a_refusal() {
    let mut withheld = message("", "refusal");
    withheld["content"] = json!([]);
    let (error, seen, _) = fail(ANTHROPIC, [Answer::new(200, withheld)]).await;
    assert!(matches!(&error, LmError::Refused { message } if message.contains("refusal")), "{error}");
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn a_schema_is_sent_and_left_out_for_a_model_that_has_no_structured_output() {
    let answers = [
        error(400, "invalid_request_error", "output_config: Extra inputs are not permitted"),
        Answer::new(200, message("{}", "end_turn")),
    ];
    let server = Server::start(answers).await;
    let (client, _) = client(ANTHROPIC, &server.base_url);
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let response_format = ResponseFormat::JsonSchema { name: "reply".into(), schema };
    let request = chat().with_response_format(response_format);
    client.complete(&request, &Attempts::any()).await.unwrap();
    client.complete(&request, &Attempts::any()).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].body["output_config"]["format"]["type"], "json_schema");
    assert_eq!(seen[0].body["output_config"]["format"]["schema"]["required"], json!(["a"]));
    assert_eq!(seen.len(), 3);
    assert!(seen[1..].iter().all(|seen| seen.body.get("output_config").is_none()));
}

#[tokio::test]
async fn a_seed_or_a_parameter_that_is_refused_is_left_out() {
    let answers = [
        error(400, "invalid_request_error", "`temperature` is deprecated for this model"),
        Answer::new(200, message("Paris", "end_turn")),
    ];
    let server = Server::start(answers).await;
    let (client, _) = client_with(ANTHROPIC, &server.base_url, sampling());
    let sampling = Sampling::default().with_seed(3);
    client.complete(&chat().with_sampling(sampling), &Attempts::any()).await.unwrap();
    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.body.get("seed").is_none()));
    assert_eq!((seen[0].body["temperature"].as_f64(), seen[1].body.get("temperature")), (Some(0.25), None));
    assert_eq!(seen[1].body["top_p"], 0.5);
}

#[tokio::test]
async fn errors_are_classified() {
    let (unauthorized, seen, _) =
        fail(ANTHROPIC, [error(401, "authentication_error", &format!("invalid x-api-key {CANARY}"))]).await;
    assert!(matches!(unauthorized, LmError::Unauthorized { status: 401, .. }), "{unauthorized}");
    assert!(
        unauthorized.to_string().contains("[redacted]; check the key given as `api_key`"),
        "{unauthorized}"
    );
    assert_eq!(seen.len(), 1);

    let words = "prompt is too long: 210000 tokens > 200000 maximum";
    let (too_long, ..) = fail(ANTHROPIC, [error(400, "invalid_request_error", words)]).await;
    assert_eq!(too_long, LmError::ContextLength { message: words.into() });

    let (unknown, ..) = fail(ANTHROPIC, [error(404, "not_found_error", "model: claude-haiku-4-5")]).await;
    assert!(unknown.to_string().contains("check the model name `claude-haiku-4-5`"), "{unknown}");
    assert!(!unknown.to_string().contains("end in `/v1`"), "{unknown}");
}
