//! What is refused before anything is sent, and what a client says of itself.

use promptopt_core::lm::{LanguageModel, Sampling};
use promptopt_lm::{ConfigError, ModelSettings, ProviderClient, by_name};

use super::{ANTHROPIC, GEMINI, OLLAMA};
use crate::support::CANARY;

fn refused(result: Result<ProviderClient, ConfigError>, needle: &str) {
    let error = result.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains(needle) && !text.contains("canary"), "{text}");
}

#[test]
fn what_can_not_work_is_refused() {
    let builder = |model: &str| ProviderClient::builder().model(model).api_key(CANARY);
    refused(builder("groq/llama").build(), "use `ChatClient`");
    refused(builder("claude-haiku-4-5").build(), "no provider's prefix");
    refused(builder("antropic/claude-haiku-4-5").build(), "did you mean `anthropic/…`");
    refused(builder("anthropic/claude-haiku-4-5-high").build(), "ends in `-high`");
    refused(builder("gemini/a::b").build(), "`::`");
    let seeded = Sampling::default().with_seed(1);
    refused(builder(ANTHROPIC).sampling(seeded).build(), "takes no `seed`");
    refused(builder(OLLAMA).extra("num_ctx", 9).build(), "MODEL@http://localhost:11434/v1");
    refused(builder(ANTHROPIC).extra("system", "x").build(), "`system`");
    refused(builder(GEMINI).extra("temperature", 1).build(), "`sampling`");
    refused(builder(GEMINI).base_url("https://ann:canary@x.io").build(), "login");
    refused(builder(GEMINI).base_url("https://x.io?key=canary").build(), "query");
    refused(builder(GEMINI).base_url("x.io").build(), "does not start with");
    refused(builder(GEMINI).timeout(std::time::Duration::ZERO).build(), "`timeout`");
    refused(ProviderClient::builder().model(GEMINI).api_key("a\nb").build(), "copied whole");
    let named = ProviderClient::builder().model(GEMINI).api_key_env("PROMPTOPT_TEST_UNSET");
    refused(named.build(), "PROMPTOPT_TEST_UNSET");
}

#[test]
fn a_client_is_known_by_provider_model_and_settings_and_has_a_price_at_home() {
    let sampling = Sampling::default().with_temperature(0.0);
    let builder = || ProviderClient::builder().model(ANTHROPIC).api_key(CANARY).sampling(sampling.clone());
    let client = builder().build().unwrap();
    assert_eq!(client.profile().id, "anthropic claude-haiku-4-5 temperature=0.0 max_tokens=4096");
    assert_eq!(client.url(), "https://api.anthropic.com/v1");
    assert!(client.profile().price.is_some());
    assert_eq!(client.redact(CANARY), "[redacted]");

    let proxied = builder().base_url("http://localhost:1/v1/").build().unwrap();
    assert_eq!(
        proxied.profile().id,
        "anthropic@localhost:1/v1 claude-haiku-4-5 temperature=0.0 max_tokens=4096"
    );
    assert_eq!(proxied.profile().price, None);
}

#[test]
fn the_key_may_be_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "\n").unwrap();
    let builder = || ProviderClient::builder().model(GEMINI).api_key_file(file.path());
    refused(builder().build(), "it is empty");
    std::fs::write(file.path(), format!("{CANARY}\n")).unwrap();
    assert_eq!(builder().build().unwrap().redact(CANARY), "[redacted]");
}

#[tokio::test]
async fn a_name_finds_the_client_of_a_provider() {
    let settings = ModelSettings::builder().api_key(CANARY).provider_url("http://localhost:1/v1").build();
    let model = by_name(GEMINI, &settings).await.unwrap();
    assert_eq!(model.profile().id, "gemini@localhost:1/v1 gemini-2.5-flash");
    let mut hedged = settings;
    hedged.hedge_after = Some(std::time::Duration::from_secs(1));
    assert!(by_name(GEMINI, &hedged).await.err().unwrap().to_string().contains("hedge"));
}
