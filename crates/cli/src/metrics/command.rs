//! A metric in any language: a program that is asked in JSON lines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use promptopt_core::data::{Example, Prediction, Score, shorten};
use promptopt_core::program::{CallContext, Metric};
use promptopt_process::{Complaint, ProcessGroup};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdin;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use super::answer;
use crate::secrets::clean_strictly;
use crate::user_command::UserCommand;

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// Asks one process that is kept alive: `{"id", "example", "prediction"}` goes in on a line, and
/// `{"id", "score", "feedback"?, "objectives"?}` comes back, in any order. A process that ended is
/// started again for the next question.
pub(super) struct CommandMetric {
    command: UserCommand,
    running: AsyncMutex<Option<Running>>,
    next: std::sync::atomic::AtomicU64,
}

struct Running {
    stdin: ChildStdin,
    shared: Arc<Shared>,
    /// Dropping it ends the process, and those that it started.
    _group: ProcessGroup,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<u64, oneshot::Sender<Result<Score, NoAnswer>>>,
    /// Answers so far, those included that nobody waited for.
    answered: u64,
    ended: bool,
    stderr: Complaint,
}

/// Why a question got no answer.
#[derive(Debug)]
enum NoAnswer {
    /// The process ended, or wrote what is no answer at all. Whose fault it was is not known.
    Ended(String),
    /// What the process said of this one.
    Said(String),
}

impl CommandMetric {
    pub(super) fn new(command: UserCommand) -> Self {
        Self { command, running: AsyncMutex::default(), next: std::sync::atomic::AtomicU64::new(1) }
    }

    fn start(&self) -> anyhow::Result<Running> {
        let mut group = self.command.start().context("the metric")?;
        let child = group.leader();
        let stdin = child.stdin.take().context("the metric has no standard input")?;
        let stdout = child.stdout.take().context("the metric has no standard output")?;
        let stderr = child.stderr.take().context("the metric has no standard error")?;
        let shared = Arc::new(Shared::default());
        let complaints = tokio::spawn(collect(stderr, Arc::clone(&shared)));
        tokio::spawn(listen(stdout, Arc::clone(&shared), complaints));
        Ok(Running { stdin, shared, _group: group })
    }

    /// Asks a process about a prediction.
    async fn answer(
        &self,
        process: &AsyncMutex<Option<Running>>,
        example: &Example,
        prediction: &Prediction,
    ) -> Result<Score, NoAnswer> {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let question = json!({"id": id, "example": example.fields(), "prediction": prediction.fields()});
        let mut before = None;
        let exchange = async {
            let (answer, answered) = self.ask(process, id, &format!("{question}\n")).await?;
            before = Some(answered);
            anyhow::Ok(answer.await)
        };
        match tokio::time::timeout(self.command.timeout, exchange).await {
            Ok(Ok(Ok(answer))) => answer,
            Ok(Ok(Err(_))) => Err(NoAnswer::Ended("the metric's process ended".to_owned())),
            Ok(Err(error)) => Err(NoAnswer::Said(format!("{error:#}"))),
            Err(_) => {
                let mut process = process.lock().await;
                let answered = process.as_ref().map_or(0, |running| {
                    running.shared.with(|state| {
                        state.waiting.remove(&id);
                        state.answered
                    })
                });
                // A process that is stuck would hold up every further question, too. One that answered others since
                // only left this one out, or gave it a wrong id.
                if before.is_none_or(|before| before == answered) {
                    *process = None;
                }
                Err(NoAnswer::Said(format!("no answer within {} s", self.command.timeout.as_secs_f64())))
            }
        }
    }

    /// Sends a question, to a new process where the last one ended. Says how many answers there were before.
    async fn ask(
        &self,
        process: &AsyncMutex<Option<Running>>,
        id: u64,
        line: &str,
    ) -> anyhow::Result<(oneshot::Receiver<Result<Score, NoAnswer>>, u64)> {
        let mut running = process.lock().await;
        if running.as_ref().is_none_or(|running| running.shared.with(|state| state.ended)) {
            *running = Some(self.start()?);
        }
        let process = running.as_mut().context("the metric did not start")?;
        let (sender, receiver) = oneshot::channel();
        let shared = Arc::clone(&process.shared);
        let answered = shared.with(|state| {
            // What ended in this very moment drops the sender, and the answer says so.
            if !state.ended {
                state.waiting.insert(id, sender);
            }
            state.answered
        });
        // A process that reads no more has ended, or will; its reader says why.
        let _ = process.stdin.write_all(line.as_bytes()).await;
        let _ = process.stdin.flush().await;
        Ok((receiver, answered))
    }
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells everybody who waits that nothing more will come.
    fn end(&self, why: &str) {
        self.with(|state| {
            state.ended = true;
            let stderr = state.stderr.said(clean_strictly);
            let why = match stderr.is_empty() {
                true => why.to_owned(),
                false => format!("{why}; it said: {}", stderr.lines().last().unwrap_or_default()),
            };
            for (_, sender) in state.waiting.drain() {
                let _ = sender.send(Err(NoAnswer::Ended(why.clone())));
            }
        });
    }
}

async fn collect(mut stderr: tokio::process::ChildStderr, shared: Arc<Shared>) {
    let mut buffer = [0; 4096];
    while let Ok(read) = stderr.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        shared.with(|state| state.stderr.add(bytes));
    }
}

async fn listen(
    stdout: tokio::process::ChildStdout,
    shared: Arc<Shared>,
    complaints: tokio::task::JoinHandle<()>,
) {
    let mut reader = BufReader::new(stdout);
    let why = loop {
        let mut line = Vec::new();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) => break "the metric's process ended".to_owned(),
            Err(error) => break format!("reading from the metric failed: {error}"),
            Ok(_) if !line.ends_with(b"\n") && line.len() as u64 == MAX_LINE => {
                break format!("the metric wrote a line of more than {MAX_LINE} bytes");
            }
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        match answer::read(text.trim()) {
            Some((id, said)) => {
                // An answer that nobody waits for any more came too late, or has a wrong id.
                let sender = shared.with(|state| {
                    state.answered += 1;
                    state.waiting.remove(&id)
                });
                let _ = sender.map(|sender| sender.send(said.map_err(NoAnswer::Said)));
            }
            None => {
                break format!(
                    "the metric wrote a line that is no answer: {}; an answer is {{\"id\": 1, \"score\": 0.5}}, and \
                     everything else belongs on standard error",
                    shorten(text.trim(), 200)
                );
            }
        }
    };
    // What the process complained of comes through another pipe, perhaps a little later.
    let _ = tokio::time::timeout(Duration::from_millis(500), complaints).await;
    shared.end(&why);
}

#[async_trait]
impl Metric for CommandMetric {
    async fn score(
        &self,
        _context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        // What the program complains of is a message, and may repeat keys that only it knows.
        let said = |why: String| anyhow!("{}", clean_strictly(&format!("`{}`: {why}", self.command.name())));
        match self.answer(&self.running, example, prediction).await {
            Ok(score) => Ok(score),
            Err(NoAnswer::Said(why)) => Err(said(why)),
            // Another question may have ended the process. So this one is asked again, alone in a process of its own.
            Err(NoAnswer::Ended(_)) => match self.answer(&AsyncMutex::default(), example, prediction).await {
                Ok(score) => Ok(score),
                Err(NoAnswer::Said(why) | NoAnswer::Ended(why)) => Err(said(why)),
            },
        }
    }
}
