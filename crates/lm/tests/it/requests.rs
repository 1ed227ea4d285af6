//! What goes over the wire, and what comes back when all is well.

use promptopt_core::lm::{
    Attempts, FinishReason, LanguageModel, LmRequest, Message, ResponseFormat, Sampling,
};
use promptopt_core::money::Usage;
use promptopt_lm::{ChatClient, MaxTokensField};
use serde_json::{Map, json};

use crate::support::{Answer, Server, ask, client};

#[tokio::test]
async fn a_plain_request_sends_nothing_that_was_not_asked_for() {
    let server = Server::start([Answer::text("Paris")]).await;
    let (client, clock) = client(&server.base_url);
    let reply = client.complete(&ask(), &Attempts::any()).await.unwrap();
    assert_eq!(reply.first_text(), "Paris");
    assert_eq!(reply.completions[0].finish_reason, FinishReason::Stop);
    assert_eq!(reply.usage, Usage::call(11, 5));
    assert!(clock.waits().is_empty());

    let [seen] = server.seen().try_into().unwrap();
    assert_eq!(seen.uri, "/v1/chat/completions");
    assert_eq!(seen.headers["authorization"], format!("Bearer {}", crate::support::CANARY));
    assert_eq!(seen.headers["content-type"], "application/json");
    assert!(seen.headers["user-agent"].to_str().unwrap().starts_with("promptopt/"));
    let messages = json!([{"role": "user", "content": "What is the capital of France?"}]);
    assert_eq!(seen.body, json!({"model": "tiny", "messages": messages}));
}

#[tokio::test]
async fn every_setting_reaches_the_server() {
    let server = Server::start([Answer::text("{}")]).await;
    let client = ChatClient::builder()
        .base_url(format!("{}/?api-version=3", server.base_url))
        .model("tiny")
        .api_key("k")
        .sampling(Sampling::default().with_temperature(0.7).with_max_tokens(50).with_stop(vec!["END".into()]))
        .max_tokens_field(MaxTokensField::MaxCompletionTokens)
        .user_agent("tester/1")
        .header("x-title", "a test")
        .secret_header("x-team", "blue")
        .extra("top_k", 40)
        .extra_body(Map::from_iter([("reasoning".to_owned(), json!({"effort": "low"}))]))
        .build()
        .unwrap();
    let request = LmRequest::new(vec![Message::system("s"), Message::user("u"), Message::assistant("a")])
        .with_sampling(Sampling::default().with_temperature(0.0).with_seed(3))
        .with_response_format(ResponseFormat::JsonSchema {
            name: "answer".into(),
            schema: json!({"type": "object"}),
        })
        .with_n(4)
        .with_sample_index(9);
    client.complete(&request, &Attempts::any()).await.unwrap();

    let [seen] = server.seen().try_into().unwrap();
    assert_eq!(seen.uri, "/v1/chat/completions?api-version=3");
    assert_eq!(seen.headers["user-agent"], "tester/1");
    assert_eq!(
        (&seen.headers["x-title"], &seen.headers["x-team"]),
        (&"a test".parse().unwrap(), &"blue".parse().unwrap())
    );
    let expected = json!({
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "a"},
        ],
        "temperature": 0.0,
        "max_completion_tokens": 50,
        "stop": ["END"],
        "seed": 3,
        "n": 4,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": true},
        },
        "top_k": 40,
        "reasoning": {"effort": "low"},
    });
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn max_tokens_goes_by_its_usual_name() {
    let server = Server::start([Answer::text("x")]).await;
    let (client, _) = client(&server.base_url);
    let mut request = ask();
    request.sampling.max_tokens = Some(12);
    client.complete(&request, &Attempts::any()).await.unwrap();
    assert_eq!(server.seen()[0].body["max_tokens"], json!(12));
}

#[tokio::test]
async fn several_completions_come_in_order_and_fewer_than_asked_are_returned_as_they_came() {
    let two = json!({
        "choices": [
            {"index": 1, "message": {"content": "b"}, "finish_reason": "length"},
            {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    });
    let server = Server::start([Answer::new(200, two), Answer::text("one")]).await;
    let (client, _) = client(&server.base_url);
    let request = ask().with_n(2);
    let reply = client.complete(&request, &Attempts::any()).await.unwrap();
    let texts: Vec<_> = reply.completions.iter().map(|completion| completion.text.as_str()).collect();
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(reply.completions[1].finish_reason, FinishReason::Length);
    assert_eq!(client.complete(&request, &Attempts::any()).await.unwrap().completions.len(), 1);
}

#[tokio::test]
async fn one_client_serves_many_requests_at_once() {
    let server = Server::start([Answer::text("x")]).await;
    let (client, _) = client(&server.base_url);
    let (request, any) = (ask(), Attempts::any());
    let (a, b, c) = tokio::join!(
        client.complete(&request, &any),
        client.complete(&request, &any),
        client.complete(&request, &any)
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_reply_in_json_is_read_whatever_its_content_type_says() {
    let server = Server::start([Answer::text("x").header("content-type", "text/plain")]).await;
    let (client, _) = client(&server.base_url);
    assert_eq!(client.complete(&ask(), &Attempts::any()).await.unwrap().first_text(), "x");
}

#[tokio::test]
async fn a_user_agent_among_the_headers_takes_the_place_of_our_own() {
    let server = Server::start([Answer::text("{}")]).await;
    let client = ChatClient::builder().base_url(server.base_url.clone()).model("tiny").api_key("k");
    let client = client.header("User-Agent", "tester/2").build().unwrap();
    client.complete(&LmRequest::new(vec![Message::user("u")]), &Attempts::any()).await.unwrap();
    let [seen] = server.seen().try_into().unwrap();
    assert_eq!(seen.headers.get_all("user-agent").iter().collect::<Vec<_>>(), ["tester/2"]);
}
