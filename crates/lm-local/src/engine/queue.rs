//! Requests on their way to the workers.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use promptopt_core::lm::{LmError, LmReply, LmRequest, Message, Role};
use tokio::sync::oneshot;

/// How often a request may be passed over for one whose shared part a worker knows.
const PATIENCE: u32 = 64;

#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: LmRequest,
    pub(super) affinity: u64,
    pub(super) reply: oneshot::Sender<Result<LmReply, LmError>>,
    passed_over: u32,
}

impl Job {
    pub(super) fn new(request: LmRequest, reply: oneshot::Sender<Result<LmReply, LmError>>) -> Self {
        Self { affinity: affinity(&request.messages), request, reply, passed_over: 0 }
    }
}

/// A hash of all that comes before the last user message.
fn affinity(messages: &[Message]) -> u64 {
    let shared = messages.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
    let mut hasher = DefaultHasher::new();
    messages.get(..shared).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    arrived: Condvar,
    closed: AtomicBool,
}

impl Queue {
    /// False when the queue is closed; the job is dropped then, and its sender with it.
    pub(super) fn push(&self, job: Job) -> bool {
        let mut jobs = self.lock();
        if self.is_closed() {
            return false;
        }
        jobs.push_back(job);
        drop(jobs);
        self.arrived.notify_one();
        true
    }

    /// Waits for a job: the oldest one whose affinity is known, else the oldest. `None` when the
    /// queue is closed. Which worker takes which job never shows in a reply.
    pub(super) fn take(&self, known: impl Fn(u64) -> bool) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if self.is_closed() {
                return None;
            }
            // Requests nobody waits for any more are dropped here.
            jobs.retain(|job| !job.reply.is_closed());
            if !jobs.is_empty() {
                break;
            }
            jobs = self.arrived.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        let waited = jobs.front().is_some_and(|job| job.passed_over >= PATIENCE);
        let index = if waited { None } else { jobs.iter().position(|job| known(job.affinity)) };
        let index = index.unwrap_or(0);
        if index > 0
            && let Some(front) = jobs.front_mut()
        {
            front.passed_over += 1;
        }
        jobs.remove(index)
    }

    /// Ends it all: workers stop after the token they are at, waiting requests get an error.
    pub(super) fn close(&self) {
        let mut jobs = self.lock();
        self.closed.store(true, Ordering::Relaxed);
        let dropped = std::mem::take(&mut *jobs);
        drop(jobs);
        drop(dropped);
        self.arrived.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<LmReply, LmError>>;

    fn push(queue: &Queue, system: &str, user: &str) -> Answer {
        let (reply, answer) = oneshot::channel();
        let request = LmRequest::new(vec![Message::system(system), Message::user(user)]);
        assert!(queue.push(Job::new(request, reply)));
        answer
    }

    fn text(job: Option<Job>) -> String {
        job.expect("a job").request.messages[1].text().to_owned()
    }

    #[test]
    fn known_shared_parts_go_first_and_others_in_order() {
        let queue = Queue::default();
        let _answers = [push(&queue, "a", "1"), push(&queue, "b", "2"), push(&queue, "b", "3")];
        let b = affinity(&[Message::system("b"), Message::user("whatever")]);
        assert_eq!(text(queue.take(|affinity| affinity == b)), "2");
        assert_eq!(text(queue.take(|_| false)), "1");
        assert_eq!(text(queue.take(|_| false)), "3");
    }

    #[test]
    fn nobody_is_passed_over_for_ever() {
        let queue = Queue::default();
        let _first = push(&queue, "a", "patient");
        let b = affinity(&[Message::system("b"), Message::user("")]);
        for _ in 0..PATIENCE {
            let _answer = push(&queue, "b", "pushy");
            assert_eq!(text(queue.take(|affinity| affinity == b)), "pushy");
        }
        let _answer = push(&queue, "b", "pushy");
        assert_eq!(text(queue.take(|affinity| affinity == b)), "patient");
    }

    #[test]
    fn what_nobody_waits_for_is_dropped_and_closing_ends_the_rest() {
        let queue = Queue::default();
        drop(push(&queue, "a", "gone"));
        let mut kept = push(&queue, "a", "kept");
        let mut waiting = push(&queue, "a", "waiting");
        assert_eq!(text(queue.take(|_| false)), "kept");
        assert!(kept.try_recv().is_err());
        queue.close();
        assert!(queue.take(|_| false).is_none());
        assert_eq!(waiting.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
