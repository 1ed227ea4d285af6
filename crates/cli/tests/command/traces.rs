//! Spans for a receiver of OTLP: what of them a user sees.

use super::{TASK, folder};
use std::process::{Command, Output};

fn eval(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let folder = folder(TASK);
    Command::new(env!("CARGO_BIN_EXE_promptopt"))
        .current_dir(folder.path())
        .args(["eval", "task.toml", "--test", "4", "--json"])
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// An address at which nobody listens.
fn nobody() -> String {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

#[test]
fn a_receiver_that_is_not_there_costs_one_note_and_its_headers_are_not_shown() {
    let (alone, nobody) = (eval(&[], &[]), nobody());
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=canary-4711-key");
    let by_option = eval(&[headers], &[&format!("--otlp={nobody}"), "--trace-content", "--verbose"]);
    let by_variable = eval(&[headers, ("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody)], &[]);
    for output in [&by_option, &by_variable] {
        assert!(output.status.success());
        assert_eq!(output.stdout, alone.stdout, "the result is that of a run without");
        let said = said(output);
        assert_eq!(said.matches("spans did not reach the receiver").count(), 1, "{said}");
        assert!(!said.contains("canary") && !said.contains("gen_ai"), "{said}");
    }
    let off = eval(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody), ("OTEL_SDK_DISABLED", "true")], &[]);
    assert!(!said(&off).contains("receiver"), "{}", said(&off));
    let wrong = eval(&[headers], &["--otlp=http://no host"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!(said(&wrong).contains("look at the endpoint"), "{}", said(&wrong));
}
