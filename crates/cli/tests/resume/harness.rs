//! A model behind a socket that knows what it was asked, and the command beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use promptopt_core::{ContentHash, Example, LanguageModel, LmError, LmReply, LmRequest};
use promptopt_store::Journal;
use promptopt_testkit::{LoopbackServer, SimulatedLm};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Requests that a run has under way at most.
pub(crate) const CONCURRENCY: usize = 8;

/// What was on its way to the server in a kill has arrived after this.
const ARRIVED: Duration = Duration::from_millis(50);

/// Rows of the data set.
const ROWS: usize = 60;

/// How often the server was asked since the last reset, by the hash of the body.
type Seen = HashMap<ContentHash, usize>;

struct Counting {
    model: SimulatedLm,
    seen: Arc<Mutex<Seen>>,
    latency: Arc<Mutex<Duration>>,
    echo: Option<String>,
    fail_after: Option<usize>,
}

#[async_trait::async_trait]
impl LanguageModel for Counting {
    fn id(&self) -> String {
        "counting".to_owned()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
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
        let mut reply = self.model.complete(request).await?;
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
}

/// A server, and folders with a task on it.
pub(crate) struct Harness {
    server: LoopbackServer,
    seen: Arc<Mutex<Seen>>,
    latency: Arc<Mutex<Duration>>,
    _runtime: tokio::runtime::Runtime,
}

fn rows() -> Vec<(String, &'static str)> {
    (0..ROWS).map(|n| (format!("text number {n}"), ["billing", "sales"][n % 2])).collect()
}

impl Harness {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let examples: Vec<Example> = rows()
            .into_iter()
            .map(|(ticket, department)| {
                Example::new([("ticket", ticket.as_str()), ("department", department)], ["ticket"])
            })
            .collect();
        let seen = Arc::<Mutex<Seen>>::default();
        let latency = Arc::new(Mutex::new(Duration::from_millis(15)));
        let model = Counting {
            model: SimulatedLm::over_examples(&examples, 1),
            seen: Arc::clone(&seen),
            latency: Arc::clone(&latency),
            echo: behaviour.echo,
            fail_after: behaviour.fail_after,
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(LoopbackServer::start(Arc::new(model), Duration::ZERO, None)).unwrap();
        Self { server, seen, latency, _runtime: runtime }
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }

    /// The task file's text with more lines in the model's section and at the end.
    pub(crate) fn task(&self, model: &str, rest: &str) -> String {
        format!(
            "[program]\nname = \"route\"\nsignature = \"ticket -> department: enum[billing, sales]\"\n\
             instruction = \"Route the ticket.\"\n[model]\nname = \"m\"\nbase_url = \"{}\"\n{model}\n\
             [data]\npath = \"tickets.jsonl\"\n{rest}\n",
            self.server.base_url()
        )
    }

    /// A folder with a task.
    pub(crate) fn folder(&self, task: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = rows()
            .into_iter()
            .map(|(ticket, department)| {
                format!("{{\"ticket\": \"{ticket}\", \"department\": \"{department}\"}}\n")
            })
            .collect();
        std::fs::write(folder.path().join("tickets.jsonl"), rows).unwrap();
        std::fs::write(folder.path().join("task.toml"), task).unwrap();
        folder
    }

    pub(crate) fn reset(&self) {
        *self.seen.lock().unwrap() = Seen::default();
    }

    /// Requests since the last reset.
    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().values().sum()
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
}

impl Reference {
    pub(crate) fn run(harness: &Harness, task: &str) -> Self {
        harness.reset();
        let folder = harness.folder(task);
        let started = Instant::now();
        let output = promptopt(folder.path(), &["optimize", "task.toml", "--run", "route.run"]);
        assert!(output.status.success(), "{}", said(&output));
        Self { results: Results::of(folder.path()), by_body: harness.by_body(), took: started.elapsed() }
    }
}

/// What came of killing.
#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) kills: usize,
    pub(crate) runs: usize,
    /// Completed calls.
    pub(crate) calls: usize,
    /// Requests that were under way in a kill; at most as many as may be at once.
    pub(crate) lost: usize,
    /// Requests beyond those: completed calls that were made again. In a run that comes to its end nothing
    /// is under way in a kill, so there every one is found.
    pub(crate) repeated: usize,
    /// Runs whose results were not those of the uninterrupted one.
    pub(crate) different: usize,
}

/// Starts runs, kills them at random moments and resumes them until they are done, until there were so many
/// kills.
pub(crate) fn crash(harness: &Harness, task: &str, cycles: usize, seed: u64) -> Figures {
    let reference = Reference::run(harness, task);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut figures = Figures::default();
    while figures.kills < cycles {
        harness.reset();
        let folder = harness.folder(task);
        let (mut asked, mut kept) = (0, 0);
        loop {
            let begun: PathBuf = folder.path().join("route.run/run.json");
            let arguments: &[&str] = match begun.exists() {
                true => &["resume", "route.run"],
                false => &["optimize", "task.toml", "--run", "route.run"],
            };
            let mut child = start(folder.path(), arguments);
            let mut done = figures.kills >= cycles;
            if !done {
                std::thread::sleep(reference.took.mul_f64(random.random_range(0.0..1.0)));
                done = child.try_wait().unwrap().is_some();
            }
            if done {
                let status = child.wait().unwrap();
                assert!(status.success(), "{status} of {arguments:?}");
            } else {
                kill(&mut child);
                figures.kills += 1;
            }
            // Of what was asked since the last kill, this is not in the journal: it was under way in the
            // kill, or it is there already and was asked once more.
            let (asked_now, kept_now) = (harness.requests(), completed(folder.path()));
            let lost = (asked_now - asked) - (kept_now - kept);
            (asked, kept) = (asked_now, kept_now);
            let under_way = if done { 0 } else { CONCURRENCY };
            figures.lost += lost.min(under_way);
            figures.repeated += lost.saturating_sub(under_way);
            if done {
                break;
            }
        }
        figures.runs += 1;
        figures.calls += kept;
        figures.different += usize::from(Results::of(folder.path()) != reference.results);
    }
    figures
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
