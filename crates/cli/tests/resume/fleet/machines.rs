//! A nats-server, workers, and programs of each kind.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
use promptopt_core::money::Usage;
use promptopt_testkit::{NatsServer, ScriptedLm, requested_fields};
use serde_json::Value;

use crate::harness::{Behaviour, Harness, command, lines, promptopt, rows, said, wait_until};

/// A server of its own, ended with the test.
pub(crate) struct Server(NatsServer);

impl Deref for Server {
    type Target = NatsServer;

    fn deref(&self) -> &NatsServer {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut NatsServer {
        &mut self.0
    }
}

impl Server {
    /// Starts a server with JetStream; `None` where there is none on this machine, unless it is asked for.
    pub(crate) fn start() -> Option<Self> {
        Self::with("127.0.0.1", &["-js"])
    }

    pub(crate) fn with(address: &str, arguments: &[&str]) -> Option<Self> {
        NatsServer::start_or_skip(address, arguments).unwrap().map(Self)
    }

    /// What `promptopt fleet status` knows.
    pub(crate) fn status(&self) -> Value {
        let output = promptopt(self.folder(), &["fleet", "status", "--json", "--fleet", &self.url()]);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn count(&self, role: &str) -> usize {
        let status = self.status();
        status["members"].as_array().unwrap().iter().filter(|member| member["role"] == role).count()
    }
}

pub(crate) fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// A worker, killed with the test.
pub(crate) struct Machine {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Machine {
    pub(crate) fn start(folder: &Path, url: &str, slots: usize) -> Self {
        Self::begin(command(folder, &[]), folder, url, slots)
    }

    /// The same with a command before it.
    pub(crate) fn begin(mut command: Command, folder: &Path, url: &str, slots: usize) -> Self {
        let log = folder.join(format!("worker.{:x}.log", rand::random::<u64>()));
        let file = std::fs::File::create(&log).unwrap();
        command.args(["worker", "task.toml", "--fleet", url, "--slots", &slots.to_string()]);
        command.current_dir(folder).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    pub(crate) fn signal(&self, name: &str) {
        Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to leave, and waits for that.
    pub(crate) fn leave(&mut self) -> std::process::ExitStatus {
        self.signal("CONT");
        self.signal("TERM");
        wait_until("the end of a worker", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kinds of programs.
pub(crate) const PROGRAMS: [&str; 4] = ["native", "chain", "agent", "serve"];

const CHAIN: &str = r#"
[[program.predictors]]
name = "sum_up"
signature = "ticket -> summary"
[[program.predictors]]
name = "route"
signature = "summary -> department: enum[billing, sales]"
"#;

const SERVE: &str = r#"
signature = "ticket -> department: enum[billing, sales]"
serve = ["python3", "app.py"]
workers = 2
max_calls = 2
[[program.components]]
name = "tone"
text = "Say the department of a ticket."
"#;

const APP: &str = r#"
import json, sys, urllib.request

for line in sys.stdin:
    asked = json.loads(line)
    messages = [{"role": "system", "content": "Say the department of a ticket."},
                {"role": "user", "content": "TICKET " + asked["inputs"]["ticket"]}]
    body = json.dumps({"model": "any", "messages": messages}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + asked["api_key"]}
    try:
        request = urllib.request.Request(asked["base_url"] + "/chat/completions", body, headers)
        with urllib.request.urlopen(request) as reply:
            text = json.load(reply)["choices"][0]["message"]["content"]
        answer = {"outputs": {"department": text}}
    except Exception as error:
        answer = {"error": str(error)}
    print(json.dumps({"id": asked["id"], **answer}), flush=True)
"#;

/// What the model says depends on nothing but the request.
fn reply(request: &LmRequest) -> String {
    let number = ContentHash::of(request).as_u64();
    let department = ["billing", "sales"][usize::from(number.is_multiple_of(2))];
    let fields = requested_fields(request);
    if fields.is_empty() {
        let asked = request.messages.last().map(|message| message.text()).unwrap_or_default();
        return match asked.starts_with("TICKET") {
            true => department.to_owned(),
            false => format!("Say it in way {}.", number % 1000),
        };
    }
    let text = |field: &str| match field {
        "department" => department.to_owned(),
        "summary" => format!("case {}", number % 9),
        _ => format!("Say it in way {}.", number % 1000),
    };
    let texts: Vec<String> = fields.iter().map(|field| text(field)).collect();
    ScriptedLm::chat_reply(fields.iter().map(String::as_str).zip(texts.iter().map(String::as_str)))
}

/// A server of the model for programs of a kind.
pub(crate) fn harness(kind: &str) -> Harness {
    let program = match kind {
        "native" => return Harness::start(Behaviour::default()),
        "agent" => return Harness::of_agent(),
        "chain" => format!("signature = \"ticket -> department: enum[billing, sales]\"{CHAIN}"),
        _ => SERVE.to_owned(),
    };
    let example = |(ticket, department): (String, &'static str)| {
        Example::new([("ticket", ticket.as_str()), ("department", department)], ["ticket"])
    };
    let examples: Vec<Example> = rows().into_iter().map(example).collect();
    let model =
        lm_fn(
            "m",
            |request: LmRequest| async move { Ok(LmReply::text(reply(&request), Usage::call(11, 3))) },
        );
    Harness::serve(Arc::new(model), &program, lines(&examples), Behaviour::default())
}

/// A folder with a task and what its program needs.
pub(crate) fn folder(harness: &Harness, task: &str) -> tempfile::TempDir {
    let folder = harness.folder(task);
    std::fs::write(folder.path().join("app.py"), APP).unwrap();
    folder
}

/// Rollouts at once in a run.
pub(crate) const AT_ONCE: usize = 16;

/// What a run is to do.
pub(crate) fn task(harness: &Harness, optimizer: &str, calls: u64) -> String {
    let rest = format!("[optimizer]\nkind = \"{optimizer}\"\nmax_calls = {calls}\n[fleet]\nlease = 1\n");
    harness.task("", &rest)
}

/// The same run, of one process or of a fleet.
pub(crate) fn optimize(fleet: Option<&str>) -> Vec<&str> {
    let mut arguments = vec!["optimize", "task.toml", "--run", "route.run", "--concurrency", "16"];
    arguments.extend(fleet.into_iter().flat_map(|url| ["--fleet", url]));
    arguments
}

/// What must be the same: all that is written, without times.
pub(crate) fn results(folder: &Path) -> [Value; 3] {
    let read = |name: &str| {
        let text =
            std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut value = serde_json::from_str(&text).unwrap();
        forget_times(&mut value);
        value
    };
    ["route.run/outcome.json", "route.run/program.json", "route.optimized.json"].map(read)
}

fn forget_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("time");
            fields.values_mut().for_each(forget_times);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_times),
        _ => {}
    }
}

/// Processes that work in a folder.
pub(crate) fn processes(folder: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let here = processes
        .filter(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|at| at == folder));
    here.map(|process| std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default()).collect()
}
