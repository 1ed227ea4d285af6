//! A fleet in one process, for tests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot};

use crate::error::Error;
use crate::protocol::JobId;
use crate::transport::{Coordinating, Lease, Leased, Question, Reply, Working};

/// A queue in memory that both ends share. A job whose lease is dropped goes back into the queue.
#[derive(Clone)]
pub struct LocalTransport(Arc<Inner>);

struct Inner {
    queue: Mutex<Queue>,
    changed: Notify,
    questions: mpsc::UnboundedSender<Question>,
    heard: AsyncMutex<mpsc::UnboundedReceiver<Question>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<JobId>,
    payloads: HashMap<JobId, (Bytes, u64)>,
}

impl Default for LocalTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalTransport {
    /// An empty queue.
    pub fn new() -> Self {
        let (questions, heard) = mpsc::unbounded_channel();
        Self(Arc::new(Inner {
            queue: Mutex::default(),
            changed: Notify::new(),
            questions,
            heard: AsyncMutex::new(heard),
        }))
    }

    /// How many jobs it holds, those that workers have included.
    pub fn len(&self) -> usize {
        self.0.with(|queue| queue.payloads.len())
    }

    /// Whether it holds no job.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loses all jobs, as a server does that forgets its storage.
    pub fn forget(&self) {
        self.0.with(|queue| *queue = Queue::default());
    }
}

impl Inner {
    fn with<T>(&self, work: impl FnOnce(&mut Queue) -> T) -> T {
        work(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Way(oneshot::Sender<Bytes>);

#[async_trait]
impl Reply for Way {
    async fn send(self: Box<Self>, answer: Bytes) {
        // Whoever asked may be gone.
        let _ = self.0.send(answer);
    }
}

#[async_trait]
impl Coordinating for LocalTransport {
    async fn offer(&self, job: &JobId, payload: Bytes) -> Result<bool, Error> {
        let is_new = self.0.with(|queue| {
            let is_new = !queue.payloads.contains_key(job);
            if is_new {
                queue.payloads.insert(job.clone(), (payload, 0));
                queue.waiting.push_back(job.clone());
            }
            is_new
        });
        self.0.changed.notify_one();
        Ok(is_new)
    }

    async fn withdraw(&self, job: &JobId) {
        self.0.with(|queue| queue.payloads.remove(job));
    }

    async fn clear(&self) {
        self.forget();
    }

    async fn next(&self) -> Option<Question> {
        self.0.heard.lock().await.recv().await
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(400)
    }
}

struct Held {
    inner: Arc<Inner>,
    job: JobId,
}

#[async_trait]
impl Lease for Held {
    async fn finish(self: Box<Self>) {
        self.inner.with(|queue| queue.payloads.remove(&self.job));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let is_open = self.inner.with(|queue| {
            let is_open = queue.payloads.contains_key(&self.job);
            if is_open {
                queue.waiting.push_back(self.job.clone());
            }
            is_open
        });
        if is_open {
            self.inner.changed.notify_one();
        }
    }
}

#[async_trait]
impl Working for LocalTransport {
    async fn take(&self) -> Result<Leased, Error> {
        loop {
            let changed = self.0.changed.notified();
            let taken = self.0.with(|queue| {
                while let Some(job) = queue.waiting.pop_front() {
                    if let Some((payload, deliveries)) = queue.payloads.get_mut(&job) {
                        *deliveries += 1;
                        let (payload, deliveries) = (payload.clone(), *deliveries);
                        let held = Held { inner: Arc::clone(&self.0), job };
                        return Some(Leased::new(payload, deliveries, Box::new(held)));
                    }
                }
                None
            });
            if let Some(leased) = taken {
                if self.0.with(|queue| !queue.waiting.is_empty()) {
                    self.0.changed.notify_one();
                }
                return Ok(leased);
            }
            changed.await;
        }
    }

    async fn ask(&self, _run: &str, payload: Bytes) -> Result<Bytes, Error> {
        let (sender, receiver) = oneshot::channel();
        let question = Question::new(std::future::ready(Some(payload)), Box::new(Way(sender)));
        self.0.questions.send(question).map_err(|_| Error::NoCoordinator)?;
        receiver.await.map_err(|_| Error::NoCoordinator)
    }
}
