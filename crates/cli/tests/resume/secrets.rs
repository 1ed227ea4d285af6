//! Secrets: in no file and in no stream, whoever repeats them.

use std::path::Path;

use crate::harness::{Behaviour, Harness, command, optimizer, said};
use crate::relay::Relay;

/// Every secret of the task below: keys of a variable and of a file, a header, a login and a token of a URL, then
/// headers and a parameter that only their names tell of.
const CANARIES: [&str; 9] = [
    "sk-canary-4711-variable",
    "fl-canary-1234-file",
    "hd-canary-0815-header",
    "pw-canary-2222-login",
    "tk-canary-3333-query",
    "xa-canary-4444-auth",
    "xk-canary-5555-key-v2",
    "xs-canary-6666-session",
    "ex-canary-7777-extra",
];

/// How the login is sent: `ann:pw-canary-2222-login`.
const LOGIN: &str = "YW5uOnB3LWNhbmFyeS0yMjIyLWxvZ2lu";

/// Where the key of a model may be.
const KEYS: [&str; 2] = ["api_key_env = \"LAB_KEY\"", "api_key_file = \"key\""];

/// A task on two models, each with secrets of its own; `key` is where that of the first is.
fn task(harness: &Harness, key: &str, program: &str, writer: &str) -> String {
    let model = format!(
        "{key}\nmax_retries = 1\nheaders = {{ x-lab-key = \"Lab hd-canary-0815-header\", X-Auth = \"xa-canary-4444-auth\", X-API-Key-V2 = \"xk-canary-5555-key-v2\", X-Session = \"xs-canary-6666-session\" }}\nextra = {{ api_key = \"ex-canary-7777-extra\" }}"
    );
    let task = harness.task(&model, &optimizer("gepa")).replace(&harness.base_url(), program);
    format!("{task}\n[prompt_model]\nname = \"writer\"\nbase_url = \"{writer}\"\nmax_retries = 0\n")
}

/// What a run and its resumption say, at their most talkative.
fn talk(folder: &Path) -> String {
    let mut spoken = String::new();
    for (arguments, level) in
        [(["optimize", "task.toml", "-v"], "debug"), (["resume", "route.run", "-v"], "trace")]
    {
        let mut command = command(folder, &arguments);
        command.args(if arguments[0] == "optimize" { &["--cache", "cache"][..] } else { &[] });
        command.env("LAB_KEY", CANARIES[0]).env("PROMPTOPT_LOG", level);
        spoken.push_str(&said(&command.output().unwrap()));
    }
    spoken
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => files.extend(self::files(&entry.path())),
            false => files.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap())),
        }
    }
    files
}

/// Runs a task, and looks for its secrets in all that is left of it. Returns the names of the files and what
/// was said.
fn check(task: &str, harness: &Harness) -> (Vec<String>, String) {
    let folder = harness.folder(task);
    std::fs::write(folder.path().join("key"), "fl-canary-1234-file\n").unwrap();
    let spoken = talk(folder.path());
    std::fs::remove_file(folder.path().join("key")).unwrap();
    std::fs::remove_file(folder.path().join("task.toml")).unwrap();
    let mut texts = files(folder.path());
    texts.push(("the streams".to_owned(), spoken.clone().into_bytes()));
    for (name, bytes) in &texts {
        let text = String::from_utf8_lossy(bytes);
        for secret in CANARIES.iter().chain([&LOGIN]) {
            let at = text.find(secret).map(|at| text[..at + secret.len()].lines().last().unwrap_or_default());
            assert_eq!(at, None, "{secret} is in {name}");
        }
    }
    (texts.into_iter().map(|(name, _)| name).collect(), spoken)
}

#[test]
fn no_file_and_no_stream_holds_a_secret_that_replies_repeat() {
    // A key that is nowhere in the task is no secret of it.
    for (fail_after, key, other) in [(None, KEYS[0], "fl-"), (Some(40), KEYS[1], "sk-")] {
        let known = CANARIES.into_iter().chain([LOGIN]).filter(|secret| !secret.starts_with(other));
        let echo = known.collect::<Vec<_>>().join(" and ");
        let harness = Harness::start(Behaviour { echo: Some(echo), fail_after, key: None });
        let url = harness.base_url();
        let writer = url.replace("//", "//ann:pw-canary-2222-login@") + "?token=" + CANARIES[4];
        let (names, spoken) = check(&task(&harness, key, &url, &writer), &harness);
        assert!(spoken.contains("[redacted]") || fail_after.is_none(), "{spoken}");
        assert!(spoken.contains("sealed test") || fail_after.is_some(), "{spoken}");
        for name in ["journal.redb", "events.jsonl", "run.json", "replies.redb"] {
            assert!(names.iter().any(|path| path.ends_with(name)), "no {name} in {names:?}");
        }
    }
}

#[test]
fn no_file_and_no_stream_holds_a_secret_that_errors_repeat() {
    let refusals = [
        (0, "401 Unauthorized"),
        (60, "401 Unauthorized"),
        (60, "403 Forbidden"),
        (60, "404 Not Found"),
        (60, "400 Bad Request"),
        (60, "500 Internal Server Error"),
        (60, "307 Temporary Redirect"),
    ];
    for ((good, refusal), key) in refusals.into_iter().zip(KEYS.into_iter().cycle()) {
        let harness = Harness::start(Behaviour::default());
        let upstream = harness.base_url().replace("http://", "").replace("/v1", "");
        let relay = Relay::start(&upstream, good, refusal);
        let task = task(
            &harness,
            key,
            &relay.url("", ""),
            &relay.url("ann:pw-canary-2222-login@", &format!("?token={}", CANARIES[4])),
        );
        let (_, spoken) = check(&task, &harness);
        assert!(spoken.contains(refusal.split(' ').next().unwrap()), "{refusal}: {spoken}");
    }
}
