//! Any chat comes through every wire form whole and in its order: what the server reads is what was sent.

use promptopt_core::lm::{Attempts, Content, Image, LanguageModel, LmRequest, Message, Part, ToolCall};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::{Answer, Server, client};

/// Texts as people write them, with quotes, markup and other scripts.
fn text() -> impl Strategy<Value = String> {
    "[^\\s\\pC]([^\\pC]|\n){0,24}[^\\s\\pC]"
}

fn content() -> impl Strategy<Value = Content> {
    let image = prop::collection::vec(any::<u8>(), 1..8)
        .prop_map(|bytes| Part::Image(Image::of_bytes("image/png", &bytes)));
    let shown = (text(), image).prop_map(|(text, image)| Content::parts([Part::said(text), image]));
    prop_oneof![3 => text().prop_map(Content::from), 1 => shown]
}

fn calls() -> impl Strategy<Value = Vec<(String, Value, String)>> {
    let arguments = prop_oneof![
        Just(json!({})),
        text().prop_map(|text| json!({"query": text, "limit": 3})),
        any::<(i32, bool)>().prop_map(|(number, is_so)| json!({"nested": {"list": [number, is_so, null]}})),
    ];
    prop::collection::vec(("[a-z_]{1,12}", arguments, text()), 1..4)
}

/// A chat that a server takes: results follow their calls, and a question is last.
fn chat() -> impl Strategy<Value = Vec<Message>> {
    let turn = prop_oneof![
        content().prop_map(|content| vec![Message::user(content)]),
        (text(), text())
            .prop_map(|(question, answer)| vec![Message::user(question), Message::assistant(answer)]),
        (text(), prop::option::of(text()), calls()).prop_map(|(question, thought, calls)| {
            let id = |number: usize| format!("call_{number}");
            let made = calls
                .iter()
                .enumerate()
                .map(|(number, (name, arguments, _))| ToolCall::new(id(number), name, arguments.to_string()));
            let asked = Message::assistant(thought.unwrap_or_default()).with_tool_calls(made.collect());
            let results = calls
                .iter()
                .enumerate()
                .map(|(number, call)| Message::tool_result(id(number), call.2.as_str()));
            [Message::user(question), asked].into_iter().chain(results).collect()
        }),
    ];
    (prop::option::of(text()), prop::collection::vec(turn, 0..4), content()).prop_map(
        |(system, turns, last)| {
            let system = system.map(Message::system);
            system.into_iter().chain(turns.into_iter().flatten()).chain([Message::user(last)]).collect()
        },
    )
}

/// What a chat says, shows, calls and gets, in order and without the form it is in.
fn told(messages: &[Message]) -> Vec<String> {
    let mut told = Vec::new();
    for message in messages {
        let who = message.role.as_str();
        match message.content.as_slice() {
            [] if message.text().is_empty() => {}
            [] => told.push(format!("{who}: {}", message.text())),
            parts => told.extend(parts.iter().map(|part| match part {
                Part::Image(image) => format!("{who} shows {}", image.url),
                part => format!("{who}: {}", part.text().unwrap_or_default()),
            })),
        }
        let call = |call: &ToolCall| {
            let arguments = Value::Object(call.read_arguments().unwrap());
            format!("{} {arguments}", call.name)
        };
        told.extend(message.tool_calls.iter().map(call));
    }
    told
}

/// Sends any chats by a client, and compares what `read` finds in the bodies.
fn check(
    client: impl LanguageModel,
    server: &Server,
    runtime: &tokio::runtime::Runtime,
    read: fn(&Value) -> Vec<String>,
) {
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&chat(), |messages| {
        let request = LmRequest::new(messages.clone());
        runtime.block_on(client.complete(&request, &Attempts::any())).unwrap();
        let body = server.seen().last().unwrap().body.clone();
        prop_assert_eq!(read(&body), told(&messages), "{}", body);
        Ok(())
    });
    result.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn any_chat_comes_through_the_openai_form() {
    let runtime = runtime();
    let server = runtime.block_on(Server::start([Answer::text("yes")]));
    check(client(&server.base_url).0, &server, &runtime, |body| {
        let messages: Vec<Message> = serde_json::from_value(body["messages"].clone()).unwrap();
        told(&messages)
    });
}

#[cfg(feature = "providers")]
mod native {
    use super::*;
    use crate::providers::{ANTHROPIC, GEMINI, OLLAMA};

    fn texts(content: &Value) -> Vec<&Value> {
        content.as_array().map_or_else(|| vec![content], |blocks| blocks.iter().collect())
    }

    fn said(who: &str, text: &Value) -> String {
        format!("{who}: {}", text.as_str().unwrap())
    }

    fn check_native(model: &str, answer: Value, read: fn(&Value) -> Vec<String>) {
        let runtime = runtime();
        let server = runtime.block_on(Server::start([Answer::new(200, answer)]));
        check(crate::providers::client(model, &server.base_url).0, &server, &runtime, read);
    }

    #[test]
    fn any_chat_comes_through_the_form_of_anthropic() {
        let answer = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "x"}], "usage": {"input_tokens": 1, "output_tokens": 1}});
        check_native(ANTHROPIC, answer, |body| {
            let mut found: Vec<String> = body.get("system").iter().map(|text| said("system", text)).collect();
            for message in body["messages"].as_array().unwrap() {
                let who = message["role"].as_str().unwrap();
                found.extend(texts(&message["content"]).into_iter().map(|block| match &block["type"] {
                    Value::Null => said(who, block),
                    kind if kind == "text" => said(who, &block["text"]),
                    kind if kind == "tool_use" => {
                        format!("{} {}", block["name"].as_str().unwrap(), block["input"])
                    }
                    kind if kind == "tool_result" => said("tool", &block["content"]),
                    _ => {
                        let source = &block["source"];
                        let part = |name: &str| source[name].as_str().unwrap().to_owned();
                        format!("{who} shows data:{};base64,{}", part("media_type"), part("data"))
                    }
                }));
            }
            found
        });
    }

    #[test]
    fn any_chat_comes_through_the_form_of_gemini() {
        let answer = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]},
            "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}});
        check_native(GEMINI, answer, |body| {
            let mut found = Vec::new();
            let system = body.get("systemInstruction").or(body.get("system_instruction"));
            let all = system.into_iter().chain(body["contents"].as_array().unwrap());
            for (at, content) in all.enumerate() {
                let who = match content["role"].as_str() {
                    Some("model") => "assistant",
                    Some(role) => role,
                    None if at == 0 => "system",
                    None => "user",
                };
                found.extend(content["parts"].as_array().unwrap().iter().map(|part| {
                    if let Some(call) = part.get("functionCall") {
                        format!("{} {}", call["name"].as_str().unwrap(), call["args"])
                    } else if let Some(result) = part.get("functionResponse") {
                        let response = &result["response"];
                        said("tool", response.as_object().unwrap().values().next_back().unwrap())
                    } else if let Some(shown) = part.get("inlineData").or(part.get("inline_data")) {
                        let kind = shown.get("mimeType").or(shown.get("mime_type")).unwrap();
                        let data = shown["data"].as_str().unwrap();
                        format!("{who} shows data:{};base64,{data}", kind.as_str().unwrap())
                    } else {
                        said(who, &part["text"])
                    }
                }));
            }
            found
        });
    }

    #[test]
    fn any_chat_comes_through_the_form_of_ollama() {
        let answer = json!({"model": "m", "message": {"role": "assistant", "content": "x"}, "done": true,
            "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1});
        check_native(OLLAMA, answer, |body| {
            let mut found = Vec::new();
            for message in body["messages"].as_array().unwrap() {
                let who = message["role"].as_str().unwrap();
                let text = message["content"].as_str().unwrap_or_default();
                if !text.is_empty() {
                    found.push(format!("{who}: {text}"));
                }
                let images = message["images"].as_array().into_iter().flatten();
                found.extend(
                    images
                        .map(|data| format!("{who} shows data:image/png;base64,{}", data.as_str().unwrap())),
                );
                found.extend(message["tool_calls"].as_array().into_iter().flatten().map(|call| {
                    let function = &call["function"];
                    format!("{} {}", function["name"].as_str().unwrap(), function["arguments"])
                }));
            }
            found
        });
    }
}
