//! Keys and passwords: where they must not show.

use promptopt_core::lm::{Attempts, LanguageModel};
use promptopt_lm::ChatClient;
use serde_json::json;

use crate::support::{Answer, CANARY, Server, ask};

/// Everything that a client says about a request that the server answers so.
async fn said(client: &ChatClient) -> String {
    let error = client.complete(&ask(), &Attempts::any()).await.unwrap_err();
    format!("{error} {error:?} {client:?} {}", client.profile().id)
}

#[tokio::test]
async fn no_echo_brings_a_secret_back() {
    let bodies = [
        (400, json!({"error": {"message": format!("you sent {CANARY}")}}).to_string()),
        (400, json!({"error": CANARY}).to_string()),
        (400, format!("<html><title>{CANARY}</title>")),
        (400, "team-canary-77 query-canary-1".to_owned()),
        (500, format!("raw {CANARY} text")),
        (200, format!("{{\"no\": \"{CANARY}\"")),
        (200, json!({"choices": [{"message": {"refusal": CANARY}}]}).to_string()),
        (307, CANARY.to_owned()),
    ];
    for (status, body) in bodies {
        let answer = Answer::new(status, &body).header("content-type", CANARY).header("location", CANARY);
        let server = Server::start([answer]).await;
        let client = ChatClient::builder()
            .base_url(format!("{}?token=query-canary-1", server.base_url))
            .model("tiny")
            .api_key(CANARY)
            .secret_header("x-team", "team-canary-77")
            .header("x-api-key", format!("Token {CANARY}"))
            .extra("user", CANARY)
            .max_retries(0)
            .build()
            .unwrap();
        let said = said(&client).await;
        assert!(!said.contains("canary"), "{status} {body}: {said}");
    }
}

#[tokio::test]
async fn a_login_in_the_base_url_is_sent_and_never_shown() {
    let encoded = "YW5uOnNrLWNhbmFyeS1wYXNz";
    let echo = format!("sk-canary-pass, Basic {encoded}");
    let server = Server::start([Answer::error(401, &echo)]).await;
    let client = ChatClient::builder()
        .base_url(server.base_url.replace("http://", "http://ann:sk-canary-pass@"))
        .model("tiny")
        .build()
        .unwrap();
    let said = said(&client).await;
    assert!(!said.contains("canary") && !said.contains(encoded), "{said}");
    assert!(said.contains("check the user name and password in the base URL"), "{said}");
    assert_eq!(server.seen()[0].headers["authorization"], format!("Basic {encoded}"));
}

#[tokio::test]
async fn a_key_from_a_file_is_sent_without_its_line_break_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{CANARY}\n")).unwrap();
    let server = Server::start([Answer::error(401, CANARY)]).await;
    let build = |variable: Option<&str>| {
        let builder = ChatClient::builder().base_url(&server.base_url).model("tiny").api_key_file(&file);
        builder.maybe_api_key_env(variable).build().unwrap()
    };
    for client in [build(None), build(Some("CARGO_PKG_NAME"))] {
        let said = said(&client).await;
        assert!(!said.contains("canary"), "{said}");
        assert!(said.contains(&format!("check the key in the file `{}`", file.display())), "{said}");
        assert_eq!(client.redact(&format!("panicked at {CANARY}")), "panicked at [redacted]");
    }
    for seen in server.seen() {
        assert_eq!(seen.headers["authorization"], format!("Bearer {CANARY}"));
    }
}

#[tokio::test]
async fn whatever_looks_like_a_secret_is_masked_by_its_name_or_its_look() {
    let names = ["X-Auth", "X-API-Key-V2", "X-Session", "Cookie", "x-access-token"];
    let other = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let value = |n: usize| format!("canary-{n}-of-header");
    let echo: Vec<String> = (0..names.len()).map(value).collect();
    let body = format!("{} extra-canary nested-canary {other}", echo.join(" "));
    let server = Server::start([Answer::new(400, &body)]).await;
    let mut builder = ChatClient::builder().base_url(&server.base_url).model("tiny").max_retries(0);
    for (n, name) in names.into_iter().enumerate() {
        builder = builder.header(name, value(n));
    }
    let client = builder
        .extra("api_key", "extra-canary")
        .extra("proxy", json!({"auth": {"user": "nested-canary"}}))
        .build()
        .unwrap();
    let said = said(&client).await;
    assert!(!said.contains("canary") && !said.contains(other), "{said}");
    assert_eq!(server.seen()[0].headers["x-auth"], "canary-0-of-header");
    // The name alone says nothing of who the request is from: the usual key is still looked for.
    assert!(said.contains("400"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_key_is_read_from_a_regular_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, what) in [(pipe.as_path(), "a pipe"), (std::path::Path::new("/dev/zero"), "a device")] {
        let built = ChatClient::builder().model("tiny").api_key_file(path).build();
        let error = built.err().unwrap();
        let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(said.contains(what) && said.contains(&path.display().to_string()), "{said}");
    }
}
