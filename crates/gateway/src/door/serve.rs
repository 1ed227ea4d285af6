//! Processes that are started once and asked in lines of JSON.

#![expect(clippy::indexing_slicing, reason = "what is indexed is an object that was made here")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use promptopt_core::data::{Fields, Prediction};
use promptopt_core::secret::Redactor;
use promptopt_core::signature::Signature;
use promptopt_process::{CommandLine, Complaint, ProcessGroup};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdin;
use tokio::sync::{Mutex, oneshot};

use super::question;
use crate::{Error, Session, answer};

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// A command that is started once for each worker, and asked many questions at once. A question is a line of JSON on
/// standard input with `id`, `inputs`, `components`, `base_url` and `api_key`; its answer is a line on standard output with `id`
/// and `outputs` or `error`, in any order. A process that dies is started anew, and its open questions are asked once more.
pub struct Serve {
    command: CommandLine,
    timeout: Duration,
    workers: Vec<Mutex<Option<Arc<Worker>>>>,
    next: AtomicUsize,
    ids: AtomicU64,
}

type Waiting = Arc<Lock<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>;

/// One process.
struct Worker {
    stdin: Mutex<ChildStdin>,
    waiting: Waiting,
    complaint: Arc<Lock<Complaint>>,
    /// Ends with the worker.
    _group: ProcessGroup,
}

/// Why a question got no answer.
enum Unanswered {
    /// The process is gone.
    Died,
    Other(Error),
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

    pub(crate) async fn ask(
        &self,
        session: &Session,
        inputs: &Fields,
        signature: &Signature,
        components: &Map<String, Value>,
    ) -> Result<Prediction, Error> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let asked = |id: u64| {
            let mut asked = question(session, inputs, components);
            asked["id"] = id.into();
            asked
        };
        let mut died = String::new();
        for _ in 0..2 {
            let worker = self.worker(place).await?;
            let id = self.ids.fetch_add(1, Ordering::Relaxed);
            match self.question(&worker, id, &asked(id)).await {
                Ok(Ok(outputs)) => return answer::of_value(outputs, signature),
                Ok(Err(said)) => return Err(Error::Said { said }),
                Err(Unanswered::Other(error)) => return Err(error),
                Err(Unanswered::Died) => {
                    died = worker.said(session);
                    self.forget(place, &worker).await;
                }
            }
        }
        Err(Error::Died { complaint: died })
    }

    /// The process at a place, started where there is none.
    async fn worker(&self, place: usize) -> Result<Arc<Worker>, Error> {
        let Some(slot) = self.workers.get(place) else {
            return Err(Error::Died { complaint: String::new() });
        };
        let mut slot = slot.lock().await;
        if let Some(worker) = &*slot {
            return Ok(Arc::clone(worker));
        }
        let worker = Arc::new(Worker::start(&self.command)?);
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

    async fn question(
        &self,
        worker: &Worker,
        id: u64,
        question: &Value,
    ) -> Result<Result<Value, String>, Unanswered> {
        let (sender, receiver) = oneshot::channel();
        worker.wait_for(id, sender);
        let mut line = question.to_string();
        line.push('\n');
        let work = async {
            let is_told = worker.stdin.lock().await.write_all(line.as_bytes()).await.is_ok();
            if !is_told {
                return Err(Unanswered::Died);
            }
            receiver.await.map_err(|_| Unanswered::Died)
        };
        let result = tokio::time::timeout(self.timeout, work).await;
        worker.stop_waiting(id);
        result.unwrap_or_else(|_| {
            Err(Unanswered::Other(Error::Timeout { after: self.timeout, complaint: String::new() }))
        })
    }
}

impl Worker {
    fn start(command: &CommandLine) -> Result<Self, Error> {
        let mut group =
            command.start().map_err(|source| Error::Start { program: command.to_string(), source })?;
        let leader = group.leader();
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (leader.stdin.take(), leader.stdout.take(), leader.stderr.take())
        else {
            return Err(Error::Died { complaint: String::new() });
        };
        let waiting = Waiting::default();
        let complaint = Arc::new(Lock::new(Complaint::default()));
        tokio::spawn(hear(stdout, Arc::clone(&waiting)));
        let said = Arc::clone(&complaint);
        tokio::spawn(async move {
            use tokio::io::AsyncReadExt as _;
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
                let bytes = buffer.get(..read).unwrap_or_default();
                said.lock().unwrap_or_else(PoisonError::into_inner).add(bytes);
            }
        });
        Ok(Self { stdin: Mutex::new(stdin), waiting, complaint, _group: group })
    }

    fn wait_for(&self, id: u64, sender: oneshot::Sender<Result<Value, String>>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
    }

    fn stop_waiting(&self, id: u64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// The last of what it said on standard error, without the key.
    fn said(&self, session: &Session) -> String {
        let redactor = Redactor::new([session.key().to_owned().into()]).strict();
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let said = complaint.said(|text| Cow::Owned(redactor.redact(text).into_owned()));
        if said.is_empty() { said } else { format!("; it said: {said}") }
    }
}

/// Hands the answers of a process to those who wait. At its end nobody waits any more.
async fn hear(stdout: impl AsyncRead + Unpin, waiting: Waiting) {
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        use tokio::io::AsyncReadExt as _;
        let mut bounded = (&mut lines).take(MAX_LINE_BYTES as u64 + 1);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(read) if read > MAX_LINE_BYTES => break,
            Ok(_) => {}
        }
        // Other lines are logs.
        let Ok(mut answer) = serde_json::from_slice::<Map<String, Value>>(&line) else { continue };
        let Some(id) = answer.get("id").and_then(Value::as_u64) else { continue };
        let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(sender) = sender else { continue };
        let said = match (answer.remove("error").filter(|error| !error.is_null()), answer.remove("outputs")) {
            (Some(error), _) => Err(promptopt_core::data::plain_text(&error)),
            (None, Some(outputs)) => Ok(outputs),
            (None, None) => Err("its answer has neither `outputs` nor `error`".to_owned()),
        };
        // Whoever no longer waits was too slow.
        let _ = sender.send(said);
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
