//! Texts of others, planted wherever the command takes some: none may command a terminal.

use std::path::Path;
use std::process::{Command, Output};

use promptopt_core::data::is_unsafe;

use super::server;
use super::terminal::{Terminal, is_missing};

/// What terminals obey: the clipboard, the title, links, a cleared screen, C1, and turned text.
const HOSTILE: &str = "\u{1b}]52;c;aGk=\u{7}\u{1b}]0;owned\u{7}\u{1b}]8;;http://x\u{1b}\\\u{1b}[2J\u{1b}c\r\u{8}\u{7f}\u{9b}31m\u{9d}0;x\u{9c}\
                       \u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{200b}\u{feff}\u{e0041}";

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// The same as a string of TOML, which allows no such character in the open.
fn in_toml(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter {
        '\\' | '"' => format!("\\{letter}"),
        letter if is_unsafe(letter) => format!("\\U{:08x}", u32::from(letter)),
        letter => letter.to_string(),
    });
    format!("\"{}\"", letters.collect::<String>())
}

/// A task that has it in its name, instruction, descriptions, model and metric.
fn task(model: &str) -> String {
    let text = in_toml(&format!("Say it. {HOSTILE}"));
    format!(
        "[program]\nname = {text}\nsignature = \"ticket -> department\"\ninstruction = {text}\n\
         [program.descriptions]\nticket = {text}\ndepartment = {text}\n[model]\n{model}\n\
         [data]\npath = \"tickets.jsonl\"\n[optimizer]\nkind = \"gepa\"\nmax_metric_calls = 60\n\
         [metric]\nkind = \"command\"\ncommand = [\"python3\", \"-u\", \"judge.py\", {text}]\n"
    )
}

/// Judges with it in the feedback, on standard error, and in an error for every seventh answer.
const JUDGE: &str = "import json, sys\nbad = json.loads(open('hostile.json').read())\nsys.stderr.write(bad + '\\n')\n\
                     for line in sys.stdin:\n    q = json.loads(line)\n    right = q['example']['department'] == q['prediction']['department']\n    \
                     answer = {'id': q['id'], 'error': bad} if q['id'] % 7 == 3 else {'id': q['id'], 'score': float(right), 'feedback': bad}\n    \
                     print(json.dumps(answer), flush=True)\n";

fn folder(model: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..40).map(|n| {
        let (ticket, department) =
            (format!("text {n} {HOSTILE}"), format!("{} {HOSTILE}", ["billing", "sales"][n % 2]));
        format!("{{\"ticket\": {}, \"department\": {}}}\n", quoted(&ticket), quoted(&department))
    });
    std::fs::write(folder.path().join("tickets.jsonl"), rows.collect::<String>()).unwrap();
    std::fs::write(folder.path().join("hostile.json"), quoted(HOSTILE)).unwrap();
    std::fs::write(folder.path().join("judge.py"), JUDGE).unwrap();
    std::fs::write(folder.path().join("task.toml"), task(model)).unwrap();
    folder
}

fn promptopt(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptopt"));
    command.args(arguments).current_dir(folder).env("PROMPTOPT_CACHE", folder.join("weights"));
    command.env("PROMPTOPT_LOG", "trace").env_remove("OPENAI_API_KEY").output().unwrap()
}

/// Runs a command and looks at each byte that it says.
fn check(folder: &Path, arguments: &[&str]) -> String {
    let output = promptopt(folder, arguments);
    let mut all = String::new();
    for bytes in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(bytes).unwrap();
        let bad = text.find(is_unsafe).map(|at| text[..at + 4].lines().last().unwrap_or_default());
        assert_eq!(bad, None, "{arguments:?}");
        all.push_str(text);
    }
    all
}

#[test]
fn no_command_lets_texts_of_others_command_a_terminal() {
    let folder = folder("name = \"sim\"");
    let at = folder.path();
    let odd = "no\u{1b}]0;x\u{7}such\u{202e}file.toml";
    let said = check(at, &["optimize", "task.toml", "--out", "best.json", "-v"]);
    assert!(said.contains("␛]52;c;aGk=␇"), "it was never said: {said}");
    for arguments in [
        &["show", "task.toml"][..],
        &["show", "task.toml", "--program", "best.json", "--json"],
        &["estimate", "task.toml"],
        &["eval", "task.toml", "--program", "best.run", "-v"],
        &["compare", "task.toml", "--optimizers", "gepa", "--max-calls", "100", "--out", "figures.json"],
        &["diff", "task.toml", "best.json"],
        &["diff", "best.json", "--json"],
        &["report", "best.run"],
        &["resume", "best.run", "-v"],
        &["models", "task.toml"],
        &["export", "best.json"],
        &["export", "best.json", "--format", "messages"],
        &["export", "best.json", "--format", "dspy", "--out", "state.json"],
        &["export", "best.json", "--format", "text", "--json"],
        &["import", "state.json", "--task", "task.toml", "--out", "back.json"],
        &["eval", odd],
        &["show", "task.toml", "--program", odd],
        &["report", odd],
        &["import", odd, "--task", "task.toml"],
        &["init", "task.toml\u{1b}[2J"],
        &["init", "task.toml\u{1b}[2J"],
        &["optimize", "task.toml", "--out", &format!("{odd}/x")],
        &["optimize", "task.toml", "--lm", &format!("m{odd}@http://127.0.0.1:1/v1")],
        &["optimize", "task.toml", "--max-cost", odd],
        &["optimize", "task.toml", "--optimizer", odd],
        &["optimize", "task.toml", odd],
        &[odd],
        &[&format!("--{odd}=x")],
        &["model", "pull", odd],
        &["model", "path", odd],
    ] {
        check(at, arguments);
    }
    // What is asked for to be used is exact, but for the page for people.
    let text = promptopt(at, &["export", "task.toml", "--format", "text"]).stdout;
    assert!(String::from_utf8(text).unwrap().contains(HOSTILE));
    let messages = promptopt(at, &["export", "task.toml", "--format", "messages"]).stdout;
    let messages: serde_json::Value = serde_json::from_slice(&messages).unwrap();
    assert!(messages["predictors"][0]["messages"][0]["content"].as_str().unwrap().contains(HOSTILE));
}

#[test]
fn mistakes_in_files_are_quoted_safely() {
    let folder = folder("name = \"sim\"");
    let task = std::fs::read_to_string(folder.path().join("task.toml")).unwrap();
    let say = |from: &str, to: &str| {
        std::fs::write(folder.path().join("task.toml"), task.replace(from, to)).unwrap();
        check(folder.path(), &["optimize", "task.toml", "-v"])
    };
    say("[model]", "[model]\n\u{202e}key = 1");
    say("[model]", "[model] # \u{9b}2J\nname = \"x\u{202e}\"");
    say("kind = \"gepa\"", &format!("kind = {}", in_toml(HOSTILE)));
    say("tickets.jsonl", "no\\u001bsuch.jsonl");
    say("\"python3\"", "\"no\\u001bsuch\"");
    std::fs::write(
        folder.path().join("tickets.jsonl"),
        format!("{{\"ticket\": 1, {}: 2}}\n", quoted(HOSTILE)),
    )
    .unwrap();
    assert!(say("x", "x").contains("tickets.jsonl"));
    std::fs::write(folder.path().join("tickets.jsonl"), HOSTILE).unwrap();
    say("x", "x");
    std::fs::write(folder.path().join("judge.py"), "import sys\nsys.exit(eval(open('hostile.json').read()))")
        .unwrap();
    say("x", "x");
}

#[test]
fn servers_command_no_terminal() {
    let answer = |status: &str, kind: &str, body: &str| -> String {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nx-request-id: \u{9b}2J\u{202e}\r\nretry-after: 0\r\n"
        );
        server(format!("{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).leak())
    };
    let reply = |text: &str| {
        let body = serde_json::json!({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]});
        body.to_string()
    };
    let error =
        serde_json::json!({"error": {"message": HOSTILE, "type": HOSTILE, "code": HOSTILE}}).to_string();
    for url in [
        answer("200 OK", "application/json", &reply(&format!("[[ ## department ## ]]\nbilling {HOSTILE}"))),
        answer("200 OK", "application/json", &reply(HOSTILE)),
        answer("200 OK", "text/\u{9b}2Jhtml", HOSTILE),
        answer("200 OK", "application/json", &error),
        answer("400 Bad Request", "application/json", &error),
        answer("401 Unauthorized", "text/plain", HOSTILE),
        answer("307 Temporary Redirect", "text/plain", "no"),
    ] {
        let folder = folder(&format!(
            "name = {}\nbase_url = \"{url}\"\nmax_retries = 0",
            in_toml(&format!("m{HOSTILE}"))
        ));
        for arguments in [
            &["eval", "task.toml", "-v"][..],
            &["optimize", "task.toml", "--max-calls", "90"],
            &["models", "task.toml"],
        ] {
            check(folder.path(), arguments);
        }
    }
}

#[test]
fn markdown_holds_no_markup_of_others() {
    let bad = "<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1)) ![y](http://x/y.png) ```";
    let folder = folder("name = \"sim\"");
    let task = std::fs::read_to_string(folder.path().join("task.toml")).unwrap();
    let said = in_toml(&format!("Say it. {HOSTILE}"));
    std::fs::write(folder.path().join("task.toml"), task.replace(&said, &quoted(bad))).unwrap();
    check(folder.path(), &["export", "task.toml", "--out", "page.md"]);
    let page = std::fs::read_to_string(folder.path().join("page.md")).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    for part in ["<script", "<img", "javascript:", "](", "!["] {
        assert!(!page.contains(part), "{part} is in {page}");
    }
}

#[test]
fn a_real_terminal_gets_nothing_of_others_to_obey() {
    if is_missing() {
        return;
    }
    let folder = folder("name = \"sim\"");
    let program = env!("CARGO_BIN_EXE_promptopt");
    let task = std::fs::read_to_string(folder.path().join("task.toml")).unwrap();
    let other = task.replace("instruction = \"Say it.", "instruction = \"Say it all.");
    std::fs::write(folder.path().join("other.toml"), other).unwrap();
    let commands = [
        "optimize task.toml --out best.json -v",
        "show task.toml",
        "diff task.toml other.toml",
        "export best.json --format text",
        "export best.json",
        "resume best.run",
        "eval no$(printf '\\033]0;x\\007').toml",
        "--no$(printf '\\033]0;x\\007')",
    ];
    for command in commands {
        let raw = Terminal::raw(folder.path(), &format!("{program} {command}"));
        assert!(raw.contains("ended with"), "{command}: {raw:?}");
        // Ours are colours and the lines that are drawn anew.
        for bad in ["\u{1b}]", "\u{1b}c", "\u{1b}[2J", "\u{7}", "\u{7f}"] {
            assert!(!raw.contains(bad), "{command}: {bad:?} in {raw:?}");
        }
        let unsafe_ones =
            raw.chars().filter(|letter| is_unsafe(*letter) && !['\u{1b}', '\r'].contains(letter));
        assert_eq!(unsafe_ones.collect::<String>(), "", "{command}");
        if command.starts_with("diff") {
            assert!(raw.contains("\u{1b}[32m"), "our colours are gone: {raw:?}");
        }
    }
}
