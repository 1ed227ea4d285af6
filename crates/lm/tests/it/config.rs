//! Settings that can not work are refused before anything is sent.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use promptopt_core::lm::{LanguageModel, Sampling};
use promptopt_lm::{ChatClient, Concurrency, ConfigError, RateControl};

use crate::support::{CANARY, config_error};

fn check(error: ConfigError, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert!(!format!("{message} {error:?}").contains("canary"), "{message}");
}

#[test]
fn a_base_url_that_is_none() {
    let error = config_error(ChatClient::builder().model("m").base_url("localhost:8000/v1").build());
    check(error, &["`localhost:8000/v1`", "does not start with `http://`"]);
    let error =
        config_error(ChatClient::builder().model("m").base_url(format!("http://a:{CANARY}@:1:2")).build());
    check(error, &["is not a URL"]);
}

#[test]
fn a_variable_without_a_key() {
    let error = config_error(ChatClient::builder().model("m").api_key_env("PROMPTOPT_TEST_UNSET").build());
    check(error, &["`PROMPTOPT_TEST_UNSET`", "is not set"]);
}

#[test]
fn a_file_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let build = |path: PathBuf| ChatClient::builder().model("m").api_key_file(path).build();
    let error = config_error(build(folder.path().join("none")));
    assert!(matches!(&error, ConfigError::KeyFile { source, .. } if source.kind() == ErrorKind::NotFound));
    check(error, &["reading the API key from the file", "none"]);
    check(config_error(build(file("empty", " \n"))), &["empty` can not be used: it is empty"]);
    check(config_error(build(file("large", &CANARY.repeat(10_000)))), &["too large to hold a key"]);
    check(config_error(build(file("lines", &format!("{CANARY}\n{CANARY}")))), &["was it copied whole?"]);
}

#[test]
fn a_key_that_no_header_can_hold() {
    let error = config_error(ChatClient::builder().model("m").api_key(format!("{CANARY}\nmore")).build());
    check(error, &["from `api_key`", "was it copied whole?"]);
    assert!(ChatClient::builder().model("m").api_key(format!("{CANARY}\n")).build().is_ok());
}

#[test]
fn extra_parameters_and_headers_that_clash() {
    let error = config_error(ChatClient::builder().model("m").extra("temperature", 1).build());
    check(error, &["`temperature`", "`sampling`"]);
    let error = config_error(ChatClient::builder().model("m").header("content-type", "x").build());
    check(error, &["`content-type`"]);
    let error = config_error(ChatClient::builder().model("m").header("a b", CANARY).build());
    check(error, &["`a b`"]);
    let twice = ChatClient::builder().model("m").api_key("k").header("Authorization", CANARY).build();
    check(config_error(twice), &["`Authorization`", "only one can be sent"]);
    let twice = ChatClient::builder().model("m").api_key("k").base_url("https://a:canary@x.io").build();
    check(config_error(twice), &["https://x.io/chat/completions", "only one can be sent"]);
}

#[test]
fn values_that_make_no_sense() {
    check(config_error(ChatClient::builder().model(" ").build()), &["`model`"]);
    let zero = Duration::ZERO;
    check(config_error(ChatClient::builder().model("m").timeout(zero).build()), &["`timeout`"]);
    check(
        config_error(ChatClient::builder().model("m").connect_timeout(zero).build()),
        &["`connect_timeout`"],
    );
    check(config_error(ChatClient::builder().model("m").first_byte_timeout(zero).build()), &["first_byte"]);
    check(config_error(ChatClient::builder().model("m").max_reply_bytes(0).build()), &["`max_reply_bytes`"]);
    check(config_error(ChatClient::builder().model("m").hedge_after(zero).build()), &["`hedge_after`"]);
    check(config_error(ChatClient::builder().model("m").max_silence(zero).build()), &["`max_silence`"]);
    check(config_error(ChatClient::builder().model("m").deadline(zero).build()), &["`deadline`"]);
    let hasty = ChatClient::builder().model("m").for_serving().deadline(Duration::from_millis(800));
    assert!(hasty.build().is_ok(), "the wait for a place is within a deadline that is shorter than it");
    let serving = || ChatClient::builder().model("m").for_serving().deadline(Duration::from_secs(2));
    let too_long = serving().timeout(Duration::from_secs(3)).build();
    check(config_error(too_long), &["`timeout`", "longer than the `deadline`"]);
    let too_patient = serving().max_queue_wait(Duration::from_secs(2)).build();
    check(config_error(too_patient), &["`max_queue_wait`", "`deadline`"]);
    serving().build().unwrap();
    let billed = |most: u32| ChatClient::builder().model("m").max_attempts_billed(most);
    check(config_error(billed(0).build()), &["`max_attempts_billed`", "zero"]);
    check(config_error(billed(1).hedge_after(Duration::MAX).build()), &["`hedge_after`", "billed"]);
    let rate = |error: Result<RateControl, ConfigError>| error.unwrap_err();
    check(rate(RateControl::builder().requests_per_minute(0).build()), &["`requests_per_minute`", "zero"]);
    check(rate(RateControl::builder().tokens_per_minute(0).build()), &["`tokens_per_minute`", "zero"]);
    check(rate(RateControl::builder().concurrency(Concurrency::Fixed(0)).build()), &["`concurrency`"]);
    let sampling = Sampling::default().with_temperature(f64::NAN);
    check(config_error(ChatClient::builder().model("m").sampling(sampling).build()), &["`temperature`"]);
}

#[test]
fn a_client_knows_who_it_is() {
    let client = ChatClient::builder().model("gpt-5-mini").api_key(CANARY).build().unwrap();
    assert_eq!(client.profile().id, "api.openai.com/v1 gpt-5-mini");
    assert_eq!(client.model(), "gpt-5-mini");
    assert_eq!(client.url(), "https://api.openai.com/v1/chat/completions");
    assert!(!format!("{client:?}").contains("canary"));
}
