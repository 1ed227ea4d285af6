//! A model behind a socket that knows what it was asked, and the command beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
#[cfg(feature = "gateway")]
use promptopt_core::lm::{Message, lm_fn};
use promptopt_core::money::{Money, Usage};
use promptopt_store::Journal;
use promptopt_testkit::{Drawers, LookingLm, LoopbackServer, SimulatedLm};
#[cfg(feature = "gateway")]
use promptopt_testkit::{ScriptedLm, requested_fields};

/// Requests that a run has under way at most.
pub(crate) const CONCURRENCY: usize = 8;

/// What was on its way to the server in a kill has arrived after this.
const ARRIVED: Duration = Duration::from_millis(50);

/// Rows of the data set.
const ROWS: usize = 60;

/// How often the server was asked since the last reset, by the hash of the body.
type Seen = HashMap<ContentHash, usize>;

struct Counting {
    model: Arc<dyn LanguageModel>,
    seen: Arc<Mutex<Seen>>,
    usage: Arc<Mutex<Usage>>,
    latency: Arc<Mutex<Duration>>,
    echo: Option<String>,
    fail_after: Option<usize>,
}

#[async_trait::async_trait]
impl LanguageModel for Counting {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("counting")
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let body = ContentHash::of(request);
        let total = {
            let mut seen = self.seen.lock().unwrap();
            *seen.entry(body).or_default() += 1;
            seen.values().sum::<usize>()
        };
        let latency = *self.latency.lock().unwrap();
        // Replies come out of order.
        tokio::time::sleep(latency.mul_f64(0.5 + (body.as_u64() % 100) as f64 / 100.0)).await;
        let echo = self.echo.clone().unwrap_or_default();
        if self.fail_after.is_some_and(|most| total > most) {
            return Err(LmError::Engine { message: format!("no more for the key {echo}") });
        }
        let mut reply = self.model.complete(request, attempts).await?;
        *self.usage.lock().unwrap() += reply.usage;
        for completion in &mut reply.completions {
            completion.text =
                completion.text.replace("[[ ## completed", &format!("{echo}\n\n[[ ## completed"));
        }
        Ok(reply)
    }
}

/// How the server behaves.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Written into every reply and error.
    pub(crate) echo: Option<String>,
    /// Nothing but errors after so many requests.
    pub(crate) fail_after: Option<usize>,
    /// What requests must carry as their key.
    pub(crate) key: Option<String>,
}

/// A server, and folders with a task on it.
pub(crate) struct Harness {
    server: LoopbackServer,
    seen: Arc<Mutex<Seen>>,
    usage: Arc<Mutex<Usage>>,
    latency: Arc<Mutex<Duration>>,
    /// The section `[program]`, and the rows of its data set.
    program: String,
    rows: String,
    /// A folder of pictures that the rows name.
    pictures: Option<PathBuf>,
    _runtime: tokio::runtime::Runtime,
}

/// The tool of the agent's task: a drawer that is opened.
const DRAWERS: &str = r#"
if [ "$1" = list ]; then
    echo '["K4", "M7", "P2", "R9", "T5", "W3"]'
    exit
fi
read -r arguments
for drawer in K4:saffron M7:copper P2:linen R9:walnut T5:pewter W3:velvet; do
    case $arguments in
        *"\"${drawer%%:*}\""*) echo "${drawer#*:}"; exit ;;
    esac
done
echo "there is no such drawer: $arguments" >&2
exit 1
"#;

/// The same drawers behind an MCP server.
const MCP_SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mcp/tests/server.py");

/// A program with two prompts and a client of its own. It starts fast, because it is started often.
const APP: &str = r#"
import json, os, socket, sys

def ask(base, key, system, user):
    host, _, path = base.removeprefix("http://").partition("/")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    body = json.dumps({"model": "any", "messages": messages, "max_tokens": 60}).encode()
    head = f"POST /{path}/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
    head += f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    name, port = host.split(":")
    with socket.create_connection((name, int(port))) as connection:
        connection.sendall(head.encode() + body)
        heard = b""
        while piece := connection.recv(65536):
            heard += piece
    head, _, body = heard.partition(b"\r\n\r\n")
    if b" 200 " not in head.splitlines()[0]:
        raise Exception(json.loads(body)["error"]["message"])
    return json.loads(body)["choices"][0]["message"]["content"]

def answer(base, key, question):
    first = ask(base, key, "You are a clerk. Answer the question.", "add " + question)
    return ask(base, key, "Check the answer of a clerk.", "check " + first)

if sys.argv[1:] == ["serve"]:
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            told = {"outputs": answer(asked["base_url"], asked["api_key"], asked["inputs"]["question"])}
        except Exception as error:
            told = {"error": str(error)}
        print(json.dumps({"id": asked["id"], **told}), flush=True)
else:
    print(answer(os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"], json.load(sys.stdin)["question"]))
"#;

/// What the model says to that program, and to whoever writes its prompts. A request says it all, so chance and time do not.
#[cfg(feature = "gateway")]
fn app_reply(request: &LmRequest) -> String {
    const PHRASES: [&str; 5] = [
        "Digits alone.",
        "No words around it.",
        "Read both numbers first.",
        "Leave out the question.",
        "One number is enough.",
    ];
    let draw = ContentHash::of(&request.messages).as_u64() as usize;
    let phrase = |at: usize| PHRASES[at % PHRASES.len()];
    let written = format!("You see what {{who}} sees. {} {}", phrase(draw), phrase(draw / 7));
    let fields = requested_fields(request);
    if !fields.is_empty() {
        return ScriptedLm::chat_reply(fields.iter().map(|field| (field.as_str(), written.as_str())));
    }
    let (first, last) = (request.messages.first(), request.messages.last());
    let text = |message: Option<&Message>| message.map_or("", |message| message.text()).to_owned();
    let (system, asked) = (text(first), text(last));
    let told = PHRASES.iter().filter(|phrase| system.contains(**phrase)).count();
    // The more it is told, the more often it is right.
    let is_right = draw % 10 < 4 + 2 * told;
    match (asked.strip_prefix("add "), asked.strip_prefix("check ")) {
        (Some(sum), _) => {
            let sum: u64 = sum.split('+').filter_map(|part| part.trim().parse::<u64>().ok()).sum();
            // What is asked next is another question under another prompt.
            let letters = format!("{:x}", ContentHash::of(&system).as_u64())
                .replace(|letter: char| letter.is_ascii_digit(), "");
            format!("{}{letters}", if is_right { sum } else { sum + 1 })
        }
        (_, Some(answer)) if is_right => answer.chars().filter(char::is_ascii_digit).collect(),
        (_, Some(answer)) => answer.to_owned(),
        _ => written,
    }
}

pub(crate) fn rows() -> Vec<(String, &'static str)> {
    (0..ROWS).map(|n| (format!("text number {n}"), ["billing", "sales"][n % 2])).collect()
}

pub(crate) fn lines(examples: &[Example]) -> String {
    let line = |example: &Example| format!("{}\n", serde_json::to_string(example.fields()).unwrap());
    examples.iter().map(line).collect()
}

impl Harness {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let example = |(ticket, department): (String, &'static str)| {
            Example::new([("ticket", ticket.as_str()), ("department", department)], ["ticket"])
        };
        let examples: Vec<Example> = rows().into_iter().map(example).collect();
        let program =
            "signature = \"ticket -> department: enum[billing, sales]\"\ninstruction = \"Route the ticket.\"";
        Self::serve(Arc::new(SimulatedLm::over_examples(&examples, 1)), program, lines(&examples), behaviour)
    }

    /// A server for the example over images: its program, its pictures, and a model that looks at them.
    pub(crate) fn of_colours() -> Self {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let task = std::fs::read_to_string(examples.join("colours.toml")).unwrap();
        let task: toml::Table = toml::from_str(&task).unwrap();
        let line = |key: &str| format!("{key} = {}\n", task["program"][key]);
        let rows = std::fs::read_to_string(examples.join("data/colours.jsonl")).unwrap();
        let model = LookingLm::new(["red", "green", "blue"], 1);
        let program = line("signature") + &line("instruction");
        let mut harness = Self::serve(Arc::new(model), &program, rows, Behaviour::default());
        harness.pictures = Some(examples.join("data/colours"));
        harness
    }

    /// A server for a program that calls tools, which are commands.
    pub(crate) fn of_agent() -> Self {
        Self::of_tools(
            "[[program.tools]]\nname = \"open_drawer\"\ndescription = \"Opens a drawer.\"\n\
             arguments = [\"drawer\"]\ncommand = [\"sh\", \"drawers.sh\", \"open\"]\n\
             [[program.tools]]\nname = \"list_drawers\"\ndescription = \"Lists all drawers.\"\n\
             command = [\"sh\", \"drawers.sh\", \"list\"]",
        )
    }

    /// The same with an MCP server, which lists its tools in another order each time and ends at every eighth call. The
    /// descriptions of its tools take part.
    pub(crate) fn of_mcp() -> Self {
        Self::of_tools(
            "improve_tools = true\n[[program.mcp]]\nname = \"drawers\"\n\
             command = [\"python3\", \"drawers.py\", \"drawers\", \"shuffled\", \"pages\", \"tired\"]",
        )
    }

    /// A program in another language, behind a door, that makes two calls for a row: the second is about the reply to the first.
    #[cfg(feature = "gateway")]
    pub(crate) fn of_app(door: &str) -> Self {
        let component = |name: &str, text: &str| {
            format!("[[program.components]]\nname = \"{name}\"\ntext = \"{text}\"\n")
        };
        let program = format!(
            "signature = \"question -> sum\"\n{door}\nmax_calls = 3\n{}{}",
            component("tone", "You are {who}. Answer the question."),
            component("check", "Check the answer of {who}.")
        );
        let row = |n: usize| format!("{{\"question\": \"{n} + {}\", \"sum\": \"{}\"}}\n", n + 1, 2 * n + 1);
        let model = lm_fn("adder", |request: LmRequest| async move {
            let text = app_reply(&request);
            Ok(LmReply::text(text.as_str(), Usage::call(20 + text.len() as u64, 1 + text.len() as u64)))
        });
        Self::serve(Arc::new(model), &program, (0..ROWS).map(row).collect(), Behaviour::default())
    }

    fn of_tools(tools: &str) -> Self {
        let task = Drawers::new(6, 3);
        let program = format!(
            "signature = \"question -> answer\"\ninstruction = \"Answer with what is in the drawer.\"\n\
             max_turns = 4\n{tools}"
        );
        let without_drawer = |example: Example| {
            let fields = ["question", "answer"].map(|name| (name, example.get_str(name).unwrap().to_owned()));
            Example::new(fields, ["question"])
        };
        let examples: Vec<Example> = task.examples(ROWS).into_iter().map(without_drawer).collect();
        Self::serve(task.model(3), &program, lines(&examples), Behaviour::default())
    }

    pub(crate) fn serve(
        model: Arc<dyn LanguageModel>,
        program: &str,
        rows: String,
        behaviour: Behaviour,
    ) -> Self {
        let (seen, usage) = (Arc::<Mutex<Seen>>::default(), Arc::<Mutex<Usage>>::default());
        let latency = Arc::new(Mutex::new(Duration::from_millis(15)));
        let model = Counting {
            model,
            seen: Arc::clone(&seen),
            usage: Arc::clone(&usage),
            latency: Arc::clone(&latency),
            echo: behaviour.echo,
            fail_after: behaviour.fail_after,
        };
        let key = behaviour.key;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(LoopbackServer::start(Arc::new(model), Duration::ZERO, key)).unwrap();
        Self {
            server,
            seen,
            usage,
            latency,
            program: program.to_owned(),
            rows,
            pictures: None,
            _runtime: runtime,
        }
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }

    pub(crate) fn base_url(&self) -> String {
        self.server.base_url()
    }

    /// The task file's text with more lines in the model's section and at the end.
    pub(crate) fn task(&self, model: &str, rest: &str) -> String {
        format!(
            "[program]\nname = \"route\"\n{}\n[model]\nname = \"m\"\nbase_url = \"{}\"\n{model}\n\
             [data]\npath = \"tickets.jsonl\"\n{rest}\n",
            self.program,
            self.server.base_url()
        )
    }

    /// A folder with a task.
    pub(crate) fn folder(&self, task: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if let Some(pictures) = &self.pictures {
            let own = folder.path().join(pictures.file_name().unwrap());
            std::fs::create_dir(&own).unwrap();
            for picture in std::fs::read_dir(pictures).unwrap().map(|entry| entry.unwrap().path()) {
                std::fs::copy(&picture, own.join(picture.file_name().unwrap())).unwrap();
            }
        }
        std::fs::write(folder.path().join("tickets.jsonl"), &self.rows).unwrap();
        std::fs::write(folder.path().join("drawers.sh"), DRAWERS).unwrap();
        std::fs::write(folder.path().join("app.py"), APP).unwrap();
        std::fs::copy(MCP_SERVER, folder.path().join("drawers.py")).unwrap();
        std::fs::write(folder.path().join("task.toml"), task).unwrap();
        folder
    }

    pub(crate) fn reset(&self) {
        *self.seen.lock().unwrap() = Seen::default();
        *self.usage.lock().unwrap() = Usage::default();
    }

    /// Requests since the last reset.
    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().values().sum()
    }

    /// What the replies to them said they cost.
    pub(crate) fn usage(&self) -> Usage {
        *self.usage.lock().unwrap()
    }

    /// The same by the hash of the body.
    pub(crate) fn by_body(&self) -> HashMap<ContentHash, usize> {
        self.seen.lock().unwrap().clone()
    }
}

/// Completed calls: replies that are in the journal of a run. No process may be working there.
pub(crate) fn completed(folder: &Path) -> usize {
    let path = folder.join("route.run/journal.redb");
    if !path.exists() {
        return 0;
    }
    Journal::open(path).unwrap().replies_at_open() as usize
}

/// Waits for something that must come, and not for ever.
pub(crate) fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills a process in the middle of what it does.
pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
    std::thread::sleep(ARRIVED);
}

pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptopt"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("OPENAI_API_KEY")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn promptopt(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// What a process wrote to both streams.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Child {
    command(folder, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The files that must be the same to the byte.
#[derive(PartialEq, Debug)]
pub(crate) struct Results {
    outcome: String,
    program: String,
    written: String,
}

impl Results {
    pub(crate) fn of(folder: &Path) -> Self {
        let read =
            |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|_| name.to_owned());
        Self {
            outcome: read("route.run/outcome.json"),
            program: read("route.run/program.json"),
            written: read("route.optimized.json"),
        }
    }
}

/// An uninterrupted run, and what it asked.
pub(crate) struct Reference {
    pub(crate) results: Results,
    pub(crate) by_body: HashMap<ContentHash, usize>,
    pub(crate) took: Duration,
    /// Bytes of its event log.
    pub(crate) events: u64,
}

impl Reference {
    pub(crate) fn run(harness: &Harness, task: &str) -> Self {
        harness.reset();
        let folder = harness.folder(task);
        let started = Instant::now();
        let output = promptopt(folder.path(), &["optimize", "task.toml", "--run", "route.run"]);
        assert!(output.status.success(), "{}", said(&output));
        Self {
            results: Results::of(folder.path()),
            by_body: harness.by_body(),
            took: started.elapsed(),
            events: std::fs::metadata(folder.path().join("route.run/events.jsonl")).unwrap().len(),
        }
    }
}

/// Options of an optimizer that make a run of a second or so.
pub(crate) fn optimizer(kind: &str) -> String {
    let options = match kind {
        "miprov2" => "num_candidates = 4\nnum_trials = 10\nminibatch_size = 8",
        "copro" => "breadth = 4\ndepth = 2",
        _ => "max_metric_calls = 250",
    };
    format!("[optimizer]\nkind = \"{kind}\"\nconcurrency = {CONCURRENCY}\n{options}")
}

/// Runs a task under a cap of each kind: what the run says it spent is what the server counted, in calls, tokens and money, and
/// no cap is overshot. Gives what was said.
pub(crate) fn check_books(harness: &Harness, kind: &str, caps: &[[&str; 2]]) -> String {
    // Dollars for a million tokens, so nanodollars for a thousandth of one.
    let prices = "[prices]\nm = { prompt = 1, completion = 2 }";
    let priced = |usage: &Usage| 1_000 * usage.prompt_tokens + 2_000 * usage.completion_tokens;
    let mut all_said = String::new();
    for [option, cap] in caps {
        let task = harness.task("max_tokens = 200", &format!("[optimizer]\nkind = \"{kind}\"\n{prices}"));
        let folder = harness.folder(&task);
        harness.reset();
        let output = promptopt(folder.path(), &["optimize", "task.toml", "--run", "route.run", option, cap]);
        let case = format!("{kind} {option} {cap}: {}", said(&output));
        assert!(output.status.success(), "{case}");
        let saved = std::fs::read_to_string(folder.path().join("route.optimized.json")).unwrap();
        let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
        let usage = |at: &str| serde_json::from_value::<Usage>(saved.pointer(at).unwrap().clone()).unwrap();
        let search = usage("/outcome/spending/task") + usage("/outcome/spending/prompt");
        let (all, counted) = (search + usage("/test_usage"), harness.usage());
        assert_eq!(all.calls, harness.requests() as u64, "{case}");
        assert_eq!(all, counted.with_money(Money::from_nanos(priced(&counted))), "{case}");
        let (spent, most) = match *option {
            "--max-calls" => (search.calls, cap.parse().unwrap()),
            "--max-tokens" => (search.total_tokens(), cap.parse().unwrap()),
            _ => (priced(&search), cap.parse::<Money>().unwrap().as_nanos()),
        };
        assert!(spent <= most && saved["outcome"]["stop"] == "budget", "{case}");
        all_said += &case;
    }
    all_said
}
