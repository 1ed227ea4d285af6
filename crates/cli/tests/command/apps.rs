//! Programs that are not ours, from a task file: what they ask goes through the gateway, and what they spend is in the books.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
use promptopt_core::money::Usage;
use promptopt_testkit::{LoopbackServer, ScriptedLm, requested_fields};
use serde_json::Value;

use super::promptopt;

/// A program in Python, as people have them: a prompt in a file, the client's variables, an answer on standard output.
const APP: &str = r#"
import json, os, sys, urllib.request

tone = open("tone.txt").read().replace("{who}", "a clerk")

def ask(base, key, question):
    messages = [{"role": "system", "content": tone}, {"role": "user", "content": question}]
    body = json.dumps({"model": "any", "messages": messages}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
    with urllib.request.urlopen(urllib.request.Request(base + "/chat/completions", body, headers)) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]

if sys.argv[1:] == ["serve"]:
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"outputs": {"sum": ask(asked["base_url"], asked["api_key"], asked["inputs"]["question"])}}
        except Exception as error:
            answer = {"error": str(error)}
        print(json.dumps({"id": asked["id"], **answer}), flush=True)
else:
    assert "secret-canary" not in str(os.environ)
    print(ask(os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"], json.load(sys.stdin)["question"]))
"#;

const RIGHT: &str = "You are {who}. Write the sum alone.";

/// Another way to say it each time.
fn written() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    const MORE: [&str; 6] = [
        "Digits and nothing else.",
        "No words around it.",
        "Read both numbers of the question first.",
        "Check the result once before you write it.",
        "Leave out the question.",
        "One number is enough for the reader.",
    ];
    let number = usize::try_from(NEXT.fetch_add(1, Ordering::SeqCst)).unwrap();
    format!("{RIGHT} {}", MORE[number % MORE.len()])
}

/// Adds up where it is told how to answer, and writes an instruction that says so.
fn reply(request: &LmRequest) -> String {
    let fields = requested_fields(request);
    if !fields.is_empty() {
        let text = written();
        return ScriptedLm::chat_reply(fields.iter().map(|field| (field.as_str(), text.as_str())));
    }
    let messages: Vec<&str> = request.messages.iter().map(|message| message.text()).collect();
    let asked = messages.last().copied().unwrap_or_default();
    let sum: u64 = asked.split('+').filter_map(|part| part.trim().parse::<u64>().ok()).sum();
    match messages.first() {
        Some(tone) if tone.contains("You are a clerk. Write the sum alone.") => sum.to_string(),
        Some(tone) if tone.contains("You are a clerk.") => format!("I think it is {sum}."),
        // A text of whoever writes instructions, in no form of ours.
        _ => written(),
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn calls(program: &Value) -> u64 {
    let spent = &program["outcome"]["spending"];
    let of = |usage: &Value| usage["calls"].as_u64().unwrap_or_default();
    of(&spent["task"]) + of(&spent["prompt"])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn check(door: &str, optimizer: &str) {
    let runtime = runtime();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let model = lm_fn("adder", move |request: LmRequest| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { Ok(LmReply::text(reply(&request), Usage::call(11, 3))) }
    });
    let key = Some("secret-canary".to_owned());
    let server = runtime.block_on(LoopbackServer::start(Arc::new(model), Duration::ZERO, key)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("app.py", APP);
    write("tone.txt", "You are {who}. Answer the question.\n");
    let rows =
        (0..40).map(|n| format!("{{\"question\": \"{n} + {}\", \"sum\": \"{}\"}}\n", n + 1, 2 * n + 1));
    write("rows.jsonl", &rows.collect::<String>());
    write(
        "task.toml",
        &format!(
            "[program]\nsignature = \"question -> sum\"\n{door}\nmax_calls = 2\n\n\
             [[program.components]]\nname = \"tone\"\nfile = \"tone.txt\"\n\n\
             [model]\nname = \"m\"\nbase_url = \"{}\"\napi_key_env = \"ADDER_KEY\"\n\n[data]\npath = \"rows.jsonl\"\n\n\
             [optimizer]\nkind = \"{optimizer}\"\n",
            server.base_url()
        ),
    );
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_promptopt"))
            .current_dir(folder.path())
            .env("ADDER_KEY", "secret-canary")
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{door} {optimizer}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["optimize", "task.toml", "-q", "--max-calls", "160", "--out", "best.json"]);
    let program = read(&folder.path().join("best.json"));
    let tone = program["prompts"]["tone"]["instruction"].as_str().unwrap();
    assert!(tone.starts_with(RIGHT), "{optimizer}: {tone} {:#}", program["outcome"]["notes"]);
    assert_eq!(
        (&program["test"]["baseline"]["mean"], &program["test"]["optimized"]["mean"]),
        (&0.0.into(), &1.0.into())
    );
    let tested = program["test_usage"]["calls"].as_u64().unwrap();
    assert_eq!(calls(&program) + tested, count.load(Ordering::SeqCst), "{optimizer}");
    assert!(calls(&program) <= 160);
    for arguments in [&["export", "best.json"][..], &["show", "task.toml", "--program", "best.json"]] {
        let shown = run(arguments);
        assert!(shown.contains("Write the sum alone."), "{shown}");
    }
    let scored: Value =
        serde_json::from_str(&run(&["eval", "task.toml", "--program", "best.json", "--json"])).unwrap();
    assert_eq!(scored["test"]["mean"], 1.0, "{scored}");
}

#[test]
fn a_program_in_another_language_is_optimized() {
    check("run = [\"python3\", \"app.py\"]", "copro");
}

#[test]
fn one_that_stays_is_optimized_by_each_optimizer() {
    for optimizer in ["miprov2", "gepa"] {
        check("serve = [\"python3\", \"app.py\", \"serve\"]\nworkers = 2", optimizer);
    }
}

/// A program that asks one model for embeddings and another for its answer.
const MODELS_APP: &str = r#"
import json, os, sys, urllib.request

def post(place, body):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + place, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)

question = json.load(sys.stdin)["question"]
assert len(post("/embeddings", {"model": "vectors", "input": question})["data"]) == 1
messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": question}]
print(post("/chat/completions", {"model": "small", "messages": messages})["choices"][0]["message"]["content"])
"#;

#[test]
fn a_program_gets_the_models_that_it_asks_for_at_their_prices() {
    let runtime = runtime();
    let server = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = |body: axum::Json<Value>| async move {
            let usage = serde_json::json!({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110});
            axum::Json(match body["input"].is_null() {
                true => serde_json::json!({"choices": [{"message": {"content": body["model"]}, "finish_reason": "stop"}], "usage": usage}),
                false => serde_json::json!({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 1000, "total_tokens": 1000}}),
            })
        };
        let app = axum::Router::new().fallback(axum::routing::post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    });
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("app.py", MODELS_APP);
    let rows = (0..8).map(|n| format!("{{\"question\": \"{n}\", \"model\": \"small\"}}\n"));
    write("rows.jsonl", &rows.collect::<String>());
    let task = |models: &str| {
        format!(
            "[program]\nsignature = \"question -> model\"\nrun = [\"python3\", \"app.py\"]\n\
             [[program.components]]\nname = \"tone\"\ntext = \"Answer.\"\n\
             [model]\nname = \"as-asked\"\nmodels = {models}\nembeddings = [\"vectors\"]\nbase_url = \"http://{server}\"\n\
             api_key_env = \"KEY\"\n[data]\npath = \"rows.jsonl\"\n[prices]\nsmall = {{ prompt = 1.0, completion = 2.0 }}\n\
             large = {{ prompt = 50.0, completion = 50.0 }}\nvectors = {{ prompt = 0.1, completion = 0.0 }}\n"
        )
    };
    let run = |arguments: &[&str]| {
        let command = std::process::Command::new(env!("CARGO_BIN_EXE_promptopt"))
            .current_dir(folder.path())
            .env("KEY", "secret-canary")
            .args(arguments)
            .output();
        command.unwrap()
    };
    write("task.toml", &task("[\"large\", \"small\"]"));
    let output = run(&["eval", "task.toml", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let scored: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(scored["test"]["mean"], 1.0, "{scored}");
    // Two calls a row: 100 read at 1 dollar a million and 10 written at 2; 1,000 read at 0.1.
    let usage = &scored["usage"];
    assert_eq!((usage["calls"].as_u64(), usage["money"].as_str()), (Some(2), Some("0.00022")), "{scored}");

    write("task.toml", &task("[\"large\"]"));
    let output = run(&["eval", "task.toml"]);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the model `small`"), "{said}");
    write("task.toml", &task("[]"));
    let said = String::from_utf8_lossy(&run(&["eval", "task.toml"]).stderr).into_owned();
    assert!(said.contains("list the models that the program asks for in `model.models`"), "{said}");
}

#[test]
fn demos_are_found_where_a_component_has_a_place_for_them() {
    let runtime = runtime();
    // It keeps to the form where an example shows it, and else for every other question.
    let model = lm_fn("shown", |request: LmRequest| async move {
        let fields = requested_fields(&request);
        let text = match fields.is_empty() {
            false => {
                let text = written();
                ScriptedLm::chat_reply(fields.iter().map(|field| (field.as_str(), text.as_str())))
            }
            true => {
                let asked = request.messages.last().map(|message| message.text()).unwrap_or_default();
                let sum: u64 = asked.split('+').filter_map(|part| part.trim().parse::<u64>().ok()).sum();
                let is_shown = request.messages[0].text().contains("messages: ");
                if is_shown || sum % 4 == 1 { sum.to_string() } else { format!("I think it is {sum}.") }
            }
        };
        Ok(LmReply::text(text, Usage::call(11, 3)))
    });
    let server = runtime.block_on(LoopbackServer::start(Arc::new(model), Duration::ZERO, None)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("app.py", APP);
    write("tone.txt", "You are {who}. Answer the question.\n{examples}\n");
    let rows =
        (0..80).map(|n| format!("{{\"question\": \"{n} + {}\", \"sum\": \"{}\"}}\n", n + 1, 2 * n + 1));
    write("rows.jsonl", &rows.collect::<String>());
    write(
        "task.toml",
        &format!(
            "[program]\nsignature = \"question -> sum\"\nserve = [\"python3\", \"app.py\", \"serve\"]\nmax_calls = 2\n\
             [[program.components]]\nname = \"tone\"\nfile = \"tone.txt\"\ndemos = \"{{examples}}\"\n\
             [model]\nname = \"m\"\nbase_url = \"{}\"\n[data]\npath = \"rows.jsonl\"\n",
            server.base_url()
        ),
    );
    let output = promptopt(
        folder.path(),
        &["optimize", "task.toml", "-q", "--max-calls", "300", "--out", "best.json"],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let program = read(&folder.path().join("best.json"));
    let tone = &program["prompts"]["tone"];
    assert!(!tone["demos"].as_array().unwrap().is_empty(), "{:#}", program["outcome"]);
    assert_eq!(program["test"]["optimized"]["mean"], 1.0, "{tone:#}");
    // What is exported is what the program sends.
    let exported = promptopt(folder.path(), &["export", "best.json"]);
    let exported = String::from_utf8_lossy(&exported.stdout);
    assert!(exported.contains("Answer the question.\nmessages: "), "{exported}");
}

#[test]
fn a_text_that_the_program_never_sends_ends_the_run_with_what_it_sends() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("app.py", APP);
    write("tone.txt", "You are {who}. Answer the question.\n");
    let rows = (0..9).map(|n| format!("{{\"question\": \"{n}\", \"sum\": \"{n}\"}}\n"));
    write("rows.jsonl", &rows.collect::<String>());
    write(
        "task.toml",
        "[program]\nsignature = \"question -> sum\"\nrun = [\"python3\", \"app.py\"]\n\
         [[program.components]]\nname = \"tone\"\ntext = \"You are a poet.\"\n[model]\nname = \"sim\"\n[data]\npath = \"rows.jsonl\"\n",
    );
    let output = promptopt(folder.path(), &["optimize", "task.toml", "-q"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("held the text of `tone`"), "{said}");
    assert!(said.contains("system: You are a clerk. Answer the question."), "{said}");
}

#[test]
fn what_cannot_be_is_said() {
    let refused = |program: &str, words: &str| {
        let task = format!(
            "[program]\nsignature = \"ticket -> department\"\n{program}\n[model]\nname = \"sim\"\n[data]\npath = \"tickets.jsonl\"\n"
        );
        let folder = super::folder(&task);
        let output = promptopt(folder.path(), &["optimize", "task.toml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    };
    let tone = "[[program.components]]\nname = \"tone\"\n";
    refused("run = [\"true\"]", "name them in `[[program.components]]`");
    refused(&format!("run = []\n{tone}text = \"a\""), "`program.run` is empty");
    refused(&format!("run = [\"true\"]\nurl = \"http://x\"\n{tone}text = \"a\""), "keep one");
    refused(&format!("url = \"x\"\n{tone}text = \"a\""), "give an address");
    refused(&format!("run = [\"true\"]\n{tone}"), "needs its `text`, or the `file`");
    refused(&format!("run = [\"true\"]\n{tone}file = \"gone.txt\""), "reading the component `tone`");
    refused("workers = 2", "say by `run`, `serve` or `url`");
    refused(
        &format!("url = \"http://x\"\ntimeout = -1\n{tone}text = \"a\""),
        "must be a number of seconds above 0",
    );
    refused(
        "[[program.predictors]]\nname = \"p\"\nsignature = \"ticket -> department\"\n[program.predictors.model]\nname = \
         \"as-asked\"\nmodels = [\"x\"]",
        "`program.predictors.model` is asked by nobody but promptopt",
    );
    refused(
        &format!("run = [\"true\"]\nvariables = {{ Q = \"query\" }}\n{tone}text = \"a\""),
        "`query`, which is no input",
    );
    let component = |more: &str, words: &str| {
        refused(&format!("run = [\"true\"]\n{tone}text = \"Help {{user}}.\"\n{more}"), words);
    };
    component("keep = [\"{customer}\"]", "is to keep \"{customer}\", which its text does not contain");
    component("max_length = 0", "`max_length` = 0");
    component("demos = \"{examples}\"", "is no place in its text");
    component("signature = \"a -> b\"", "is for `demos = \"program\"`");
    component("[model]\nname = \"x\"", "duplicate key");
    refused(
        &format!("run = [\"true\"]\ninstruction = \"a\"\n{tone}text = \"a\""),
        "`instruction`, `reasoning` and `format`",
    );
}
