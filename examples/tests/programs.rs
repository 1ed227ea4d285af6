//! The programs of the examples as processes beside a server that keeps books of its own: what they spend is what the server
//! counted, caps hold, a run that is killed goes on and pays nothing twice, and concurrency does not show.

#![cfg(unix)]

#[path = "../src/bin/agent.rs"]
#[expect(dead_code, reason = "the server needs no more of it than the stand-in")]
mod agent;
#[path = "../src/bin/retrieval.rs"]
#[expect(dead_code, reason = "the server needs no more of it than the stand-in")]
mod retrieval;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use promptopt::core::data::ContentHash;
use promptopt::prelude::*;
use promptopt::store::Journal;
use promptopt_testkit::{LoopbackServer, around};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const OPTIMIZERS: [&str; 3] = ["miprov2", "copro", "gepa"];
/// Requests that a run has under way at most, where a test says nothing else.
const CONCURRENCY: usize = 8;
/// What was on its way to the server in a kill has arrived after this.
const ARRIVED: Duration = Duration::from_millis(50);
/// Nanodollars for a token read, and for one written: what `PRICE` says by the million.
const NANOS: [u64; 2] = [1_000, 2_000];
const PRICE: [&str; 2] = ["1", "2"];

/// What a server counted.
#[derive(Default)]
struct Books {
    by_body: HashMap<ContentHash, u64>,
    usage: Usage,
}

/// A program of the examples, and a server that answers it.
struct Program {
    binary: &'static str,
    server: LoopbackServer,
    books: Arc<Mutex<Books>>,
    _runtime: tokio::runtime::Runtime,
}

impl Program {
    fn agent() -> Self {
        Self::serve(env!("CARGO_BIN_EXE_agent"), lm_fn("clerk", agent::clerk), Duration::from_millis(3))
    }

    fn retrieval() -> Self {
        let model = lm_fn("librarian", retrieval::librarian);
        Self::serve(env!("CARGO_BIN_EXE_retrieval"), model, Duration::from_millis(3))
    }

    fn serve(binary: &'static str, model: impl LanguageModel + 'static, latency: Duration) -> Self {
        let books = Arc::<Mutex<Books>>::default();
        let own = Arc::clone(&books);
        let model = around(model, move |next, request: LmRequest| {
            let books = Arc::clone(&own);
            async move {
                let body = ContentHash::of(&request);
                *books.lock().unwrap().by_body.entry(body).or_default() += 1;
                // Replies come out of order.
                tokio::time::sleep(latency.mul_f64(0.5 + (body.as_u64() % 100) as f64 / 100.0)).await;
                let reply = next.complete(&request).await?;
                books.lock().unwrap().usage += reply.usage;
                Ok(reply)
            }
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(LoopbackServer::start(Arc::new(model), Duration::ZERO, None)).unwrap();
        Self { binary, server, books, _runtime: runtime }
    }

    /// The program as a user starts it.
    fn command(&self, folder: &Path, options: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command
            .args(["--model", "m", "--base-url", &self.server.base_url(), "--price"])
            .args(PRICE)
            .args(options)
            .current_dir(folder)
            .env_remove("OPENAI_API_KEY")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    /// A whole run in a new folder, and what the server counted of it.
    fn run(&self, options: &[&str]) -> (Results, Books) {
        *self.books.lock().unwrap() = Books::default();
        let folder = tempfile::tempdir().unwrap();
        let results = Results::of(self.command(folder.path(), options), folder.path());
        (results, std::mem::take(&mut *self.books.lock().unwrap()))
    }

    /// Requests since the books were opened.
    fn requests(&self) -> u64 {
        self.books.lock().unwrap().by_body.values().sum()
    }
}

/// What a run came to.
#[derive(Debug, PartialEq)]
struct Results {
    said: String,
    /// Empty where the run had no folder.
    outcome: String,
}

impl Results {
    /// Waits for the end of a run.
    fn of(mut command: Command, folder: &Path) -> Self {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        Self { said, outcome: std::fs::read_to_string(folder.join("run/outcome.json")).unwrap_or_default() }
    }

    fn candidates(&self) -> usize {
        serde_json::from_str::<Outcome>(&self.outcome).unwrap().candidates.len()
    }

    /// What the search or the sealed test cost, as it says.
    fn cost(&self, of: &str) -> Usage {
        let line = self.said.lines().find_map(|line| line.strip_prefix(&format!("the {of} cost "))).unwrap();
        let mut numbers =
            line.split(|c: char| !c.is_ascii_digit() && c != '.').filter(|word| !word.is_empty());
        let mut count = || numbers.next().unwrap().parse().unwrap();
        let usage = Usage::call(0, 0).with_calls(count());
        let usage = usage + Usage::call(count(), count()).with_calls(0);
        usage.with_money(numbers.next().unwrap().parse::<Money>().unwrap())
    }
}

fn priced(usage: Usage) -> u64 {
    usage.prompt_tokens * NANOS[0] + usage.completion_tokens * NANOS[1]
}

/// Runs that caps end: what they say they spent is what the server counted, and no cap is overshot. Every cap is tried
/// under the program's own optimizer, and the first one under all.
fn check_books(program: &Program, own: &str, caps: [[&str; 2]; 3]) {
    for kind in OPTIMIZERS {
        for [option, cap] in caps.into_iter().take(if kind == own { 3 } else { 1 }) {
            let (results, books) = program.run(&["--optimizer", kind, option, cap]);
            let (search, test) = (results.cost("search"), results.cost("sealed test"));
            let (all, case) = (search + test, format!("{kind} {option} {cap}"));
            assert_eq!(all.calls, books.by_body.values().sum::<u64>(), "{case}");
            assert_eq!(all, books.usage.with_money(Money::from_nanos(priced(books.usage))), "{case}");
            let (spent, most) = match option {
                "--max-calls" => (search.calls, cap.parse().unwrap()),
                "--max-tokens" => (search.total_tokens(), cap.parse().unwrap()),
                _ => (priced(search), cap.parse::<Money>().unwrap().as_nanos()),
            };
            assert!(spent <= most, "{case}: {search:?}");
            assert!(results.said.contains("the budget has no room for more"), "{case}: {}", results.said);
        }
    }
}

/// Kills a run at random moments, and starts it again until it is done.
fn check_kills(program: &Program, kind: &str, max_calls: &str, kills: usize, seed: u64) {
    let options = ["--run", "run", "--optimizer", kind, "--max-calls", max_calls];
    let started = Instant::now();
    let (reference, books) = program.run(&options);
    let took = started.elapsed();
    *program.books.lock().unwrap() = Books::default();
    let folder = tempfile::tempdir().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut asked, mut kept, mut lost_in_all, mut bought) = (0, 0, 0, 0);
    for _ in 0..kills {
        let mut child = program.command(folder.path(), &options).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(took.mul_f64(random.random_range(0.1..0.7)));
        child.kill().unwrap();
        child.wait().unwrap();
        std::thread::sleep(ARRIVED);
        let journal = folder.path().join("run/journal.redb");
        let kept_now = if journal.exists() { Journal::open(journal).unwrap().replies_at_open() } else { 0 };
        let asked_now = program.requests();
        // What was asked since the last kill and is not kept was under way in this one.
        let lost = (asked_now - asked) - (kept_now - kept);
        assert!(lost <= CONCURRENCY as u64, "{kind}: {lost} completed calls were lost");
        bought += u64::from(kept_now > kept);
        lost_in_all += lost;
        (asked, kept) = (asked_now, kept_now);
    }
    assert!(bought > 0, "{kind}: it was always killed before it had bought anything");
    let results = Results::of(program.command(folder.path(), &options), folder.path());
    assert_eq!(results, reference, "{kind}");
    let whole: u64 = books.by_body.values().sum();
    assert_eq!(program.requests(), whole + lost_in_all, "{kind}: a completed call was paid twice");
    // A finished run says the same again, and asks nothing.
    let again = Results::of(program.command(folder.path(), &options), folder.path());
    assert_eq!((again, program.requests()), (results, whole + lost_in_all), "{kind}");
}

fn check_concurrency(program: &Program, max_calls: &str) {
    for kind in OPTIMIZERS {
        let run = |concurrency: &str| {
            let options = ["--run", "run", "--optimizer", kind, "--max-calls", max_calls, "--concurrency"];
            program.run(&[&options[..], &[concurrency]].concat())
        };
        let ((one, alone), (many, together)) = (run("1"), run("32"));
        assert_eq!(one, many, "{kind}");
        assert_eq!(alone.by_body, together.by_body, "{kind}");
        assert!(alone.by_body.values().all(|times| *times == 1), "{kind}: a request was made twice");
        assert!(one.candidates() > 1, "{kind}: nothing was tried");
    }
    assert!(program.server.peak() > 16, "{}", program.server.peak());
}

#[test]
fn the_books_of_the_agent_are_those_of_its_server() {
    let caps = [["--max-calls", "200"], ["--max-tokens", "70000"], ["--max-cost", "0.07"]];
    check_books(&Program::agent(), "gepa", caps);
}

#[test]
fn the_books_of_the_retrieval_are_those_of_its_server() {
    let caps = [["--max-calls", "320"], ["--max-tokens", "150000"], ["--max-cost", "0.2"]];
    check_books(&Program::retrieval(), "miprov2", caps);
}

#[test]
fn an_agent_that_is_killed_pays_nothing_twice() {
    let program = Program::agent();
    for (seed, kind) in OPTIMIZERS.into_iter().enumerate() {
        check_kills(&program, kind, "200", 3, seed as u64);
    }
}

#[test]
fn a_retrieval_that_is_killed_pays_nothing_twice() {
    let program = Program::retrieval();
    for (seed, kind) in OPTIMIZERS.into_iter().enumerate() {
        check_kills(&program, kind, "320", 3, seed as u64);
    }
}

#[test]
fn the_outcome_of_the_agent_is_the_same_at_any_concurrency() {
    check_concurrency(&Program::agent(), "200");
}

#[test]
fn the_outcome_of_the_retrieval_is_the_same_at_any_concurrency() {
    check_concurrency(&Program::retrieval(), "320");
}
