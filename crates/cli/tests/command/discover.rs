//! From a program that exists already to better texts in its files: `discover`, `optimize` and `apply`.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
use promptopt_core::money::Usage;
use promptopt_testkit::LoopbackServer;
use serde_json::Value;

use super::{answering, terminal};

const KEY: &str = "sk-canary-0123456789abcdef";

/// A program in Python: one prompt in a file, the other in its code.
const PYTHON: &str = r#"
import json, os, sys, urllib.request

tone = open("prompts/tone.txt").read().replace("{who}", "a clerk")
question = json.load(sys.stdin)["question"]
assert "canary" not in str(os.environ)
messages = [{"role": "system", "content": tone}, {"role": "user", "content": "Here is the question: " + question}]
body = json.dumps({"model": "small", "messages": messages}).encode()
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers)
with urllib.request.urlopen(request) as reply:
    print(json.load(reply)["choices"][0]["message"]["content"])
"#;

/// The same in JavaScript, started once.
const NODE: &str = r#"
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const tone = readFileSync("prompts/tone.txt", "utf8").replace("{who}", "a clerk");
for await (const line of createInterface({ input: process.stdin })) {
  const { id, inputs, base_url, api_key } = JSON.parse(line);
  const messages = [
    { role: "system", content: tone },
    { role: "user", content: `Here is the question: ${inputs.question}` },
  ];
  const reply = await fetch(`${base_url}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${api_key}` },
    body: JSON.stringify({ model: "small", messages }),
  });
  const said = await reply.json();
  console.log(JSON.stringify({ id, outputs: { sum: said.choices?.[0].message.content ?? "" } }));
}
"#;

/// Adds up where it is told how to answer, and writes texts that keep the places of those they are to replace.
fn reply(request: &LmRequest) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let system = request.messages.first().map_or("", |message| message.text());
    let asked = request.messages.last().map_or("", |message| message.text());
    if let Some(question) = asked.strip_prefix("Here is the question: ").filter(|text| text.len() < 20) {
        let sum: u64 = question.split('+').filter_map(|part| part.trim().parse::<u64>().ok()).sum();
        let is_told = system.contains("a clerk") && system.contains("the sum alone");
        return if is_told { sum.to_string() } else { format!("I think it is {sum}.") };
    }
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    match asked.contains("Here is the question: {question}") && !asked.contains("You are {who}") {
        true => format!("Here is the question: {{question}}\nRead it {number} times."),
        false => format!("You are {{who}}. Write the sum alone, and check it {number} times before you do."),
    }
}

/// A server that adds up, with how often it was asked.
struct Adder {
    server: LoopbackServer,
    count: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Adder {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let model = lm_fn("adder", move |request: LmRequest| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(LmReply::text(reply(&request), Usage::call(11, 3))) }
        });
        let server = LoopbackServer::start(Arc::new(model), Duration::ZERO, Some(KEY.to_owned()));
        let server = runtime.block_on(server).unwrap();
        Self { server, count, _runtime: runtime }
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows =
        (0..40).map(|n| format!("{{\"question\": \"{n} + {}\", \"sum\": \"{}\"}}\n", n + 1, 2 * n + 1));
    let rows: String = rows.collect();
    let tone = ("prompts/tone.txt", "You are {who}. Answer the question.\r\n\r\n");
    for (name, text) in [("rows.jsonl", rows.as_str()), tone].iter().chain(files) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn run(folder: &Path, base_url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_promptopt"))
        .args(arguments)
        .current_dir(folder)
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_BASE_URL", base_url)
        .env_remove("ANTHROPIC_API_KEY")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// All that a new user does.
fn walk(files: &[(&str, &str)], door: &[&str], sources: &str) {
    let adder = Adder::start();
    let folder = folder(files);
    let run = |arguments: &[&str]| {
        let output = run(folder.path(), &adder.server.base_url(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let seen = run(&[&["discover", "--data", "rows.jsonl", "--json"], door].concat());
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!((&seen["usage"]["calls"], adder.count()), (&3.into(), 3), "{seen:#}");
    assert_eq!(seen["rows"][2]["calls"][0]["model"], "small");
    let [tone, user] = [0, 1].map(|number| &seen["components"][number]);
    assert_eq!((&tone["file"], &tone["rows"]), (&"prompts/tone.txt".into(), &3.into()), "{seen:#}");
    assert_eq!(user["text"], "Here is the question: {question}");
    assert_eq!(user["source"]["file"], sources);
    let task = read(folder.path(), "task.toml");
    for part in [
        "signature = \"question -> sum\"",
        "file = \"prompts/tone.txt\"",
        "text = \"Here is the question: {question}\"",
        "name = \"small\"",
        "path = \"rows.jsonl\"",
    ] {
        assert!(task.contains(part), "{part} in {task}");
    }
    assert!(!task.contains("canary") && !seen.to_string().contains("canary"));

    run(&["optimize", "task.toml", "-q", "--max-calls", "200"]);
    let program: Value = serde_json::from_str(&read(folder.path(), "task.optimized.json")).unwrap();
    assert_eq!(program["test"]["optimized"]["mean"], 1.0, "{:#}", program["prompts"]);

    let old = read(folder.path(), "prompts/tone.txt");
    let shown = run(&["apply", "task.toml"]);
    assert!(shown.contains("--- a/prompts/tone.txt\n+++ b/prompts/tone.txt\n"), "{shown}");
    assert!(
        shown.contains("nothing is written") && read(folder.path(), "prompts/tone.txt") == old,
        "{shown}"
    );
    let shown = run(&["apply", "task.optimized.json", "--yes"]);
    // `patch` would not take this diff back: the lines of the file do not end with a line feed alone.
    assert!(shown.contains("wrote prompts/tone.txt\nto take it back, use your version control\n"), "{shown}");
    let new = read(folder.path(), "prompts/tone.txt");
    let text = new.strip_suffix("\r\n\r\n").unwrap();
    assert_eq!(program["prompts"]["tone"]["instruction"], text);
    let again: Value = serde_json::from_str(&run(&["apply", "task.toml", "--json"])).unwrap();
    assert_eq!((&again["written"], &again["components"][0]["state"]), (&false.into(), &"same".into()));

    // Whoever changed the file meanwhile keeps what he wrote.
    std::fs::write(folder.path().join("prompts/tone.txt"), "My own words.").unwrap();
    let output = super::promptopt(folder.path(), &["apply", "task.toml", "--yes"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("has changed since"), "{}", said(&output));
    assert_eq!(read(folder.path(), "prompts/tone.txt"), "My own words.");
}

#[test]
fn a_program_in_python_goes_from_its_first_row_to_better_files() {
    walk(&[("app.py", PYTHON)], &["--", "python3", "app.py"], "app.py");
}

#[test]
fn one_in_javascript_does_so_too() {
    if Command::new("node").arg("--version").output().is_err() {
        return;
    }
    walk(&[("agent.mjs", NODE)], &["--serve", "--", "node", "agent.mjs"], "agent.mjs");
}

/// A program that asks two models, one of them only where it is told to.
const TWO: &str = r#"
import json, os, sys, urllib.request

def ask(path, **body):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)

says = {"role": "system", "content": "You are a clerk in a shop."}
for model in ["first", "second"]:
    reply = ask("/chat/completions", model=model, messages=[says, {"role": "user", "content": sys.argv[1]}])
ask("/embeddings", model="third", input=sys.argv[1])
print(reply["choices"][0]["message"]["content"])
"#;

#[test]
fn each_model_that_a_program_asks_for_is_asked_at_the_users_server() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let url = answering(move |request| {
        assert!(request.contains(&format!("bearer {KEY}")), "{request}");
        let name = ["first", "second", "third"]
            .into_iter()
            .find(|name| request.contains(&format!("\"model\":\"{name}\"")));
        heard.lock().unwrap().push(name.unwrap());
        let body = match name {
            Some("third") => {
                r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"third","usage":{"prompt_tokens":2,"total_tokens":2}}"#
            }
            _ => {
                r#"{"choices":[{"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}"#
            }
        };
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    });
    let folder = folder(&[("two.py", TWO)]);
    let arguments =
        ["discover", "--input", "word=tea", "--input", "word=ink", "--", "python3", "two.py", "{word}"];
    let output = run(folder.path(), &url, &arguments);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(*asked.lock().unwrap(), ["first", "second", "third", "first", "second", "third"]);
    let task = read(folder.path(), "task.toml");
    for part in [
        "signature = \"word -> answer\"",
        "name = \"as-asked\"",
        "models = [\"first\", \"second\"]",
        "embeddings = [\"third\"]",
        "text = \"You are a clerk in a shop.\"",
        "path = \"examples.jsonl\"    # to be written",
    ] {
        assert!(task.contains(part), "{part} in {task}");
    }
    // What was written can be used as soon as there are rows.
    let rows = (0..40).map(|n| format!("{{\"word\": \"w{n}\", \"answer\": \"yes\"}}\n"));
    std::fs::write(folder.path().join("examples.jsonl"), rows.collect::<String>()).unwrap();
    let output = run(folder.path(), &url, &["eval", "task.toml", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("\"mean\":1.0"), "{}", said(&output));
}

#[test]
fn a_task_file_that_is_there_gets_the_texts_it_lacks() {
    let adder = Adder::start();
    let folder = folder(&[("app.py", PYTHON)]);
    let task = format!(
        "[program]\nsignature = \"question -> sum\"\nrun = [\"python3\", \"app.py\"]\n\n[model]\nname = \"m\"\nbase_url = \"{}\"\n\
         api_key_env = \"OPENAI_API_KEY\"\n\n[data]\npath = \"rows.jsonl\" # mine\n",
        adder.server.base_url()
    );
    std::fs::write(folder.path().join("mine.toml"), &task).unwrap();
    let discover = |more: &[&str]| {
        let output = run(folder.path(), "", &[&["discover", "--task", "mine.toml"], more].concat());
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let shown = discover(&[]);
    assert!(
        shown.contains("put these into mine.toml") && shown.contains("file = \"prompts/tone.txt\""),
        "{shown}"
    );
    assert_eq!(read(folder.path(), "mine.toml"), task);
    discover(&["--force"]);
    let written = read(folder.path(), "mine.toml");
    assert!(written.starts_with(task.trim_end()) && written.contains("name = \"tone\""), "{written}");
    let shown = discover(&[]);
    assert!(shown.contains("all of them are known already"), "{shown}");
    assert!(run(folder.path(), "", &["estimate", "mine.toml"]).status.success());
}

/// What a beginner does wrong.
const WRONG: &str = r#"
import json, os, sys, urllib.request

def ask(path, address=os.environ["OPENAI_BASE_URL"]):
    says = [{"role": "user", "content": "Here is the question: 1 + 2"}]
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    body = json.dumps({"model": sys.argv[2] if sys.argv[2:] else "m", "messages": says}).encode()
    return urllib.request.urlopen(urllib.request.Request(address + path, body, headers)).read()

wrong = sys.argv[1]
if wrong == "nothing":
    print("\x1b[2Jno model is asked here")
elif wrong == "fails":
    sys.exit("no such table: orders")
elif wrong == "fails later":
    ask("/chat/completions")
    sys.exit("no such table: orders")
elif wrong == "speaks":
    ask("/audio/speech")
elif wrong == "never ends":
    while True:
        ask("/chat/completions")
else:
    ask("/chat/completions")
"#;

#[test]
fn what_goes_wrong_says_what_to_do() {
    let adder = Adder::start();
    let folder = folder(&[("app.py", WRONG)]);
    let refused = |wrong: &[&str], code: i32, parts: &[&str]| {
        let arguments =
            [&["discover", "--input", "q=a", "--max-calls", "5", "--", "python3", "app.py"], wrong].concat();
        let output = run(folder.path(), &adder.server.base_url(), &arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{wrong:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{wrong:?}: `{part}` is not in: {said}");
        }
        assert!(!said.contains('\u{1b}') && !said.contains(KEY), "{said}");
        assert!(!folder.path().join("task.toml").exists());
    };
    let no_call = "made no call that went through the gateway";
    refused(&["nothing"], 1, &[no_call, "OPENAI_BASE_URL", "it answered: ", "no model is asked here"]);
    refused(&["fails"], 1, &["failed before a call", "no such table: orders", "OPENAI_BASE_URL"]);
    refused(&["fails later"], 1, &["failed on each row", "no such table: orders"]);
    refused(
        &["speaks"],
        1,
        &["failed before a call", "`POST /audio/speech`, which the gateway does not have"],
    );
    refused(&["never ends"], 4, &["made 5 calls and gave no answer yet", "--max-calls"]);
    refused(&["asks", "m@http://127.0.0.1:1/v1"], 1, &["which the gateway does not have"]);
    // A first row that ran into the cap says so, and the books are right.
    assert_eq!(adder.count(), 6);

    let command = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_promptopt"))
            .args(arguments)
            .current_dir(folder.path())
            .env_remove("OPENAI_API_KEY")
            .env_remove("OPENAI_BASE_URL")
            .env_remove("ANTHROPIC_API_KEY")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        (output.status.code().unwrap(), said(&output))
    };
    std::fs::write(folder.path().join(".env"), "OPENAI_API_KEY=x").unwrap();
    let app = ["discover", "--", "python3", "app.py", "asks"];
    let (code, said) = command(&app, &[]);
    assert!(code == 2 && said.contains("set OPENAI_API_KEY") && said.contains("a file .env here"), "{said}");
    let url = adder.server.base_url();
    let (code, said) = command(&app, &[("OPENAI_API_KEY", "sk-other"), ("OPENAI_BASE_URL", &url)]);
    assert!(code == 3 && said.contains("OPENAI_API_KEY"), "{said}");
    // What would be written into a file, or is no address, is said before anything runs.
    let before = adder.count();
    let at = url.strip_prefix("http://").unwrap();
    for address in [format!("http://u:canary@{at}"), format!("{url}?key=canary"), at.to_owned()] {
        let (code, said) = command(&app, &[("OPENAI_API_KEY", KEY), ("OPENAI_BASE_URL", &address)]);
        assert!(code == 2 && !said.contains("canary"), "{address}: {said}");
        let words = if address == at { "http://" } else { "holds a login or a key" };
        assert!(said.contains(words), "{said}");
    }
    let lm = format!("m@http://u:canary@{at}");
    let (code, said) = command(&[&["discover", "--lm", &lm], &app[1..]].concat(), &[]);
    assert!(code == 2 && said.contains("holds a login or a key") && !said.contains("canary"), "{said}");
    std::fs::write(folder.path().join("twice.csv"), "A b,a_b,answer\n1,2,3\n").unwrap();
    let twice = [&["discover", "--data", "twice.csv"], &app[1..]].concat();
    let (code, said) = command(&twice, &[("OPENAI_API_KEY", KEY)]);
    assert!(code == 2 && said.contains("two columns of twice.csv are one name"), "{said}");
    assert_eq!(adder.count(), before);
    let (code, said) = command(&["discover"], &[("OPENAI_API_KEY", KEY)]);
    assert!(code == 2 && said.contains("give its command"), "{said}");
    let (code, said) = command(&["discover", "--", "python3", "app.py", "fails"], &[("OPENAI_API_KEY", KEY)]);
    assert!(code == 1 && said.contains("it was given no inputs"), "{said}");
    let (code, said) = command(&["discover", "--out", "none/t.toml", "x"], &[("OPENAI_API_KEY", KEY)]);
    assert!(code == 2 && said.contains("there is no folder none"), "{said}");
    std::fs::write(folder.path().join("task.toml"), "mine").unwrap();
    let (code, said) = command(&app, &[("OPENAI_API_KEY", KEY)]);
    assert!(code == 2 && said.contains("task.toml is there already") && said.contains("--force"), "{said}");
    assert_eq!(read(folder.path(), "task.toml"), "mine");
}

/// A program whose winner has other texts than its two files and its task file.
fn optimized() -> tempfile::TempDir {
    let folder = folder(&[("app.py", PYTHON), ("prompts/end.txt", "\n\nSay goodbye.")]);
    let task = "[program]\nsignature = \"question -> sum\"\nrun = [\"python3\", \"app.py\"]\n\n\
                [[program.components]]\nname = \"tone\"\nfile = \"prompts/tone.txt\"\n\n\
                [[program.components]]\nname = \"user\"\ntext = \"Here is the question: {question}\"\n\n\
                [model]\nname = \"sim\"\n\n[data]\npath = \"rows.jsonl\"\n";
    std::fs::write(folder.path().join("task.toml"), task).unwrap();
    let output = run(folder.path(), "", &["optimize", "task.toml", "-q", "--max-calls", "60", "--no-run"]);
    assert!(output.status.success(), "{}", said(&output));
    let mut program: Value = serde_json::from_str(&read(folder.path(), "task.optimized.json")).unwrap();
    program["prompts"]["tone"]["instruction"] = "You are {who}.\nBe \u{1b}[2Jbrief.".into();
    program["prompts"]["user"]["instruction"] = "Please: {question}".into();
    let components = program["definition"]["program"]["components"].as_array_mut().unwrap();
    components.push(serde_json::json!({"name": "end", "file": "prompts/end.txt", "text": "Say goodbye."}));
    program["prompts"]["end"] = serde_json::json!({"instruction": "Say farewell.", "demos": []});
    std::fs::write(folder.path().join("task.optimized.json"), program.to_string()).unwrap();
    folder
}

#[test]
fn whoever_sits_at_the_terminal_is_asked_before_files_are_written() {
    if terminal::is_missing() {
        return;
    }
    let folder = optimized();
    let command = format!("{} apply task.optimized.json", env!("CARGO_BIN_EXE_promptopt"));
    let files = || ["prompts/tone.txt", "prompts/end.txt"].map(|name| read(folder.path(), name));
    let before = files();
    let screen = terminal::Terminal::start(folder.path(), &command);
    let said = screen.wait_for("write 2 files? [y/N]");
    for part in [
        "by hand, in the task file and at app.py:7",
        "  + Please: {question}",
        "-Say goodbye.",
        "+Be ␛[2Jbrief.",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    screen.type_in("");
    screen.wait_for("nothing is written");
    assert_eq!(files(), before);
    let screen = terminal::Terminal::start(folder.path(), &command);
    screen.wait_for("write 2 files? [y/N]");
    screen.type_in("y");
    screen.wait_for("wrote prompts/tone.txt, prompts/end.txt");
    assert_eq!(files(), ["You are {who}.\r\nBe \u{1b}[2Jbrief.\r\n\r\n", "\n\nSay farewell."]);
}

#[test]
fn all_files_are_written_or_none() {
    let folder = optimized();
    let both = ["apply", "task.toml", "--task", "none.toml"];
    super::ends(folder.path(), &both, 2, &["--task is for an optimized program"]);
    let refused = |parts: &[&str]| {
        let tone = read(folder.path(), "prompts/tone.txt");
        super::ends(folder.path(), &["apply", "task.toml", "--yes"], 2, parts);
        assert_eq!(read(folder.path(), "prompts/tone.txt"), tone);
    };
    let end = folder.path().join("prompts/end.txt");
    std::fs::write(&end, "Say something else.").unwrap();
    refused(&["prompts/end.txt has changed since"]);
    std::fs::remove_file(&end).unwrap();
    refused(&["prompts/end.txt", "--task"]);
    #[cfg(unix)]
    {
        std::fs::write(folder.path().join("elsewhere.txt"), "Say goodbye.").unwrap();
        std::os::unix::fs::symlink("../elsewhere.txt", &end).unwrap();
        refused(&["symbolic link"]);
        std::fs::remove_file(&end).unwrap();
    }
    // From another folder, the task file says where the files are.
    std::fs::write(&end, "Say goodbye.").unwrap();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::rename(folder.path().join("task.optimized.json"), folder.path().join("out/best.json")).unwrap();
    let arguments = ["apply", "out/best.json", "--task", "task.toml", "--yes", "--json"];
    let said: Value = serde_json::from_str(&super::prints(folder.path(), &arguments)).unwrap();
    let states: Vec<&Value> =
        said["components"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["written", "by hand", "written"], "{said:#}");
    assert_eq!(std::fs::read_to_string(end).unwrap(), "Say farewell.");
}

#[test]
fn a_diff_that_can_be_taken_back_says_so_and_can() {
    let folder = optimized();
    let tone = read(folder.path(), "prompts/tone.txt").replace("\r\n", "\n");
    std::fs::write(folder.path().join("prompts/tone.txt"), &tone).unwrap();
    let mut program: Value = serde_json::from_str(&read(folder.path(), "task.optimized.json")).unwrap();
    program["prompts"]["tone"]["instruction"] = "You are {who}. Be brief.".into();
    std::fs::write(folder.path().join("task.optimized.json"), program.to_string()).unwrap();
    let output = super::promptopt(folder.path(), &["apply", "task.optimized.json", "--yes"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("give it to `patch -R -p1` in the folder of the task file"), "{shown}");
    assert_ne!(read(folder.path(), "prompts/tone.txt"), tone);
}

#[test]
fn programs_of_our_predictors_are_exported_and_not_applied() {
    let folder = super::folder(super::TASK);
    super::ends(
        folder.path(),
        &["apply", "task.toml"],
        2,
        &["there is no route.optimized.json", "promptopt optimize"],
    );
    super::prints(folder.path(), &["optimize", "task.toml", "-q", "--trials", "2"]);
    super::ends(folder.path(), &["apply", "task.toml"], 2, &["`promptopt export` writes them out"]);
    super::ends(folder.path(), &["apply", "tickets.jsonl"], 2, &["tickets.jsonl"]);
}
