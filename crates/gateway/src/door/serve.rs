//! Processes that are started once and asked in lines of JSON.

#![expect(clippy::indexing_slicing, reason = "what is indexed is an object that was made here")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use promptopt_process::{CommandLine, Complaint, ProcessGroup};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdin;
use tokio::sync::{Mutex, oneshot};

use super::{Question, started};
use crate::{Error, Session, answer};

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
/// What is kept of the room for one.
const KEPT_LINE_BYTES: usize = 64 * 1024;

/// A command that is started once for each worker, and asked many questions at once. A question is a line of JSON on
/// standard input with `id`, `inputs`, `components`, `base_url` and `api_key`; its answer is a line on standard output with `id`
/// and `outputs` or `error`, in any order. A process that dies is started anew, and its open questions are asked once more: what
/// it asked for them already is answered with the same replies.
pub struct Serve {
    command: CommandLine,
    timeout: Duration,
    workers: Vec<Mutex<Option<Arc<Worker>>>>,
    next: AtomicUsize,
    ids: AtomicU64,
}

type Answer = Result<Map<String, Value>, Unanswered>;
/// Who waits for an answer, by its number, or why none comes any more.
type Waiting = Arc<Lock<Result<HashMap<u64, oneshot::Sender<Answer>>, Unanswered>>>;

/// One process.
struct Worker {
    stdin: Arc<Mutex<ChildStdin>>,
    waiting: Waiting,
    complaint: Arc<Lock<Complaint>>,
    /// Ends with the worker.
    _group: ProcessGroup,
}

/// Why no answer comes from a process.
#[derive(Clone, Copy)]
enum Unanswered {
    /// It is gone.
    Ended,
    /// It wrote too long a line.
    TooLong,
}

impl Serve {
    /// A command with one worker.
    pub fn new(command: CommandLine) -> Self {
        Self {
            command,
            timeout: Duration::from_secs(120),
            workers: vec![Mutex::default()],
            next: AtomicUsize::new(0),
            ids: AtomicU64::new(0),
        }
    }

    /// With so many processes. Default: 1.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = (0..workers.max(1)).map(|_| Mutex::default()).collect();
        self
    }

    /// With the longest time that one question may take. Default: 120 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<answer::Answer, Error> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let mut asked = question.to_json();
        let mut complaint = String::new();
        for _ in 0..2 {
            let worker = self.worker(place, question.session).await?;
            let id = self.ids.fetch_add(1, Ordering::Relaxed);
            asked["id"] = id.into();
            match self.answer(&worker, id, &asked).await {
                Some(Ok(heard)) => {
                    return question.heard(answer::of_object(heard, question.signature, false)?);
                }
                Some(Err(Unanswered::TooLong)) => {
                    self.forget(place, &worker).await;
                    let reason = format!(
                        "it wrote a line of more than {MAX_LINE_BYTES} bytes: answer in lines of JSON, and write logs to \
                         standard error"
                    );
                    return Err(Error::Answer { reason });
                }
                Some(Err(Unanswered::Ended)) => {
                    complaint = question.complaint(&worker.complaint);
                    self.forget(place, &worker).await;
                    question.session.ask_again();
                }
                None => {
                    // It may be stuck: the next question goes to another process, and this one ends with its others.
                    self.forget(place, &worker).await;
                    let complaint = question.complaint(&worker.complaint);
                    return Err(Error::Timeout { after: self.timeout, complaint });
                }
            }
        }
        Err(Error::Died { complaint })
    }

    /// The process at a place, started where there is none.
    async fn worker(&self, place: usize, session: &Session) -> Result<Arc<Worker>, Error> {
        let Some(slot) = self.workers.get(place) else {
            return Err(Error::Died { complaint: String::new() });
        };
        let mut slot = slot.lock().await;
        if let Some(worker) = &*slot {
            return Ok(Arc::clone(worker));
        }
        let variables = session.variables_without_key().map(|(name, value)| (name.to_owned(), value));
        let worker = Arc::new(Worker::start(&self.command.clone().with_variables(variables))?);
        *slot = Some(Arc::clone(&worker));
        Ok(worker)
    }

    /// Lets the next question start another process in the place of one that died.
    async fn forget(&self, place: usize, worker: &Arc<Worker>) {
        if let Some(slot) = self.workers.get(place) {
            let mut slot = slot.lock().await;
            if slot.as_ref().is_some_and(|known| Arc::ptr_eq(known, worker)) {
                *slot = None;
            }
        }
    }

    /// The answer to a question; `None` where the time is up.
    async fn answer(&self, worker: &Worker, id: u64, question: &Value) -> Option<Answer> {
        let (sender, receiver) = oneshot::channel();
        worker.wait_for(id, sender);
        let mut line = question.to_string();
        line.push('\n');
        let stdin = Arc::clone(&worker.stdin);
        // In a task, so that whoever stops waiting leaves no half of a line.
        let told = tokio::spawn(async move { stdin.lock().await.write_all(line.as_bytes()).await.is_ok() });
        let work = async {
            if told.await.unwrap_or(false) {
                receiver.await.unwrap_or(Err(Unanswered::Ended))
            } else {
                Err(Unanswered::Ended)
            }
        };
        let result = tokio::time::timeout(self.timeout, work).await;
        worker.stop_waiting(id);
        result.ok()
    }
}

impl Worker {
    fn start(command: &CommandLine) -> Result<Self, Error> {
        let mut group = started(command)?;
        let leader = group.leader();
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (leader.stdin.take(), leader.stdout.take(), leader.stderr.take())
        else {
            return Err(Error::Died { complaint: String::new() });
        };
        let waiting: Waiting = Arc::new(Lock::new(Ok(HashMap::new())));
        let complaint = Arc::new(Lock::default());
        tokio::spawn(hear(stdout, Arc::clone(&waiting)));
        let said = Arc::clone(&complaint);
        tokio::spawn(async move { Complaint::follow(stderr, &said).await });
        Ok(Self { stdin: Arc::new(Mutex::new(stdin)), waiting, complaint, _group: group })
    }

    fn wait_for(&self, id: u64, sender: oneshot::Sender<Answer>) {
        match &mut *lock(&self.waiting) {
            Ok(waiting) => drop(waiting.insert(id, sender)),
            // It is heard at once, unless the time is up.
            Err(flaw) => drop(sender.send(Err(*flaw))),
        }
    }

    fn stop_waiting(&self, id: u64) {
        if let Ok(waiting) = &mut *lock(&self.waiting) {
            waiting.remove(&id);
        }
    }
}

fn lock<T>(value: &Lock<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands the answers of a process to those who wait. At its end nobody waits any more.
async fn hear(stdout: impl AsyncRead + Unpin, waiting: Waiting) {
    let mut lines = BufReader::new(stdout);
    let (mut line, mut flaw) = (Vec::new(), Unanswered::Ended);
    loop {
        line.clear();
        // One long line is no reason to keep room for another.
        line.shrink_to(KEPT_LINE_BYTES);
        let mut bounded = (&mut lines).take(MAX_LINE_BYTES as u64 + 1);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(read) if read > MAX_LINE_BYTES => {
                flaw = Unanswered::TooLong;
                break;
            }
            Ok(_) => {}
        }
        // Other lines are logs.
        let Ok(answer) = serde_json::from_slice::<Map<String, Value>>(&line) else { continue };
        let Some(id) = answer.get("id").and_then(Value::as_u64) else { continue };
        let sender = lock(&waiting).as_mut().ok().and_then(|waiting| waiting.remove(&id));
        let Some(sender) = sender else { continue };
        // Whoever no longer waits was too slow.
        let _ = sender.send(Ok(answer));
    }
    let gone = std::mem::replace(&mut *lock(&waiting), Err(flaw));
    for (_, sender) in gone.into_iter().flatten() {
        // Whoever no longer waits need not know.
        let _ = sender.send(Err(flaw));
    }
}
