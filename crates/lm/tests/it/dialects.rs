//! What real servers send and take, in their shapes: tools, calls in pieces, images, refusals, reasoning.

use promptopt_core::lm::{
    Attempts, Audio, Completion, Content, File, FinishReason, Image, LanguageModel, LmError, LmReply,
    LmRequest, Message, Part, Role, Sampling, ToolCall, ToolChoice, ToolDefinition,
};
use promptopt_core::money::Usage;
use promptopt_lm::ChatClient;
use serde_json::{Value, json};

use crate::support::{Answer, Server, ask, client};

async fn read(body: impl ToString) -> LmReply {
    let server = Server::start([Answer::new(200, body)]).await;
    let (client, _) = client(&server.base_url);
    client.complete(&ask(), &Attempts::any()).await.unwrap()
}

fn one(reply: &LmReply) -> &Completion {
    assert_eq!(reply.completions.len(), 1, "{reply:?}");
    reply.completions.first().unwrap()
}

/// The call that every server below makes.
fn call(id: &str) -> ToolCall {
    ToolCall::new(id, "weather", "{\"city\": \"Rome\"}")
}

fn function(arguments: &str) -> Value {
    json!({"name": "weather", "arguments": arguments})
}

const ARGUMENTS: &str = "{\"city\": \"Rome\"}";

#[tokio::test]
async fn calls_of_tools_are_read_from_the_shapes_of_every_server() {
    let body = |message: Value, finish: &str, more: Value| {
        let mut body = json!({
            "id": "r-1", "object": "chat.completion", "created": 1760000000, "model": "m-1",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 80, "completion_tokens": 20, "total_tokens": 100},
        });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        body
    };
    let calling = |id: &str| json!([{"id": id, "type": "function", "function": function(ARGUMENTS)}]);
    let bodies = [
        // OpenAI.
        (
            "call_a",
            body(
                json!({"role": "assistant", "content": null, "tool_calls": calling("call_a"), "refusal": null, "annotations": []}),
                "tool_calls",
                json!({"service_tier": "default", "system_fingerprint": "fp_1"}),
            ),
        ),
        // Azure: filters beside everything.
        (
            "call_b",
            body(
                json!({"role": "assistant", "content": null, "tool_calls": calling("call_b")}),
                "tool_calls",
                json!({"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": false, "severity": "safe"}}}]}),
            ),
        ),
        // vLLM, of an older and a newer kind.
        (
            "chatcmpl-tool-1f",
            body(
                json!({"role": "assistant", "content": "", "reasoning_content": null, "tool_calls": calling("chatcmpl-tool-1f")}),
                "tool_calls",
                json!({"prompt_logprobs": null, "kv_transfer_params": null}),
            ),
        ),
        // llama.cpp.
        (
            "Uv3kT0",
            body(
                json!({"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function": function(ARGUMENTS), "id": "Uv3kT0"}]}),
                "tool_calls",
                json!({"timings": {"prompt_n": 80, "predicted_per_second": 99.5}}),
            ),
        ),
        // Ollama: a number in each call.
        (
            "call_x7",
            body(
                json!({"role": "assistant", "content": "", "tool_calls": [
                {"id": "call_x7", "index": 0, "type": "function", "function": function(ARGUMENTS)}]}),
                "tool_calls",
                json!({"system_fingerprint": "fp_ollama"}),
            ),
        ),
        // OpenRouter: the provider's own word for the end.
        (
            "toolu_01",
            body(
                json!({"role": "assistant", "content": "", "refusal": null, "reasoning": null, "tool_calls": [
                {"type": "function", "index": 0, "id": "toolu_01", "function": function(ARGUMENTS)}]}),
                "tool_calls",
                json!({"provider": "Anthropic"}),
            ),
        ),
        // Mistral: short ids and no type.
        (
            "D681PevKs",
            body(
                json!({"role": "assistant", "content": "", "prefix": false, "tool_calls": [
                {"id": "D681PevKs", "function": function(ARGUMENTS), "index": 0}]}),
                "tool_calls",
                json!({}),
            ),
        ),
        // Gemini's compatible endpoint says that it stopped.
        (
            "function-call-1",
            body(
                json!({"role": "assistant", "tool_calls": [
                {"extra_content": {"google": {"thought_signature": "c2ln"}}, "function": function(ARGUMENTS), "id": "function-call-1", "type": "function"}]}),
                "stop",
                json!({}),
            ),
        ),
        // A server that gives the arguments as an object.
        (
            "c1",
            body(
                json!({"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]}),
                "tool_calls",
                json!({}),
            ),
        ),
    ];
    for (id, body) in bodies {
        let reply = read(&body).await;
        let completion = one(&reply);
        let [called] = completion.tool_calls.as_slice() else { panic!("{body}") };
        assert_eq!((called.id.as_str(), called.name.as_str()), (id, "weather"), "{body}");
        assert_eq!(called.read_arguments().unwrap()["city"], "Rome", "{body}");
        assert_eq!(
            (completion.finish_reason, completion.text.as_str()),
            (FinishReason::ToolCalls, ""),
            "{body}"
        );
        assert_eq!((reply.usage, reply.id.as_deref()), (Usage::call(80, 20), Some("r-1")), "{body}");
    }
}

#[tokio::test]
async fn broken_arguments_are_handed_on_as_they_came() {
    for arguments in ["{\"city\": \"Ro", "city=Rome", "", "{}}", "[\"Rome\"]"] {
        let reply = read(json!({"choices": [{"message": {"content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": function(arguments)}]}, "finish_reason": "tool_calls"}]}))
        .await;
        let called = &one(&reply).tool_calls[0];
        assert_eq!(called.arguments, arguments);
        assert_eq!(called.read_arguments().is_ok(), arguments.is_empty(), "{arguments}");
        // What the model wrote goes back as it was, with the result that says what was wrong.
        let back = serde_json::to_value(one(&reply).to_message()).unwrap();
        assert_eq!(back["tool_calls"][0]["function"]["arguments"], arguments);
    }
}

#[tokio::test]
async fn streams_of_calls_are_put_together_as_each_server_cuts_them() {
    let stream = |deltas: Vec<Value>| {
        let event = |delta: Value| {
            let chunk = json!({"id": "r-1", "object": "chat.completion.chunk", "model": "m-1",
                               "choices": [{"index": 0, "delta": delta, "finish_reason": null}], "usage": null});
            format!("data: {chunk}\n\n")
        };
        let azure = "data: {\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}],\"model\":\"\",\"id\":\"\"}\n\n";
        let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n\
                   data: {\"choices\":[],\"usage\":{\"prompt_tokens\":80,\"completion_tokens\":20}}\n\ndata: [DONE]\n\n";
        azure.to_owned() + &deltas.into_iter().map(event).collect::<String>() + end
    };
    let cases = [
        // OpenAI, Azure, vLLM, llama.cpp: a head, and arguments in pieces.
        vec![
            json!({"role": "assistant", "content": null}),
            json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function("")}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": ": \"Rome\"}"}}]}),
        ],
        // vLLM with empty ids and a null name behind the head.
        vec![
            json!({"role": "assistant", "content": ""}),
            json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "weather"}}]}),
            json!({"tool_calls": [{"index": 0, "id": "", "function": {"name": null, "arguments": "{\"city\": "}}]}),
            json!({"tool_calls": [{"index": 0, "id": null, "function": {"arguments": "\"Rome\"}"}}]}),
        ],
        // Ollama, Mistral, Gemini's compatible endpoint: each call whole.
        vec![json!({"role": "assistant", "content": "", "tool_calls": [
            {"id": "a", "index": 0, "type": "function", "function": function(ARGUMENTS)}]})],
        // OpenRouter and DeepSeek: reasoning first.
        vec![
            json!({"role": "assistant", "content": "", "reasoning": "Look it ", "reasoning_details": [{"type": "reasoning.text", "text": "Look it ", "index": 0}]}),
            json!({"reasoning": "up.", "reasoning_details": [{"type": "reasoning.text", "text": "up.", "index": 0}]}),
            json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function("{\"city\": ")}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"Rome\"}"}}]}),
        ],
    ];
    for deltas in cases {
        let reply = read(stream(deltas.clone())).await;
        let completion = one(&reply);
        assert_eq!(completion.tool_calls, [call("a")], "{deltas:?}");
        assert_eq!((completion.finish_reason, reply.usage), (FinishReason::ToolCalls, Usage::call(80, 20)));
    }
}

#[tokio::test]
async fn calls_without_ids_get_some_that_are_the_same_every_time() {
    let message = json!({"content": null, "tool_calls": [{"function": function(ARGUMENTS)}, {"function": function(ARGUMENTS)}]});
    let body = json!({"choices": [{"message": message, "finish_reason": "tool_calls"}]});
    let (first, again) = (read(&body).await, read(&body).await);
    let ids: Vec<_> = one(&first).tool_calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(first, again);
    assert!(
        ids[0] != ids[1]
            && ids.iter().all(|id| id.len() == 9 && id.chars().all(|it| it.is_ascii_alphanumeric()))
    );
}

#[tokio::test]
async fn refusals_are_kept_apart_from_answers() {
    // Whole, it is an error in the model's words.
    let server = Server::start([Answer::new(
        200,
        json!({"choices": [{"message": {"role": "assistant", "content": null, "refusal": "I will not."}, "finish_reason": "stop"}]}),
    )])
    .await;
    let (client, _) = client(&server.base_url);
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    assert!(matches!(&error, LmError::Refused { message } if message == "I will not."), "{error}");
    // Beside a text, both are told.
    let reply = read(json!({"choices": [{"message": {"content": "Half.", "refusal": "No more."}, "finish_reason": "stop"}]})).await;
    assert_eq!((one(&reply).text.as_str(), one(&reply).refusal.as_deref()), ("Half.", Some("No more.")));
}

fn tool() -> ToolDefinition {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    ToolDefinition::new("weather", "Says how the weather is.", schema).with_strict(true)
}

/// All that a request can hold: a developer, parts, calls with results, tools and how to reason.
fn everything() -> LmRequest {
    let shown = Content::parts([
        Part::said("What is this?"),
        Image::at("https://example.org/a.png").with_detail("low").into(),
        Image::of_bytes("image/png", b"png").into(),
        Part::Audio(Audio::of_bytes("wav", b"wav")),
        Part::File(File::of_bytes("a.pdf", "application/pdf", b"pdf")),
    ]);
    LmRequest::new(vec![
        Message::new(Role::Developer, "Be brief."),
        Message::user(shown),
        Message::assistant("").with_tool_calls(vec![call("call_1")]).with_extra("reasoning_content", "Look."),
        Message::tool_result("call_1", "Sunny."),
        Message::user("And?"),
    ])
    .with_sampling(Sampling::default().with_reasoning_effort("low").with_verbosity("high"))
    .with_tools(vec![tool()])
    .with_tool_choice(ToolChoice::Tool("weather".into()))
    .with_parallel_tool_calls(false)
    .with_logprobs(2)
    .with_extra("service_tier", "flex")
}

fn written() -> Value {
    json!({
        "model": "tiny",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}},
                {"type": "input_audio", "input_audio": {"data": "d2F2", "format": "wav"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,cGRm"}},
            ]},
            {"role": "assistant", "content": null, "reasoning_content": "Look.", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
            {"role": "user", "content": "And?"},
        ],
        "reasoning_effort": "low",
        "verbosity": "high",
        "tools": [{"type": "function", "function": {
            "name": "weather", "description": "Says how the weather is.", "strict": true,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": false,
        "logprobs": true,
        "top_logprobs": 2,
        "service_tier": "flex",
    })
}

#[tokio::test]
async fn everything_that_a_request_holds_reaches_the_server() {
    let server = Server::start([Answer::text("x")]).await;
    let (client, _) = client(&server.base_url);
    client.complete(&everything(), &Attempts::any()).await.unwrap();
    assert_eq!(server.seen()[0].body, written());
}

/// What a server refuses is put another way, in this and in all further requests.
async fn refused(refusal: Answer, change: impl Fn(&mut Value)) {
    let words = format!("{refusal:?}");
    let server = Server::start([refusal, Answer::text("x")]).await;
    let (client, clock) = client(&server.base_url);
    client.complete(&everything(), &Attempts::any()).await.unwrap();
    client.complete(&everything(), &Attempts::any()).await.unwrap();
    let mut changed = written();
    change(&mut changed);
    let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [written(), changed.clone(), changed], "{words}");
    assert!(clock.waits().is_empty(), "{words}");
}

fn without(name: &'static str) -> impl Fn(&mut Value) {
    move |body| drop(body.as_object_mut().unwrap().shift_remove(name))
}

#[tokio::test]
async fn a_developer_is_the_system_where_servers_know_none() {
    let as_system = |body: &mut Value| body["messages"][0]["role"] = "system".into();
    for refusal in [
        // OpenAI's older models, and Azure.
        Answer::new(
            400,
            json!({"error": {"message": "Unsupported value: 'messages[0].role' does not support 'developer' with this model.",
            "type": "invalid_request_error", "param": "messages[0].role", "code": "unsupported_value"}}),
        ),
        // DeepSeek.
        Answer::new(
            422,
            json!({"error": {"message": "Failed to deserialize the JSON body into the target type: messages[0].role: \
            unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool` at line 1 column 60", "type": "invalid_request_error"}}),
        ),
        // Mistral.
        Answer::new(
            422,
            json!({"object": "error", "message": {"detail": [{"type": "union_tag_invalid", "loc": ["body", "messages", 0],
            "msg": "Input tag 'developer' found using 'role' does not match any of the expected tags: 'system', 'user', 'assistant', 'tool'"}]}}),
        ),
        // vLLM and llama.cpp, by the template of the model.
        Answer::new(
            400,
            json!({"object": "error", "message": "Unexpected message role.", "type": "BadRequestError", "code": 400}),
        ),
        Answer::new(
            500,
            json!({"error": {"code": 500, "message": "Unknown role: developer", "type": "server_error"}}),
        ),
    ] {
        refused(refusal, as_system).await;
    }
}

#[tokio::test]
async fn what_servers_refuse_of_tools_is_left_out() {
    refused(
        Answer::error(400, "Unsupported parameter: 'parallel_tool_calls' is not supported with this model."),
        without("parallel_tool_calls"),
    )
    .await;
    refused(
        Answer::error(404, "No endpoints found that support the provided 'tool_choice' value."),
        without("tool_choice"),
    )
    .await;
    refused(
        Answer::error(400, "deepseek-reasoner does not support this tool_choice"),
        without("tool_choice"),
    )
    .await;
    let strict = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "tools", 0, "function", "strict"], "msg": "Extra inputs are not permitted"}]});
    refused(Answer::new(422, strict), |body| {
        drop(body["tools"][0]["function"].as_object_mut().unwrap().shift_remove("strict"));
    })
    .await;
}

#[tokio::test]
async fn what_servers_refuse_of_messages_is_put_another_way() {
    refused(Answer::error(400, "Invalid value for 'content': expected a string, got null."), |body| {
        body["messages"][2]["content"] = "".into();
    })
    .await;
    refused(
        Answer::error(400, "'messages.2' : for 'role:assistant' the following must be satisfied: property 'reasoning_content' is unsupported"),
        |body| drop(body["messages"][2].as_object_mut().unwrap().shift_remove("reasoning_content")),
    )
    .await;
    let server = Server::start([
        Answer::error(400, "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."),
        Answer::text("x"),
    ])
    .await;
    let (client, _) = client(&server.base_url);
    client.complete(&everything(), &Attempts::any()).await.unwrap();
    let sent = &server.seen()[1].body["messages"];
    let id = sent[2]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.len() == 9 && id.chars().all(|it| it.is_ascii_alphanumeric()), "{id}");
    assert_eq!(sent[3]["tool_call_id"], id);
}

#[tokio::test]
async fn names_that_a_provider_refuses_are_sent_plain_and_come_back() {
    let refusal = "Invalid 'tools[0].function.name': string does not match pattern. Expected a string that matches the \
                   pattern '^[a-zA-Z0-9_-]+$'.";
    let called = json!({"choices": [{"message": {"content": null, "tool_calls": [
        {"id": "b", "type": "function", "function": {"name": "files_read", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]});
    let server = Server::start([Answer::error(400, refusal), Answer::new(200, called)]).await;
    let (client, _) = client(&server.base_url);
    let request = LmRequest::new(vec![
        Message::user("Read."),
        Message::assistant("").with_tool_calls(vec![ToolCall::new("a", "files.read", "{}")]),
        Message::tool_result("a", "x"),
    ])
    .with_tools(vec![ToolDefinition::new("files.read", "", json!({"type": "object"}))])
    .with_tool_choice(ToolChoice::Tool("files.read".into()));
    let reply = client.complete(&request, &Attempts::any()).await.unwrap();
    assert_eq!(one(&reply).tool_calls[0].name, "files.read");
    let body = &server.seen()[1].body;
    for place in
        ["/tools/0/function/name", "/tool_choice/function/name", "/messages/1/tool_calls/0/function/name"]
    {
        assert_eq!(body.pointer(place), Some(&json!("files_read")), "{place}");
    }
}

#[tokio::test]
async fn tools_that_are_refused_are_an_error_that_says_what_to_do() {
    for (status, words) in [
        (400, "registry.ollama.ai/library/gemma:2b does not support tools"),
        (400, "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"),
        (500, "tools param requires --jinja flag"),
        (404, "No endpoints found that support tool use."),
    ] {
        let server = Server::start([Answer::error(status, words)]).await;
        let (client, clock) = client(&server.base_url);
        let request = LmRequest::new(vec![Message::user("a")]).with_tools(vec![tool()]);
        let error = client.complete(&request, &Attempts::any()).await.unwrap_err();
        assert!(
            error.is_fatal()
                && error.to_string().contains("this model takes no tools as it is served: use one that does"),
            "{error}"
        );
        assert_eq!((server.seen().len(), clock.waits().len()), (1, 0), "it is not asked again");
    }
}

#[tokio::test]
async fn a_clients_word_on_parallel_calls_goes_with_tools_alone() {
    let server = Server::start([Answer::text("x")]).await;
    let client = ChatClient::builder()
        .base_url(&server.base_url)
        .model("tiny")
        .api_key("k")
        .parallel_tool_calls(false)
        .build()
        .unwrap();
    client.complete(&ask(), &Attempts::any()).await.unwrap();
    client.complete(&ask().with_tools(vec![tool()]), &Attempts::any()).await.unwrap();
    client
        .complete(&ask().with_tools(vec![tool()]).with_parallel_tool_calls(true), &Attempts::any())
        .await
        .unwrap();
    let said: Vec<_> =
        server.seen().iter().map(|seen| seen.body.get("parallel_tool_calls").cloned()).collect();
    assert_eq!(said, [None, Some(json!(false)), Some(json!(true))]);
}

/// A loop of a tool: what the model thought before its call goes back where the server wants it, and not otherwise.
#[tokio::test]
async fn what_a_model_thought_goes_back_with_the_results_of_its_tools() {
    let body = |thoughts: Value, calls: Value| {
        let mut message = json!({"role": "assistant", "content": ""});
        message.as_object_mut().unwrap().extend(thoughts.as_object().cloned().unwrap());
        if !calls.is_null() {
            message["tool_calls"] = calls;
        }
        json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    };
    let calls = || json!([{"id": "a", "type": "function", "function": function(ARGUMENTS)}]);
    let details = json!([{"type": "reasoning.encrypted", "data": "xx", "id": "rs_1", "index": 0}]);
    for (thoughts, back) in [
        // DeepSeek; vLLM and Ollama; OpenRouter, which has the same twice.
        (json!({"reasoning_content": "Look."}), json!({"reasoning_content": "Look."})),
        (json!({"reasoning": "Look."}), json!({"reasoning": "Look."})),
        (json!({"reasoning": "Look.", "reasoning_details": details}), json!({"reasoning_details": details})),
    ] {
        let reply = read(body(thoughts.clone(), calls())).await;
        assert_eq!(one(&reply).to_message().extra, back.as_object().cloned().unwrap().into(), "{thoughts}");
        let reply = read(body(thoughts.clone(), Value::Null)).await;
        assert!(one(&reply).to_message().extra.is_empty(), "{thoughts}");
    }
}
