//! From a name to a client, and the only model of a server.

use promptopt_core::lm::Attempts;
use promptopt_lm::{ConfigError, ModelSettings, Provider, by_name, only_model};
use serde_json::json;

use crate::support::{Answer, CANARY, Server, ask};

fn settings() -> ModelSettings {
    ModelSettings::builder().api_key(CANARY).build()
}

async fn id(name: &str, settings: &ModelSettings) -> String {
    by_name(name, settings).await.unwrap().profile().id
}

async fn error(name: &str, settings: &ModelSettings) -> String {
    let error = by_name(name, settings).await.err().unwrap();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("canary"), "{text}");
    text
}

#[tokio::test]
async fn a_name_finds_the_client_and_the_server() {
    let settings = settings();
    assert_eq!(id("gpt-5-mini", &settings).await, "api.openai.com/v1 gpt-5-mini");
    assert_eq!(id("openai/gpt-5-mini", &settings).await, "api.openai.com/v1 gpt-5-mini");
    assert_eq!(id("deepseek/deepseek-chat", &settings).await, "api.deepseek.com/v1 deepseek-chat");
    assert_eq!(
        id("openrouter/anthropic/claude-3", &settings).await,
        "openrouter.ai/api/v1 anthropic/claude-3"
    );
    assert_eq!(
        id("Qwen/Qwen2.5-7B@http://localhost:1/v1", &settings).await,
        "localhost:1/v1 Qwen/Qwen2.5-7B"
    );
    let at = ModelSettings::builder().api_key(CANARY).base_url("http://localhost:2/v1").build();
    assert_eq!(id("anthropic/claude-3", &at).await, "localhost:2/v1 anthropic/claude-3");
    assert_eq!(id("m@http://localhost:1/v1", &at).await, "localhost:1/v1 m");
}

#[tokio::test]
async fn a_name_that_leads_nowhere_says_the_way() {
    assert!(error("google/gemini-2.5-pro", &settings()).await.contains("did you mean `gemini/…`"));
    assert!(error("local/small", &settings()).await.contains("embedded"));
    let elsewhere = ModelSettings::builder().provider_url("http://localhost:1").build();
    assert!(error("gpt-5-mini", &elsewhere).await.contains("`base_url`"));
    let keyless = ModelSettings::default();
    if std::env::var_os("ZAI_API_KEY").is_none() {
        assert!(error("zai/glm", &keyless).await.contains("ZAI_API_KEY"));
        let proxied = ModelSettings::builder().provider_url("http://localhost:1/v1").build();
        assert!(
            error("zai/glm", &proxied).await.contains("ZAI_API_KEY"),
            "another provider's key is not sent"
        );
    }
}

#[cfg(not(feature = "providers"))]
#[tokio::test]
async fn without_the_feature_its_name_is_said() {
    for provider in Provider::all().filter(|provider| !provider.speaks_openai()) {
        let error = by_name(&format!("{}/m", provider.prefix()), &settings()).await.err().unwrap();
        assert!(matches!(error, ConfigError::Feature { feature: "providers", .. }), "{error}");
        assert!(error.to_string().contains("--features providers"), "{error}");
    }
}

#[tokio::test]
async fn the_only_model_of_a_server_needs_no_name() {
    let list = json!({"object": "list", "data": [{"id": "org/tiny", "object": "model"}]});
    let server = Server::start([Answer::new(200, list), Answer::text("Paris")]).await;
    let model = by_name(&server.base_url, &settings()).await.unwrap();
    assert_eq!(model.complete(&ask(), &Attempts::any()).await.unwrap().first_text(), "Paris");
    let seen = server.seen();
    assert_eq!(seen[0].uri.path(), "/v1/models");
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {CANARY}").as_str());
    assert_eq!((seen[1].uri.path(), &seen[1].body["model"]), ("/v1/chat/completions", &json!("org/tiny")));
}

#[tokio::test]
async fn none_several_and_no_answer_are_said() {
    let check = async |answer: Answer, needle: &str| {
        let server = Server::start([answer]).await;
        let error = only_model(&server.base_url, &settings()).await.unwrap_err();
        assert!(matches!(error, ConfigError::Models { .. }));
        let text = format!("{error} {error:?}");
        assert!(text.contains(needle) && text.contains("MODEL@") && !text.contains("canary"), "{text}");
    };
    check(Answer::new(200, json!({"data": []})), "lists none").await;
    check(Answer::new(200, "no JSON"), "lists none").await;
    check(Answer::new(200, json!({"data": [{"id": "a"}, {"id": CANARY}]})), "`a`").await;
    check(Answer::new(401, json!({"error": CANARY})), "HTTP 401").await;
    let huge = format!("{{\"data\": [{}{{\"id\": \"b\"}}]}}", "{\"id\": \"a\"},".repeat(100_000));
    check(Answer::new(200, huge), "longer than 1048576 bytes").await;
    let gone = only_model("http://127.0.0.1:9/v1", &settings()).await.unwrap_err();
    assert!(matches!(gone, ConfigError::Models { .. }), "{gone}");
}

#[test]
fn the_providers_are_there_by_prefix() {
    let prefixes: Vec<_> = Provider::all().map(Provider::prefix).collect();
    assert!(prefixes.is_sorted() && prefixes.contains(&"anthropic"));
    let addresses = Provider::all().map(Provider::base_url);
    assert!(addresses.filter(|url| !url.starts_with("https://")).eq(["http://localhost:11434"]));
}
