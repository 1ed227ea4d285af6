//! The command as a user meets it: what it prints, writes and says when something is wrong.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lints know tests inside a crate, not files of tests"
)]

#[cfg(feature = "gateway")]
#[path = "command/apps.rs"]
mod apps;
#[path = "command/costs.rs"]
mod costs;
#[path = "command/data.rs"]
mod data;
#[cfg(feature = "gateway")]
#[path = "command/discover.rs"]
mod discover;
#[path = "command/doors.rs"]
mod doors;
#[path = "command/exchange.rs"]
mod exchange;
#[path = "command/hostile.rs"]
mod hostile;
#[path = "command/mistakes.rs"]
mod mistakes;
#[path = "command/names.rs"]
mod names;
#[path = "command/probe.rs"]
mod probe;
#[path = "command/rows.rs"]
mod rows;
#[path = "command/settings.rs"]
mod settings;
#[path = "command/stops.rs"]
mod stops;
#[path = "command/summary.rs"]
mod summary;
#[path = "command/terminal.rs"]
mod terminal;
#[cfg(feature = "otlp")]
#[path = "command/traces.rs"]
mod traces;

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

/// The same with the code that the command must end with.
fn ends(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) {
    refused(folder, arguments, parts);
    let output = promptopt(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a command that must succeed, and returns what it prints.
fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = promptopt(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server that answers every request with the same bytes.
fn server(reply: &'static str) -> String {
    answering(move |_| reply.to_owned())
}

/// A server that answers each request by what it holds, in lower case.
fn answering(reply: impl Fn(&str) -> String + Send + 'static) -> String {
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
            let _ = stream.write_all(reply(&String::from_utf8_lossy(&seen).to_lowercase()).as_bytes());
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
    check("[data]\npath = \"tickets.jsonl\"", "", &["no section `[data]`"]);
    check("[data]", "[optimizer]\nmax_calls = \"5\"\n[data]", &["line 11", "expected a whole number"]);
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
    ends(on(&gone).path(), &["eval", "task.toml"], 3, &[&format!("127.0.0.1:{port}")]);
    ends(on(&gone).path(), &["optimize", "task.toml"], 3, &[&format!("127.0.0.1:{port}")]);

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

#[test]
fn every_optimizer_runs_by_the_file_or_by_the_flag() {
    for (kind, name) in [("miprov2", "MIPROv2"), ("copro", "COPRO"), ("gepa", "GEPA")] {
        let short = folder(&format!("optimizer = \"{kind}\"\n{TASK}"));
        assert!(prints(short.path(), &["optimize", "task.toml"]).contains(&format!("{name} on route")));
        let table =
            folder(&format!("{TASK}\n[optimizer]\nkind = \"{kind}\"\nseed = 3\nproposer = \"template\""));
        assert!(prints(table.path(), &["optimize", "task.toml"]).contains(&format!("{name} on route")));
        let flag = folder(TASK);
        let said = prints(flag.path(), &["optimize", "task.toml", "--optimizer", kind]);
        assert!(said.contains(&format!("{name} on route")), "{said}");
        let page = std::fs::read_to_string(flag.path().join("route.optimized.html")).unwrap();
        assert!(page.contains(name) && page.contains("Content-Security-Policy"));
    }
}

#[test]
fn options_reach_their_optimizer() {
    let run = |options: &str| {
        let folder = folder(&format!("{TASK}\n[optimizer]\n{options}"));
        let said = prints(folder.path(), &["optimize", "task.toml", "--json", "--no-report"]);
        assert!(!folder.path().join("route.optimized.html").exists());
        let saved = std::fs::read_to_string(folder.path().join("route.optimized.json")).unwrap();
        (
            serde_json::from_str::<serde_json::Value>(&said).unwrap(),
            serde_json::from_str::<serde_json::Value>(&saved).unwrap(),
        )
    };
    let (_, saved) = run("kind = \"copro\"\nbreadth = 3\ndepth = 2\nracing = false");
    assert_eq!(saved["outcome"]["details"]["depths"].as_array().unwrap().len(), 2);
    let (said, _) =
        run("kind = \"gepa\"\nmax_metric_calls = 30\ncandidate_selector = \"top_k_pareto\"\nk = 2");
    assert!(said["spending"]["task"]["calls"].as_u64().unwrap() <= 60, "{said}");
    for kind in ["miprov2", "copro", "gepa"] {
        let (said, _) = run(&format!("kind = \"{kind}\"\ntarget_score = 0.1"));
        assert_eq!(said["stop"], "target_reached", "{kind}");
        let (said, _) = run(&format!("kind = \"{kind}\"\nstop_file = \"tickets.jsonl\""));
        assert_eq!(said["stop"], "stop_file", "{kind}");
        let (said, saved) =
            run(&format!("kind = \"{kind}\"\nmax_metric_calls = 20\nproposer = \"template\""));
        let made = said["spending"]["task"]["calls"].as_u64().unwrap();
        assert!(made <= 40, "{kind}: {made} calls, of which a rollout makes two at most");
        assert_eq!(said["spending"]["prompt"]["calls"], 0, "{kind}");
        let recorded = &saved["configuration"]["optimizer"];
        assert_eq!((&recorded["kind"], &recorded["max_metric_calls"]), (&kind.into(), &20.into()));
    }
}

#[test]
fn optimizers_run_one_after_the_other() {
    let folder = folder(&format!(
        "{TASK}\n[optimizer]\nchain = [\"copro\", \"miprov2\"]\nbreadth = 3\ndepth = 1\nnum_trials = 4\nmax_calls = 300"
    ));
    let estimate = prints(folder.path(), &["estimate", "task.toml"]);
    assert!(estimate.contains("route with copro then miprov2"), "{estimate}");
    let said = prints(folder.path(), &["optimize", "task.toml", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["optimizer"], "COPRO then MIPROv2");
    let calls = ["task", "prompt"].map(|role| said["spending"][role]["calls"].as_u64().unwrap());
    assert!(calls.iter().sum::<u64>() <= 300, "{said}");
    let saved = std::fs::read_to_string(folder.path().join("route.optimized.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved["configuration"]["optimizer"]["chain"], serde_json::json!(["copro", "miprov2"]));
    assert!(saved["outcome"]["details"]["depths"].is_array());
    // One of them alone takes its own options along.
    let output = promptopt(folder.path(), &["optimize", "task.toml", "--optimizer", "copro"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("copro has no option num_trials,"), "{said}");
}

#[test]
fn an_option_that_belongs_to_another_optimizer_is_an_error_with_its_owner() {
    let check = |options: &str, arguments: &[&str], parts: &[&str]| {
        let folder = folder(&format!("{TASK}\n[optimizer]\n{options}"));
        ends(folder.path(), &[&["optimize", "task.toml"], arguments].concat(), 2, parts);
    };
    check("kind = \"gepa\"\nbreadth = 3", &[], &["`optimizer.breadth` is an option of `copro`", "is `gepa`"]);
    check("bredth = 3", &[], &["line 14", "did you mean `breadth`?"]);
    check("kind = \"gepo\"", &[], &["unknown variant `gepo`", "did you mean `gepa`?"]);
    check("kind = \"copro\"", &["--trials", "3"], &["--trials is an option of `miprov2`"]);
    check("kind = \"copro\"\nbreadth = 1", &[], &["`breadth`", "2"]);
    check("kind = \"gepa\"\nk = 3", &[], &["`k`", "candidate_selector = \"top_k_pareto\""]);
    check("kind = \"gepa\"\nepsilon = 0.3", &[], &["`epsilon`", "candidate_selector = \"epsilon_greedy\""]);
    check("max_time = \"soon\"", &[], &["line 14", "15m"]);
    check("seed = 1", &["--max-cost", "much"], &["--max-cost cannot be \"much\"", "dollars"]);
    check("chain = [\"copro\", \"gepa\"]\nnum_trials = 3", &[], &["`miprov2`", "are `copro` and `gepa`"]);
    check("kind = \"gepa\"\ncomponents = [\"rout\"]", &[], &["no component `rout`"]);
    // On the command line what does not fit is left out, so that one word changes the optimizer.
    let folder = folder(&format!("{TASK}\n[optimizer]\nnum_trials = 3"));
    let output = promptopt(folder.path(), &["optimize", "task.toml", "--optimizer", "copro"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("copro has no option num_trials"), "{said}");
}

#[test]
fn optimizers_are_compared_side_by_side() {
    let folder = folder(TASK);
    let arguments = [
        "compare",
        "task.toml",
        "--optimizers",
        "gepa,copro",
        "--max-calls",
        "200",
        "--seeds",
        "2",
        "--out",
        "figures.json",
    ];
    let table = prints(folder.path(), &arguments);
    for part in ["GEPA", "COPRO", "2 seeds", "Pareto frontier", "use this when", "sealed test score"] {
        assert!(table.contains(part), "`{part}` is not in: {table}");
    }
    assert!(!table.contains("MIPROv2"));
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    let figures = std::fs::read_to_string(folder.path().join("figures.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    let rows = figures["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["seed"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 0, 1]);
    for row in rows {
        let calls = |role: &str| row["spending"][role]["calls"].as_u64().unwrap();
        assert!(calls("task") + calls("prompt") <= 200, "{row}");
        assert_eq!(row["test"]["n"], 8);
    }
    let json = prints(folder.path(), &["compare", "task.toml", "--optimizers", "copro", "--json", "-q"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["rows"][0]["optimizer"], "COPRO");
}

#[test]
fn scripts_are_told_by_code_how_it_ended() {
    let folder = folder(TASK);
    let at = folder.path();
    ends(at, &["optimize", "task.toml", "--max-calls", "3"], 4, &["budget is too small"]);
    ends(at, &["eval", "task.toml", "--fail-under", "1.5"], 5, &["below --fail-under 1.5"]);
    ends(at, &["optimize", "task.toml", "--fail-under", "1.5"], 5, &["below --fail-under 1.5"]);
    ends(at, &["optimise", "task.toml"], 2, &["optimise"]);
    ends(at, &["optimize", "task.toml", "--concurrency", "0"], 2, &["at least 1"]);
    prints(at, &["eval", "task.toml", "--fail-under", "0"]);
    let refusing = server("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    ends(at, &["optimize", "task.toml", "--lm", &format!("gpt@{refusing}")], 3, &["401"]);
    ends(at, &["eval", "task.toml", "--lm", &format!("gpt@{refusing}")], 3, &["401"]);
    assert!(prints(at, &["optimize", "--help"]).contains("130  interrupted"));

    let said = promptopt(at, &["eval", "missing.toml", "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(object["exit_code"], 2);
    assert!(object["error"].as_str().unwrap().contains("missing.toml"));
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_keeps_what_it_learnt() {
    let folder = folder(TASK);
    // A model that answers, but takes its time.
    let body = r#"{"choices": [{"message": {"role": "assistant", "content": "[[ ## department ## ]]\nsales\n\n[[ ## completed ## ]]"}}]}"#;
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let url = server(reply.leak());
    let mut child = Command::new(env!("CARGO_BIN_EXE_promptopt"))
        .args(["optimize", "task.toml", "--lm", &format!("gpt@{url}"), "--concurrency", "1"])
        .current_dir(folder.path())
        .env_remove("OPENAI_API_KEY")
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Once the original is evaluated there is something to keep.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    lines.find(|line| line.as_ref().unwrap().contains("candidate  0  baseline")).unwrap().unwrap();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let rest: String = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("the best so far is written to route.optimized.json"), "{rest}");
    assert!(folder.path().join("route.optimized.json").exists());
}

#[test]
fn a_chain_of_predictors_is_optimized() {
    let chain = TASK.replace(
        "signature = \"ticket -> department: enum[billing, sales]\"\ninstruction = \"Route the ticket.\"",
        "[[program.predictors]]\nname = \"sum_up\"\nsignature = \"ticket -> summary\"\n[[program.predictors]]\n\
         name = \"decide\"\ninputs = [\"ticket\"]\noutputs = [{ name = \"department\", values = [\"billing\", \"sales\"] }]",
    );
    let good = folder(&chain);
    prints(good.path(), &["optimize", "task.toml", "--optimizer", "copro", "--max-calls", "300"]);
    let saved = std::fs::read_to_string(good.path().join("route.optimized.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    assert!(
        saved["prompts"]["sum_up"]["instruction"].is_string()
            && saved["prompts"]["decide"]["instruction"].is_string()
    );
    let shown = prints(good.path(), &["show", "task.toml", "--program", "route.optimized.json"]);
    assert!(shown.contains("=== predictor `sum_up`") && shown.contains("=== predictor `decide`"), "{shown}");

    let check = |from: &str, to: &str, parts: &[&str]| {
        let folder = folder(&chain.replace(from, to));
        ends(folder.path(), &["optimize", "task.toml"], 2, parts);
    };
    check("name = \"decide\"", "name = \"sum_up\"", &["two predictors are called `sum_up`"]);
    check("ticket -> summary", "department -> summary", &["put `decide` before it"]);
    check("[program]", "[program]\nsignature = \"text -> department\"", &["takes `ticket`"]);
    check("ticket -> summary", "ticket -> summry: text", &["the predictor `sum_up`", "unknown type `text`"]);
    // An input that nobody makes is looked for in the data.
    check("inputs = [\"ticket\"]", "inputs = [\"ticket\", \"sumary\"]", &["`sumary`", "row 1"]);
}

#[test]
fn a_python_script_is_a_metric() {
    let task =
        format!("{TASK}\n[metric]\nkind = \"command\"\ncommand = [\"python3\", \"-u\", \"judge.py\"]\n");
    let folder = folder(&task);
    let script = "import json, sys\nfor line in sys.stdin:\n    q = json.loads(line)\n    right = q['example']['department'] == q['prediction']['department']\n    print(json.dumps({'id': q['id'], 'score': float(right), 'feedback': 'said ' + q['prediction']['department']}))\n";
    std::fs::write(folder.path().join("judge.py"), script).unwrap();
    let optimized = prints(folder.path(), &["optimize", "task.toml", "--optimizer", "gepa"]);
    assert!(optimized.contains("sealed test (n = 8)"), "{optimized}");
    std::fs::write(folder.path().join("judge.py"), "raise SystemExit('no rubric here')").unwrap();
    refused(folder.path(), &["eval", "task.toml"], &["judge.py", "process ended", "no rubric here"]);
}

#[test]
fn mistakes_in_metrics_are_named() {
    let check = |metric: &str, parts: &[&str]| {
        let folder = folder(&format!("{TASK}\n{metric}"));
        ends(folder.path(), &["eval", "task.toml"], 2, parts);
    };
    check("[metric]\nkind = \"regexp\"", &["did you mean `regex`?"]);
    check("[metric]\nkind = \"regex\"", &["`regex` needs `pattern`"]);
    check("[metric]\nkind = \"regex\"\npattern = \"(\"", &["`metric.pattern` is not a regular expression"]);
    check("[metric]\nkind = \"exact\"\ntolerance = 0.1", &["`metric.tolerance` is for kind `numeric`"]);
    check("[metric]\nfield = \"departmant\"", &["did you mean `department`?"]);
    check("[[metric]]\n[[metric]]", &["two metrics are called `exact`"]);
}

#[test]
fn a_new_user_gets_from_init_to_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert!(prints(at, &["init", "mine"]).contains("promptopt show mine/task.toml"));
    ends(at, &["init", "mine"], 2, &["mine/task.toml is there already"]);
    assert!(prints(at, &["show", "mine/task.toml", "--example", "2"]).contains("Courier says address"));
    ends(at, &["show", "mine/task.toml", "--example", "151"], 2, &["1 to 150"]);
    prints(at, &["optimize", "mine/task.toml", "--lm", "sim", "-q"]);
    assert!(prints(at, &["diff", "route.optimized.json"]).contains("predictor `route`"));
    assert!(
        prints(at, &["diff", "mine/task.toml", "mine/task.toml"]).contains("the instruction is the same")
    );
    let first = std::fs::read_to_string(at.join("route.optimized.html")).unwrap();
    assert!(first.contains("sealed test"));
    prints(at, &["report", "route.optimized.json", "--out", "again.html"]);
    assert!(std::fs::read_to_string(at.join("again.html")).unwrap().contains("sealed test"));
}

#[test]
fn models_are_told_of_without_their_keys() {
    let url = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let task = TASK.replace(
        "name = \"sim\"",
        &format!("name = \"gpt\"\nbase_url = \"{}\"\napi_key_env = \"LAB_KEY\"\n[prompt_model]\nname = \"big@http://127.0.0.1:{port}/v1\"", url.replace("//", "//user:s3cret@")),
    );
    let folder = folder(&task);
    let output = Command::new(env!("CARGO_BIN_EXE_promptopt"))
        .args(["models", "task.toml"])
        .current_dir(folder.path())
        .env("LAB_KEY", "sk-canary-4711")
        .env_remove("OPENAI_API_KEY")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    for part in ["LAB_KEY is set", "reachable, HTTP 200", "OPENAI_API_KEY is not set", "no connection"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert!(!said.contains("canary") && !said.contains("s3cret"), "{said}");
    assert_eq!(output.status.code(), Some(3));
    assert!(prints(tempfile_task(&folder), &["models", "sim.toml"]).contains("simulated"));
}

/// The same folder with a task on the simulated model beside the other.
fn tempfile_task(folder: &tempfile::TempDir) -> &Path {
    std::fs::write(folder.path().join("sim.toml"), TASK).unwrap();
    folder.path()
}

#[test]
fn shells_editors_and_man_are_served() {
    let folder = folder(TASK);
    let schema = prints(folder.path(), &["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["title"], "promptopt task file");
    assert!(prints(folder.path(), &["completions", "bash"]).contains("promptopt"));
    assert!(prints(folder.path(), &["man"]).contains(".TH promptopt 1"));
}
