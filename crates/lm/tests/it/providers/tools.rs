//! Tools, images and reasoning in the providers' own dialects: the whole body that is sent, and what is read.

use promptopt_core::lm::{
    Attempts, Audio, Content, FinishReason, Image, LanguageModel, LmError, LmReply, LmRequest, Message, Part,
    Role, Sampling, ToolCall, ToolChoice, ToolDefinition,
};
use promptopt_lm::ProviderClient;
use serde_json::{Value, json};

use super::{ANTHROPIC, GEMINI, OLLAMA, client, client_with};
use crate::support::{Answer, CANARY, Server};

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

fn tools() -> Vec<ToolDefinition> {
    vec![ToolDefinition::new("weather", "Says how the weather is.", schema())]
}

/// A chat with a developer, an image, and a call with its result.
fn chat() -> LmRequest {
    let image = Image::of_bytes("image/png", b"png");
    LmRequest::new(vec![
        Message::new(Role::Developer, "Be brief."),
        Message::user(Content::parts([Part::said("What is this?"), image.into()])),
        Message::assistant("Look.").with_tool_calls(vec![ToolCall::new(
            "call_1",
            "weather",
            "{\"city\": \"Rome\"}",
        )]),
        Message::tool_result("call_1", "Sunny."),
    ])
    .with_tools(tools())
    .with_tool_choice(ToolChoice::Auto)
}

async fn complete(model: &str, sampling: Sampling, request: &LmRequest, answer: Value) -> (LmReply, Value) {
    let server = Server::start([Answer::new(200, answer)]).await;
    let (client, _) = client_with(model, &server.base_url, sampling);
    let reply = client.complete(request, &Attempts::any()).await.unwrap();
    (reply, server.seen().first().unwrap().body.clone())
}

fn replied(content: Value) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": content,
           "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 80, "output_tokens": 20}})
}

#[tokio::test]
async fn anthropic_gets_tools_images_and_results_and_gives_calls() {
    let answer = replied(json!([
        {"type": "text", "text": "I look it up."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
    ]));
    let request = chat().with_parallel_tool_calls(false);
    let (reply, body) = complete(ANTHROPIC, Sampling::default().with_max_tokens(99), &request, answer).await;
    assert_eq!(
        body,
        json!({
            "model": "claude-haiku-4-5", "stream": false, "max_tokens": 99, "system": "Be brief.",
            "tools": [{"name": "weather", "description": "Says how the weather is.", "input_schema": schema()}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"}}]},
                {"role": "assistant", "content": [
                    {"type": "text", "text": "Look."},
                    {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "Sunny."}]},
            ],
        })
    );
    let completion = &reply.completions[0];
    assert_eq!(completion.tool_calls, [ToolCall::new("toolu_1", "weather", "{\"city\":\"Oslo\"}")]);
    assert_eq!(
        (completion.text.as_str(), completion.finish_reason),
        ("I look it up.", FinishReason::ToolCalls)
    );
}

#[tokio::test]
async fn an_image_at_an_address_reaches_anthropic() {
    let shown = Content::parts([Part::said("What?"), Image::at("https://example.org/a.png").into()]);
    let request = LmRequest::new(vec![Message::user(shown)]);
    let (_, body) =
        complete(ANTHROPIC, Sampling::default(), &request, replied(json!([{"type": "text", "text": "x"}])))
            .await;
    assert_eq!(
        body["messages"][0]["content"][1],
        json!({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}})
    );
}

#[tokio::test]
async fn a_tool_without_arguments_has_a_schema_all_the_same() {
    let request = LmRequest::new(vec![Message::user("Now?")]).with_tools(vec![ToolDefinition::new(
        "now",
        "",
        Value::Null,
    )]);
    let (_, body) =
        complete(ANTHROPIC, Sampling::default(), &request, replied(json!([{"type": "text", "text": "x"}])))
            .await;
    assert_eq!(body["tools"][0]["input_schema"], json!({"type": "object", "properties": {}}));
}

#[tokio::test]
async fn what_anthropics_models_thought_goes_back_with_its_signatures() {
    let thought = json!([
        {"type": "thinking", "thinking": "Rome first.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eHh4"},
    ]);
    let mut content = thought.as_array().cloned().unwrap();
    content.push(json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}));
    let (reply, _) = complete(ANTHROPIC, Sampling::default(), &chat(), replied(content.clone().into())).await;
    assert_eq!(reply.completions[0].reasoning, "Rome first.");
    let request = LmRequest::new(vec![
        Message::user("Weather?"),
        reply.completions[0].to_message(),
        Message::tool_result("toolu_1", "Sunny."),
    ]);
    let (_, body) =
        complete(ANTHROPIC, Sampling::default(), &request, replied(json!([{"type": "text", "text": "x"}])))
            .await;
    assert_eq!(body["messages"][1]["content"], Value::from(content));
    // Without a call nothing of it is wanted back.
    let answer = replied(json!([thought[0], {"type": "text", "text": "Sunny."}]));
    let (reply, _) = complete(ANTHROPIC, Sampling::default(), &chat(), answer).await;
    assert!(reply.completions[0].extra.is_empty());
}

#[tokio::test]
async fn anthropics_models_have_room_to_reason() {
    let sampling = Sampling::default().with_reasoning_effort("high");
    let (_, body) =
        complete(ANTHROPIC, sampling, &chat(), replied(json!([{"type": "text", "text": "x"}]))).await;
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 24_000}));
    assert_eq!(body["max_tokens"], 32_768, "it must be above the budget of its thinking");
}

#[tokio::test]
async fn gemini_gets_tools_images_and_results_and_gives_calls_with_signatures() {
    let answer = json!({
        "candidates": [{"content": {"role": "model", "parts": [
            {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "weather", "args": {"city": "Bonn"}}},
        ]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 80, "candidatesTokenCount": 20, "totalTokenCount": 100},
    });
    let sampling = Sampling::default().with_reasoning_effort("low");
    let (reply, body) = complete(GEMINI, sampling, &chat(), answer).await;
    assert_eq!(
        body,
        json!({
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"thinkingConfig": {"thinkingBudget": 1000}},
            "tools": [{"functionDeclarations": [
                {"name": "weather", "description": "Says how the weather is.", "parametersJsonSchema": schema()}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
            "contents": [
                {"role": "user", "parts": [{"text": "What is this?"}, {"inline_data": {"mime_type": "image/png", "data": "cG5n"}}]},
                {"role": "model", "parts": [{"text": "Look."}, {"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Rome"}}}]},
                {"role": "user", "parts": [{"functionResponse": {"id": "call_1", "name": "weather", "response": {"name": "weather", "content": "Sunny."}}}]},
            ],
        })
    );
    let completion = &reply.completions[0];
    assert_eq!(completion.finish_reason, FinishReason::ToolCalls);
    let calls = &completion.tool_calls;
    assert!(calls.len() == 2 && calls[0].id != calls[1].id && calls[1].arguments == "{\"city\":\"Bonn\"}");
    let request = LmRequest::new(vec![Message::user("Weather?"), completion.to_message()]);
    let answer = json!({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]});
    let (_, body) = complete(GEMINI, Sampling::default(), &request, answer).await;
    assert_eq!(body["contents"][1]["parts"][0]["thoughtSignature"], "c2ln");
}

#[tokio::test]
async fn gemini_thinks_as_much_as_it_is_told_also_where_an_object_is_asked_for() {
    let sampling = Sampling::default().with_reasoning_effort("medium");
    let request = LmRequest::new(vec![Message::user("a")])
        .with_response_format(promptopt_core::lm::ResponseFormat::JsonObject);
    let answer = json!({"candidates": [{"content": {"parts": [{"text": "{}"}]}, "finishReason": "STOP"}]});
    let (_, body) = complete(GEMINI, sampling, &request, answer).await;
    assert_eq!(
        body["generationConfig"],
        json!({"responseMimeType": "application/json", "thinkingConfig": {"thinkingBudget": 8000}})
    );
}

#[tokio::test]
async fn ollama_gets_tools_images_and_results_and_gives_calls() {
    let answer = json!({
        "model": "llama3.2:3b", "created_at": "2025-10-01T00:00:00Z", "done": true, "done_reason": "stop",
        "message": {"role": "assistant", "content": "", "thinking": "Oslo.", "tool_calls": [
            {"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
        "prompt_eval_count": 80, "eval_count": 20,
    });
    let sampling = Sampling::default().with_reasoning_effort("low");
    let (reply, body) = complete(OLLAMA, sampling.clone(), &chat(), answer.clone()).await;
    assert_eq!(
        body,
        json!({
            "model": "llama3.2:3b", "stream": false, "think": "low",
            "tools": [{"type": "function", "function": {
                "name": "weather", "description": "Says how the weather is.", "parameters": schema()}}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is this?", "images": ["cG5n"]},
                {"role": "assistant", "content": "Look.", "tool_calls": [
                    {"function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
                {"role": "tool", "content": "Sunny."},
            ],
        })
    );
    let completion = &reply.completions[0];
    assert_eq!((completion.finish_reason, completion.reasoning.as_str()), (FinishReason::ToolCalls, "Oslo."));
    assert_eq!(completion.tool_calls[0].arguments, "{\"city\":\"Oslo\"}");
    let (again, _) = complete(OLLAMA, sampling, &chat(), answer).await;
    assert_eq!(reply, again, "nothing about a call is drawn");
}

#[tokio::test]
async fn what_a_dialect_has_no_words_for_is_left_out_or_refused() {
    let server = Server::start([Answer::new(
        200,
        json!({"model": "m", "message": {"role": "assistant", "content": "x"}, "done": true}),
    )])
    .await;
    let (model, _) = client(OLLAMA, &server.base_url);
    let request = chat().with_tool_choice(ToolChoice::Required).with_parallel_tool_calls(false);
    model.complete(&request, &Attempts::any()).await.unwrap();
    assert!(
        ["tool_choice", "parallel_tool_calls"].iter().all(|name| server.seen()[0].body.get(name).is_none())
    );

    let refuse = async |name: &str, part: Part| {
        let (model, _) = client(name, &server.base_url);
        let error = model
            .complete(&LmRequest::new(vec![Message::user(Content::parts([part]))]), &Attempts::any())
            .await;
        let error = error.unwrap_err();
        assert!(matches!(&error, LmError::InvalidRequest { .. }), "{error}");
        error.to_string()
    };
    let image = refuse(OLLAMA, Image::at("https://example.org/a.png").into()).await;
    assert!(image.contains("an image at an address: give its bytes"), "{image}");
    for name in [OLLAMA, ANTHROPIC] {
        let audio = refuse(name, Part::Audio(Audio::of_bytes("wav", b"wav"))).await;
        assert!(audio.contains("`audio` cannot be sent to this provider (nothing was sent)"), "{audio}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_name_that_a_provider_refuses_is_sent_plain_and_comes_back() {
    let words = "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'";
    let refusal = json!({"type": "error", "error": {"type": "invalid_request_error", "message": words}});
    let called = replied(json!([{"type": "tool_use", "id": "toolu_1", "name": "files_read", "input": {}}]));
    let server = Server::start([Answer::new(400, refusal), Answer::new(200, called)]).await;
    let builder = ProviderClient::builder().model(ANTHROPIC).base_url(&server.base_url).api_key(CANARY);
    let client = builder.build().unwrap();
    let request = LmRequest::new(vec![Message::user("a")]).with_tools(vec![ToolDefinition::new(
        "files.read",
        "",
        schema(),
    )]);
    let reply = client.complete(&request, &Attempts::any()).await.unwrap();
    assert_eq!(server.seen()[1].body["tools"][0]["name"], "files_read");
    assert_eq!(reply.completions[0].tool_calls[0].name, "files.read");
}
