//! The service as a process, beside a model on the loopback interface.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::ModuleExt as _;
use promptopt_core::signature::Signature;
use promptopt_predict::Predict;
use promptopt_testkit::{LoopbackServer, ScriptedLm};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Barrier;

const LATENCY: Duration = Duration::from_millis(300);
const REQUESTS: usize = 200;

/// Tickets that begin so are answered when so many of them have come.
const TOGETHER: &str = "Together";

/// Drafts a reply that tells which instruction it was asked under.
async fn clerk(request: LmRequest, all: Arc<Barrier>) -> Result<LmReply, promptopt_core::lm::LmError> {
    if request.messages.last().is_some_and(|message| message.text().contains(TOGETHER)) {
        all.wait().await;
    }
    let system = request.messages.first().map_or("", |message| message.text());
    let version = system.split("Version ").nth(1).and_then(|rest| rest.split('.').next()).unwrap_or("none");
    let outputs =
        [("team", "billing"), ("urgent", "false"), ("reply", &format!("Dear customer, version {version}."))];
    Ok(LmReply::text(ScriptedLm::chat_reply(outputs), Usage::call(40, 20)))
}

struct Service {
    child: Child,
    url: String,
    program: PathBuf,
    client: Client,
    server: LoopbackServer,
    _folder: tempfile::TempDir,
}

fn command(program: &Path, base_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptopt-service"));
    command
        .env("PROGRAM", program)
        .env("BASE_URL", base_url)
        .env("MODEL", "tiny")
        .env("LISTEN", "127.0.0.1:0")
        .env("OPENAI_API_KEY", "none")
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Writes another version of the program.
fn write(program: &Path, change: impl FnOnce(&mut Value)) {
    let mut saved: Value = serde_json::from_str(&std::fs::read_to_string(program).unwrap()).unwrap();
    change(&mut saved);
    // At once, as every deployment should.
    let beside = program.with_extension("new");
    std::fs::write(&beside, saved.to_string()).unwrap();
    std::fs::rename(beside, program).unwrap();
}

fn version(number: usize) -> impl FnOnce(&mut Value) {
    move |saved| {
        let instruction = saved.pointer_mut("/prompts/triage/instruction").unwrap();
        *instruction = format!("Version {number}.").into();
    }
}

impl Service {
    async fn start() -> Self {
        let all = Arc::new(Barrier::new(REQUESTS));
        let model = lm_fn("clerk", move |request| clerk(request, Arc::clone(&all)));
        let server = LoopbackServer::start(Arc::new(model), LATENCY, None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("triage.json");
        assert!(command(&program, "").arg("--save").status().unwrap().success());
        write(&program, version(1));
        let mut child = command(&program, &server.base_url()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { child, url, program, client, server, _folder: folder }
    }

    async fn post(&self, path: &str, ticket: &str) -> (StatusCode, String) {
        let request = self.client.post(format!("{}{path}", self.url)).json(&json!({"ticket": ticket}));
        let reply = request.send().await.unwrap();
        (reply.status(), reply.text().await.unwrap())
    }

    /// Answers so many tickets at once; gives the drafts.
    async fn triage(&self, count: usize, ticket: &str) -> Vec<String> {
        let tickets: Vec<_> = (0..count).map(|number| format!("{ticket} {number}")).collect();
        let replies = join_all(tickets.iter().map(|ticket| self.post("/triage", ticket))).await;
        let draft = |(status, body): (StatusCode, String)| {
            assert_eq!(status, StatusCode::OK, "{body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            let output = |name: &str| body.get(name).unwrap();
            assert_eq!((output("team"), output("urgent")), (&"billing".into(), &false.into()));
            output("reply").as_str().unwrap().to_owned()
        };
        replies.into_iter().map(draft).collect()
    }

    async fn health(&self) -> Value {
        let reply = self.client.get(format!("{}/health", self.url)).send().await.unwrap();
        reply.json().await.unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_are_under_way_at_once_and_a_reload_loses_none() {
    let service = Service::start().await;
    let drafts = service.triage(REQUESTS, TOGETHER).await;
    assert!(drafts.iter().all(|draft| draft == "Dear customer, version 1."));
    assert_eq!(service.server.peak(), REQUESTS, "nobody waited for a place");
    // New versions all the time while three times as many are answered.
    let reloads = async {
        for number in 2..=20 {
            write(&service.program, version(number));
            let (status, body) = service.post("/reload", "").await;
            assert_eq!(status, StatusCode::OK, "{body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let load = async {
        let mut drafts = Vec::new();
        for _ in 0..3 {
            drafts.extend(service.triage(REQUESTS, "Ticket").await);
        }
        drafts
    };
    let ((), drafts) = tokio::join!(reloads, load);
    let versions: std::collections::BTreeSet<_> = drafts.iter().collect();
    assert!(drafts.len() == 3 * REQUESTS && versions.len() > 1, "{versions:?}");
    assert!(service.triage(1, "Ticket").await[0].contains("version 20"));
    assert_eq!(service.health().await["calls"], 4 * REQUESTS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_drifted_is_refused_at_the_start_and_at_a_reload() {
    let service = Service::start().await;
    let before = service.health().await["prompts"].clone();
    // Saved by a program with another field.
    let other = "ticket -> department: enum[billing, shipping, technical], urgent: bool, reply";
    Predict::new("triage", Signature::parse(other).unwrap()).save(&service.program).unwrap();
    let says = [
        "predictor `triage`: the field `department` of the file is `team` in the program",
        "Optimize the program again",
    ];
    let (status, body) = service.post("/reload", "").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(says.iter().all(|part| body.contains(part)), "{body}");
    assert_eq!(service.health().await["prompts"], before);
    assert_eq!(service.triage(1, "Ticket").await, ["Dear customer, version 1."]);
    let mut start = command(&service.program, &service.server.base_url()).spawn().unwrap();
    assert!(!start.wait().unwrap().success());
    let mut error = String::new();
    start.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(says.iter().all(|part| error.contains(part)), "{error}");
    // What is no program at all.
    std::fs::write(&service.program, "{}").unwrap();
    let (status, body) = service.post("/reload", "").await;
    assert!(status == StatusCode::CONFLICT && body.contains("it holds no program"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_the_draft_and_then_the_whole() {
    let service = Service::start().await;
    let (status, body) = service.post("/triage/stream", "I was charged twice.").await;
    assert_eq!(status, StatusCode::OK);
    let (mut draft, mut events, mut name) = (String::new(), 0, "");
    for line in body.lines() {
        if let Some(event) = line.strip_prefix("event: ") {
            name = event;
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data).unwrap();
            match name {
                "text" => {
                    assert_eq!(data["field"], "reply");
                    draft.push_str(data["delta"].as_str().unwrap());
                    events += 1;
                }
                "done" => assert_eq!(data, json!({"team": "billing", "urgent": false, "reply": draft})),
                other => panic!("an event `{other}`"),
            }
        }
    }
    assert_eq!((name, draft.as_str()), ("done", "Dear customer, version 1."));
    assert!(events > 3, "the text came in {events} pieces");
    let (status, body) = service.post("/triage/stream", "").await;
    assert!(status == StatusCode::OK && body.contains("event: done"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_being_answered_when_it_ends_is_answered() {
    let mut service = Service::start().await;
    let pid = service.child.id().to_string();
    let end = async {
        tokio::time::sleep(LATENCY / 3).await;
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    };
    let (drafts, ()) = tokio::join!(service.triage(20, "Ticket"), end);
    assert_eq!(drafts.len(), 20);
    assert!(service.child.wait().unwrap().success());
}
