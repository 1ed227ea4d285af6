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

/// Bodies in the shapes of real servers: what is read of each as text, reasoning, finish reason and usage.
#[tokio::test]
async fn what_servers_send_is_read() {
    use FinishReason::{Length, Other, Stop};

    let choice = |message: serde_json::Value, finish: &str, usage: serde_json::Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1753679183, "model": "m",
               "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish, "stop_reason": null}],
               "usage": usage, "system_fingerprint": null, "prompt_logprobs": null})
        .to_string()
    };
    let usage = || json!({"prompt_tokens": 51, "total_tokens": 59, "completion_tokens": 8, "prompt_tokens_details": null});
    let told = Usage::call(51, 8);
    let cases = [
        // vLLM without a reasoning parser: the template has written the opening tag.
        (
            choice(
                json!({"role": "assistant", "content": "Is it 391?\n3. Answer briefly.</think>391", "refusal": null,
                       "annotations": null, "audio": null, "function_call": null, "tool_calls": [], "reasoning_content": null}),
                "stop",
                usage(),
            ),
            ("391", "Is it 391?\n3. Answer briefly.", Stop, told),
        ),
        // vLLM and DeepSeek with a field for it.
        (
            choice(json!({"role": "assistant", "content": "\n\n391", "reasoning_content": "17 * 23"}), "stop", usage()),
            ("\n\n391", "17 * 23", Stop, told),
        ),
        // Ollama's OpenAI endpoint.
        (
            choice(json!({"role": "assistant", "content": "391", "reasoning": "17 * 23"}), "stop", usage()),
            ("391", "17 * 23", Stop, told),
        ),
        // llama.cpp that leaves channels to the client.
        (
            choice(
                json!({"role": "assistant", "content": "<|channel|>analysis<|message|>17 * 23<|end|><|start|>assistant\
                       <|channel|>final<|message|>391"}),
                "stop",
                usage(),
            ),
            ("391", "17 * 23", Stop, told),
        ),
        // A server that drops the marks of the channels.
        (
            choice(json!({"role": "assistant", "content": "analysis17 * 23.assistantfinal391"}), "stop", usage()),
            ("391", "17 * 23.", Stop, told),
        ),
        // Mistral: content in parts, thinking in parts of its own.
        (
            choice(
                json!({"role": "assistant", "tool_calls": null, "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "17 * 23"}]}, {"type": "text", "text": "3"},
                    {"type": "thinking", "thinking": []}, {"type": "text", "text": "91"}]}),
                "stop",
                usage(),
            ),
            ("391", "17 * 23", Stop, told),
        ),
        // LM Studio: all went into the reasoning, and nothing was counted.
        (
            choice(
                json!({"role": "assistant", "content": "", "reasoning_content": "17 * 23", "tool_calls": []}),
                "stop",
                json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
            ),
            ("", "17 * 23", Stop, Usage::call(0, 0)),
        ),
        // Gemini's OpenAI endpoint: nothing left beside its thoughts, which only the total counts.
        (
            choice(
                json!({"role": "assistant"}),
                "length",
                json!({"prompt_tokens": 51, "completion_tokens": 0, "total_tokens": 351}),
            ),
            ("", "", Length, Usage::call(51, 300)),
        ),
        // OpenRouter: white space to keep the connection, and the reasoning twice.
        (
            "\n         \n\n         \n".to_owned()
                + &choice(
                    json!({"role": "assistant", "content": "391", "refusal": null, "reasoning": "17 * 23",
                           "reasoning_details": [{"type": "reasoning.text", "text": "17 * 23", "format": "unknown"}]}),
                    "stop",
                    usage(),
                ),
            ("391", "17 * 23", Stop, told),
        ),
        // Gemma behind mlx: a channel without a name.
        (
            choice(json!({"role": "assistant", "content": "<|channel>\n17 * 23\n<channel|>\n391"}), "stop", usage()),
            ("391", "17 * 23", Stop, told),
        ),
        // A Python server whose numbers are none, and one that says nothing of the end.
        (
            choice(json!({"role": "assistant", "content": "391"}), "stop", usage()).replace("\"logprobs\":null", "\"logprobs\":[-Infinity, NaN]"),
            ("391", "", Stop, told),
        ),
        (
            json!({"choices": [{"message": {"content": "391"}}], "usage": {"prompt_tokens": "51", "completion_tokens": 8.0}}).to_string(),
            ("391", "", Other, told),
        ),
    ];
    for (body, (text, reasoning, finish_reason, usage)) in cases {
        let reply = reply(Answer::new(200, &body)).await.unwrap();
        let [completion] = reply.completions.as_slice() else { panic!("{body}") };
        assert_eq!((completion.text.as_str(), completion.reasoning.as_str()), (text, reasoning), "{body}");
        assert_eq!((completion.finish_reason, reply.usage), (finish_reason, usage), "{body}");
    }
}
