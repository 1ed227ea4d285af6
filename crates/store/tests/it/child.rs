//! What this test program does when another test starts it as a child process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use promptopt_core::lm::{LanguageModel, lm_fn};
use promptopt_store::{Cache, CacheMode, Redactor, RunDirectory, StoredModel, write_atomically};
use serde_json::json;

use crate::support::{Echo, MODEL, answer, ask, manifest, request};

/// Environment variable that says what the child is to do.
const TASK: &str = "PROMPTOPT_STORE_TEST_CHILD";
/// Environment variable that says where.
const PLACE: &str = "PROMPTOPT_STORE_TEST_PLACE";

/// How many requests a run makes.
pub(crate) const REQUESTS: usize = 1200;
/// How many of them are in flight at once.
const IN_FLIGHT: usize = 16;

/// A child process with its lines.
pub(crate) struct Started {
    pub(crate) child: Child,
    pub(crate) lines: BufReader<ChildStdout>,
}

/// Starts this program again, to do `task` in `place`.
pub(crate) fn start(task: &str, place: &Path) -> Started {
    spawn(Command::new(std::env::current_exe().unwrap()), task, place)
}

/// The same, where no file may become larger than `blocks` of 512 or 1024 bytes.
#[cfg(unix)]
pub(crate) fn start_limited(task: &str, place: &Path, blocks: u32) -> Started {
    let mut command = Command::new("sh");
    // Ignored, the signal becomes an error of the write.
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap());
    spawn(command, task, place)
}

fn spawn(mut command: Command, task: &str, place: &Path) -> Started {
    command.args(["child::entry", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(TASK, task).env(PLACE, place).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    Started { child, lines }
}

impl Started {
    /// Waits for a line.
    pub(crate) fn wait_for(&mut self, wanted: &str) {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if line.trim_end().ends_with(wanted) {
                return;
            }
            line.clear();
        }
        panic!("the child never said {wanted}");
    }

    /// Kills the child and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn say(line: String) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
fn entry() {
    let (Ok(task), Some(place)) = (std::env::var(TASK), std::env::var_os(PLACE)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let place = Path::new(&place);
    runtime.block_on(async {
        match task.as_str() {
            "run" => run(place).await,
            "hold" => hold(place).await,
            "cache" => fill_cache(place).await,
            "replace" => replace(place),
            other => panic!("unknown task {other}"),
        }
    });
}

/// A model that says which calls reach it.
fn told() -> impl LanguageModel {
    lm_fn(MODEL, |request| async move {
        say(format!("CALL {}", request.messages[0].text()));
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(answer(&request))
    })
}

/// Starts or resumes a run, and says which replies it was given.
async fn run(place: &Path) {
    let opened = if place.join("run.json").exists() {
        RunDirectory::open(place, Redactor::default())
    } else {
        RunDirectory::create(place, &manifest(1), Redactor::default())
    };
    let directory = opened.unwrap();
    directory.check(&manifest(1)).unwrap();
    let model = Arc::new(StoredModel::new(Arc::new(told()), Some(directory.journal().clone()), None));
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for _ in 0..IN_FLIGHT {
        let (model, next, events) = (Arc::clone(&model), Arc::clone(&next), directory.events().clone());
        workers.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= REQUESTS {
                    return;
                }
                let request = request(format!("request {number}"));
                match ask(&model, &request).await {
                    Ok(reply) => {
                        assert_eq!(reply, answer(&request));
                        say(format!("ACK request {number}"));
                        let _ = events.append(&json!({"event": "reply", "number": number}));
                    }
                    Err(error) => say(format!("ERROR fatal={} {error}", error.is_fatal())),
                }
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let _ = directory.write_result("outcome.json", &json!({"done": true}));
    say("DONE".to_owned());
}

/// Holds a run directory until it is killed.
async fn hold(place: &Path) {
    let _directory = RunDirectory::open(place, Redactor::default()).unwrap();
    say("HELD".to_owned());
    tokio::time::sleep(Duration::from_secs(600)).await;
}

/// Adds a hundred replies to a cache that others use at the same time.
async fn fill_cache(place: &Path) {
    let cache = Cache::open(place, CacheMode::ReadWrite, 1 << 30).unwrap();
    let model = StoredModel::new(Arc::new(Echo::default()), None, cache);
    say("READY".to_owned());
    for number in 0..100 {
        ask(&model, &request(format!("child {number}"))).await.unwrap();
    }
    say("DONE".to_owned());
}

/// Replaces a file again and again, until it is killed.
fn replace(place: &Path) {
    for letter in (b'a'..=b'z').cycle() {
        write_atomically(place.join("outcome.json"), &vec![letter; 300_000]).unwrap();
    }
}
