//! The seam between the fleet and what carries its messages.

use std::future::Future;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::Error;
use crate::member::{Describe, Member};
use crate::protocol::JobId;

/// A question of a worker, with the way back.
#[non_exhaustive]
pub struct Question {
    /// What it asks, once it is there as a whole; `None` where it cannot be read.
    pub payload: BoxFuture<'static, Option<Bytes>>,
    /// Carries the answer.
    pub reply: Box<dyn Reply>,
}

impl Question {
    /// A question that is answered in a way.
    pub fn new(payload: impl Future<Output = Option<Bytes>> + Send + 'static, reply: Box<dyn Reply>) -> Self {
        Self { payload: payload.boxed(), reply }
    }
}

/// The way back to a worker that asks.
#[async_trait]
pub trait Reply: Send {
    /// Sends the answer. One that cannot be delivered is asked for again.
    async fn send(self: Box<Self>, answer: Bytes);
}

/// The coordinator's end.
#[async_trait]
pub trait Coordinating: Send + Sync {
    /// Puts a job into the queue, or makes sure that it is there. Says whether it was not.
    ///
    /// # Errors
    ///
    /// Where the queue cannot be reached. It is tried again.
    async fn offer(&self, job: &JobId, payload: Bytes) -> Result<bool, Error>;

    /// Takes a job out of the queue, if it is still there.
    async fn withdraw(&self, job: &JobId);

    /// Takes all jobs of the run out of the queue.
    async fn clear(&self);

    /// The next question of a worker; `None` when there will be none.
    async fn next(&self) -> Option<Question>;

    /// How the run is described to whoever asks.
    fn describe(&self, role: Describe) {
        let _ = role;
    }

    /// Workers that are there for this program, and the number of those that are there for another one; `None` where that is not
    /// known.
    async fn workers(&self) -> Option<(Vec<Member>, usize)> {
        None
    }

    /// Tells workers that the run is over.
    async fn say_over(&self) {}

    /// How long a worker may give no sign of life before a job goes to another one.
    fn lease(&self) -> std::time::Duration;
}

/// A job that a worker has for now. One that is dropped before it is finished goes to another worker.
#[non_exhaustive]
pub struct Leased {
    /// The job.
    pub payload: Bytes,
    /// How often it was given to a worker, this time included.
    pub deliveries: u64,
    lease: Box<dyn Lease>,
}

impl Leased {
    /// A job that is held by a lease.
    pub fn new(payload: Bytes, deliveries: u64, lease: Box<dyn Lease>) -> Self {
        Self { payload, deliveries, lease }
    }

    /// Takes it out of the queue, and waits until that is certain.
    pub async fn finish(self) {
        self.lease.finish().await;
    }
}

/// What holds a job for a worker, and gives it back when it is dropped.
#[async_trait]
pub trait Lease: Send {
    /// Takes the job out of the queue, and waits until that is certain.
    async fn finish(self: Box<Self>);
}

/// A worker's end.
#[async_trait]
pub trait Working: Send + Sync {
    /// Waits for one job. The lease on it is renewed for as long as it is held, whatever the worker computes.
    ///
    /// # Errors
    ///
    /// Where the queue cannot be reached and it makes no sense to go on.
    async fn take(&self) -> Result<Leased, Error>;

    /// Asks the coordinator of a run.
    ///
    /// # Errors
    ///
    /// [`Error::NoCoordinator`] where nobody is there to answer, and [`Error::NoAnswer`] where it takes long.
    async fn ask(&self, run: &str, payload: Bytes) -> Result<Bytes, Error>;

    /// Whether the coordinator of a run said that it is over.
    fn is_over(&self, run: &str) -> bool {
        let _ = run;
        false
    }

    /// How the worker is described to whoever asks.
    fn describe(&self, role: Describe) {
        let _ = role;
    }
}
