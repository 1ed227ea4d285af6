//! What servers put around an answer, on its way through the client.

use promptopt_core::lm::{Attempts, FinishReason, LanguageModel, LmError};
use promptopt_core::money::Usage;
use serde_json::json;

use crate::support::{Answer, Server, ask, client};

async fn reply(answer: Answer) -> Result<promptopt_core::lm::LmReply, LmError> {
    let server = Server::start([answer]).await;
    let (client, clock) = client(&server.base_url);
    let reply = client.complete(&ask(), &Attempts::any()).await;
    assert!(clock.waits().is_empty() && server.seen().len() == 1, "it was asked again");
    reply
}

#[tokio::test]
async fn what_a_model_thinks_aloud_is_no_answer() {
    let reply = reply(Answer::text("<think>\nMaybe it is sales.\n</think>\n\nbilling")).await.unwrap();
    assert_eq!(reply.first_text(), "billing");
    assert_eq!(reply.completions[0].reasoning, "Maybe it is sales.");
}

#[tokio::test]
async fn half_an_emoji_is_read() {
    let body = r#"{"choices": [{"message": {"role": "assistant", "content": "ok \ud83d"}, "finish_reason": "stop"}]}"#;
    assert_eq!(reply(Answer::new(200, body)).await.unwrap().first_text(), "ok \u{fffd}");
}

#[tokio::test]
async fn a_stream_that_nobody_asked_for_is_read() {
    let chunk = |delta: serde_json::Value, finish: Option<&str>| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}});
    let events = [
        chunk(json!({"role": "assistant", "content": "<think>x</th"}), None),
        chunk(json!({"content": "ink>Pa"}), None),
        chunk(json!({"content": "ris"}), Some("stop")),
        usage,
    ];
    let body: String = events.iter().map(|event| format!("data: {event}\r\n\r\n")).collect();
    for content_type in ["text/event-stream", "application/json"] {
        let answer =
            Answer::new(200, format!("{body}data: [DONE]\r\n\r\n")).header("content-type", content_type);
        let reply = reply(answer).await.unwrap();
        assert_eq!((reply.first_text(), reply.usage), ("Paris", Usage::call(11, 5)));
        assert_eq!(reply.completions[0].finish_reason, FinishReason::Stop);
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_what_it_says() {
    let body = "data: {\"error\": {\"code\": 400, \"message\": \"no such model\"}}\n\ndata: [DONE]\n\n";
    for status in [200, 400] {
        let error = reply(Answer::new(status, body)).await.unwrap_err();
        assert!(
            matches!(&error, LmError::InvalidRequest { status: 400, message } if message == "no such model"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_words_of_a_refusal_are_said_and_bounded() {
    let words = "I can not help with that. ".repeat(1000);
    let body =
        json!({"choices": [{"message": {"content": null, "refusal": words}, "finish_reason": "stop"}]});
    let error = reply(Answer::new(200, body)).await.unwrap_err().to_string();
    assert!(error.contains("I can not help with that.") && error.len() < 600, "{error}");
}
