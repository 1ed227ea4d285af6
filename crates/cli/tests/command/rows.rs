//! Rows that fail: what the command says of them, and with which code it ends.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use super::{TASK, answering, ends, folder, prints, promptopt};

/// A task of sixty rows on a model, with twenty of them in the sealed test.
fn on(url: &str) -> tempfile::TempDir {
    let model = format!("name = \"gpt@{url}\"\nmax_retries = 0");
    let parts = "train = 20\nselection = 20\ntest = 20\npath =";
    let folder = folder(&TASK.replace("name = \"sim\"", &model).replace("path =", parts));
    let row = |number: usize| {
        let department = ["billing", "sales"][number % 2];
        format!("{{\"ticket\": \"row {number}.\", \"department\": \"{department}\"}}\n")
    };
    std::fs::write(folder.path().join("tickets.jsonl"), (0..60).map(row).collect::<String>()).unwrap();
    folder
}

fn response(status: u16, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn answer(text: Option<&str>, finish_reason: &str) -> String {
    let message = json!({"role": "assistant", "content": text});
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
    response(200, &json!({"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}))
}

fn billing() -> String {
    answer(Some("[[ ## department ## ]]\nbilling\n\n[[ ## completed ## ]]"), "stop")
}

fn flagged(status: u16) -> String {
    let message = "Invalid prompt: your prompt was flagged";
    response(
        status,
        &json!({"error": {"message": message, "type": "invalid_request_error", "code": "invalid_prompt"}}),
    )
}

fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&prints(folder, &arguments)).unwrap()
}

#[test]
fn twenty_rows_and_no_server_are_the_providers_fault() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = on(&format!("http://127.0.0.1:{port}/v1"));
    for command in ["eval", "optimize"] {
        ends(folder.path(), &[command, "task.toml"], 3, &["no connection to the model"]);
    }
}

#[test]
fn rows_that_failed_come_with_the_first_reasons() {
    let url = answering(|_| answer(Some("no department at all"), "stop"));
    let folder = on(&url);
    let said = prints(folder.path(), &["eval", "task.toml"]);
    assert!(
        said.contains("20 failed\n  20 failed: ") && said.contains("does not fit its signature"),
        "{said}"
    );
    let object = json_of(folder.path(), &["eval", "task.toml"]);
    assert_eq!(object["test"]["failed"], 20);
    assert!(object["errors"][0]["message"].as_str().unwrap().contains("does not fit"), "{object}");
}

#[test]
fn refused_rows_are_left_out_and_named_wherever_the_run_is_summed_up() {
    for status in [400, 403, 413, 422, 451] {
        // Two rows of sixty, wherever they stand.
        let url = answering(move |request| {
            if request.contains("row 7.") || request.contains("row 31.") {
                flagged(status)
            } else {
                billing()
            }
        });
        let folder = on(&url);
        let arguments = ["optimize", "task.toml", "--optimizer", "random_search", "--max-calls", "300"];
        let object = json_of(folder.path(), &arguments);
        let on_test = object["errors"].as_array().unwrap().len() as u64;
        let left_out = object["rows_left_out"].as_u64().unwrap();
        assert!(left_out + on_test >= 1, "{status}: {object}");
        let said = object["reasons"].to_string() + &object["errors"].to_string();
        assert!(said.contains("your prompt was flagged"), "{status}: {said}");
        let page = std::fs::read_to_string(folder.path().join("route.optimized.html")).unwrap();
        assert!(page.contains("your prompt was flagged"), "{status}");
        let output = promptopt(folder.path(), &["resume", "route.run"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{status}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("your prompt was flagged"), "{status}: {said}");
    }
}

#[test]
fn where_all_rows_are_refused_the_command_ends_with_the_words() {
    for status in [400, 403, 404, 422] {
        let folder = on(&answering(move |_| flagged(status)));
        for command in ["eval", "optimize"] {
            ends(folder.path(), &[command, "task.toml"], 3, &["your prompt was flagged"]);
        }
    }
}

#[test]
fn a_metric_that_fails_on_every_row_is_a_mistake_of_configuration() {
    let metric = "[metric]\nkind = \"command\"\ncommand = [\"false\"]\n[data]";
    let folder = folder(&TASK.replace("[data]", metric));
    for command in ["eval", "optimize"] {
        ends(folder.path(), &[command, "task.toml"], 2, &["the metric failed"]);
    }
}
