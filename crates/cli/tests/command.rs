//! The command as a user meets it: what it prints, writes and says when something is wrong.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lints know tests inside a crate, not files of tests"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

const TASK: &str = r#"
[program]
name = "route"
signature = "ticket -> department: enum[billing, sales]"
instruction = "Route the ticket."

[model]
name = "sim"

[data]
path = "tickets.jsonl"
"#;

/// A folder with a task of forty rows.
fn folder(task: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40)
        .map(|n| {
            let department = ["billing", "sales"][n % 2];
            format!("{{\"ticket\": \"text number {n}\", \"department\": \"{department}\"}}\n")
        })
        .collect();
    std::fs::write(folder.path().join("tickets.jsonl"), rows).unwrap();
    std::fs::write(folder.path().join("task.toml"), task).unwrap();
    folder
}

fn promptopt(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_promptopt"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("OPENAI_API_KEY")
        .env_remove("PROMPTOPT_MODEL_PATH")
        .env("PROMPTOPT_CACHE", folder.join("cache"))
        .output()
        .unwrap()
}

/// Runs a command that must fail; every part must stand in what it says.
fn refused(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let output = promptopt(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

/// A server that answers every request with the same bytes.
fn server(reply: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            // The whole request is read, so that closing the socket resets nothing.
            while let Ok(read) = stream.read(&mut buffer) {
                seen.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&seen).to_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    if read == 0 { break } else { continue }
                };
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) || read == 0 {
                    break;
                }
            }
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    format!("http://{address}/v1")
}

#[test]
fn a_task_is_optimized_and_the_program_written_can_be_evaluated() {
    let folder = folder(TASK);
    let output = promptopt(folder.path(), &["optimize", "task.toml", "--trials", "6"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    for part in
        ["--- prompt before", "--- prompt after", "sealed test (n = 8)", "selection (n = 8)", "calls ("]
    {
        assert!(out.contains(part), "`{part}` is not in: {out}");
    }
    let saved = std::fs::read_to_string(folder.path().join("route.optimized.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    assert!(saved["prompts"]["route"]["instruction"].is_string());
    assert_eq!(saved["test"]["optimized"]["n"], 8);

    let output = promptopt(folder.path(), &["eval", "task.toml", "--program", "route.optimized.json"]);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let mean = format!("{:.3}", saved["test"]["optimized"]["mean"].as_f64().unwrap());
    assert!(out.contains(&format!("sealed test (n = 8): {mean}")), "{out}");
}

#[test]
fn the_same_command_gives_the_same_program() {
    let mut programs = Vec::new();
    for concurrency in ["1", "16"] {
        let folder = folder(TASK);
        promptopt(folder.path(), &["optimize", "task.toml", "--trials", "4", "--concurrency", concurrency]);
        programs.push(std::fs::read_to_string(folder.path().join("route.optimized.json")).unwrap());
    }
    assert_eq!(programs[0], programs[1]);
}

#[test]
fn mistakes_in_the_task_file_are_named() {
    let check = |from: &str, to: &str, parts: &[&str]| {
        let folder = folder(&TASK.replace(from, to));
        refused(folder.path(), &["optimize", "task.toml"], parts);
    };
    check("signature", "signatur", &["task.toml", "line 4", "unknown field `signatur`", "`signature`"]);
    check("enum[billing, sales]", "enum[billing", &["program.signature", "closing `]`"]);
    check("ticket ->", "ticket", &["program.signature", "no `->`"]);
    check("tickets.jsonl", "ticket.jsonl", &["ticket.jsonl", "tickets.jsonl"]);
    check("[data]", "[metric]\nfield = \"team\"\n[data]", &["`metric.field` is `team`", "department"]);
    check("[data]", "[optimizer]\ntemperature = 9.0\n[data]", &["`temperature`", "from 0 to 2"]);
    check("[data]", "[program.descriptions]\nteam = \"x\"\n[data]", &["`team`", "ticket, department"]);
    check("path =", "train = 20\nselection = 20\npath =", &["sealed test has no rows", "`data.test`"]);
    check("path =", "train = 20\ntest = 20\npath =", &["selection"]);
    check("path =", "train = 39\nselection = 39\ntest = 39\npath =", &["splitting the data", "40"]);
}

#[test]
fn a_missing_task_file_is_named() {
    let folder = folder(TASK);
    refused(folder.path(), &["eval", "tusk.toml"], &["tusk.toml", "is the path right?"]);
}

#[test]
fn wrong_rows_are_named_with_file_row_and_field() {
    let check = |rows: &str, parts: &[&str]| {
        let folder = folder(TASK);
        std::fs::write(folder.path().join("tickets.jsonl"), rows).unwrap();
        refused(folder.path(), &["optimize", "task.toml"], parts);
    };
    let good = "{\"ticket\": \"a\", \"department\": \"sales\"}\n";
    check("", &["tickets.jsonl"]);
    check(&format!("{good}{{\"ticket\": \"b\"}}"), &["tickets.jsonl", "2", "`department`"]);
    check(&format!("{good}{{\"ticket\": \"b\", \"department\": \"legal\"}}"), &["2", "department", "legal"]);
    check(
        &format!("{good}{{\"ticket\": \"b\", \"department\": \"sales\", \"id\": 1}}"),
        &["2", "`id`", "drop"],
    );
    check(&format!("{good}not json"), &["tickets.jsonl", "2"]);
}

#[test]
fn a_refused_key_is_explained_and_never_shown() {
    let body =
        r#"{"error": {"message": "Incorrect API key provided: sk-canary-4711", "code": "invalid_api_key"}}"#;
    let reply = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let url = server(reply.leak());
    let folder = folder(TASK);
    let output = Command::new(env!("CARGO_BIN_EXE_promptopt"))
        .args(["optimize", "task.toml", "-v", "--lm", &format!("gpt@{url}")])
        .current_dir(folder.path())
        .env("OPENAI_API_KEY", "sk-canary-4711")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(said.contains("Incorrect API key provided") && said.contains("OPENAI_API_KEY"), "{said}");
    assert!(!said.contains("sk-canary-4711"), "{said}");
}

#[test]
fn a_server_that_is_not_there_or_talks_nonsense_is_named() {
    let on = |model: &str| {
        folder(&TASK.replace("name = \"sim\"", &format!("name = \"{model}\"\nmax_retries = 0")))
    };
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = format!("gpt@http://127.0.0.1:{port}/v1");
    refused(on(&gone).path(), &["eval", "task.toml"], &[&format!("127.0.0.1:{port}")]);

    let html = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>";
    let nonsense = format!("gpt@{}", server(html));
    refused(on(&nonsense).path(), &["eval", "task.toml"], &["could not be read"]);
}

#[test]
fn a_model_that_is_missing_or_unknown_says_what_to_do() {
    let folder = folder(TASK);
    refused(folder.path(), &["model", "path"], &["promptopt model pull smollm2-135m"]);
    refused(folder.path(), &["model", "pull", "gpt"], &["no known model `gpt`", "smollm2-135m"]);
    let output = promptopt(folder.path(), &["model", "list"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("Apache-2.0"));
}

#[test]
fn the_embedded_model_is_explained_where_it_cannot_run() {
    let folder = folder(TASK);
    std::fs::write(folder.path().join("broken.gguf"), "GGUF and then nothing").unwrap();
    // With the engine the file is refused, without it the build is.
    let expected = if cfg!(feature = "local") { "broken.gguf" } else { "built without the embedded model" };
    refused(folder.path(), &["eval", "task.toml", "--lm", "local/broken.gguf"], &[expected]);
}

#[test]
fn a_saved_program_must_be_one() {
    let folder = folder(TASK);
    refused(
        folder.path(),
        &["eval", "task.toml", "--program", "tickets.jsonl"],
        &["tickets.jsonl", "not a program as `promptopt optimize` writes it"],
    );
}

#[test]
fn weights_are_fetched_from_a_hub_and_checked() {
    let pull = |reply: &'static str| {
        let folder = folder(TASK);
        std::fs::write(folder.path().join("token"), "hf_canary\n").unwrap();
        let url = server(reply);
        let output = Command::new(env!("CARGO_BIN_EXE_promptopt"))
            .args(["model", "pull", "qwen2.5-0.5b"])
            .env("HF_ENDPOINT", url.trim_end_matches("/v1"))
            .env("HF_HOME", folder.path())
            .env_remove("HF_TOKEN")
            .env_remove("PROMPTOPT_MODEL_PATH")
            .env("PROMPTOPT_CACHE", folder.path().join("cache"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("hf_canary"), "{said}");
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success(), said, std::fs::read_to_string(path).ok())
    };
    let (good, said, file) =
        pull("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nGGUF bytes");
    assert!(good, "{said}");
    assert_eq!(file.as_deref(), Some("GGUF bytes"));
    assert!(said.contains("not pinned"), "{said}");

    let (good, said, _) = pull("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>");
    assert!(!good && said.contains("GGUF"), "{said}");
    let (good, said, _) = pull("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    assert!(!good && said.contains("404") && said.contains("PROMPTOPT_MODEL_PATH"), "{said}");
}
