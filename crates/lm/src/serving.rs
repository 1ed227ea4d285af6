//! What a client does where nobody says otherwise: while it optimizes, and while it serves.

use std::time::Duration;

use crate::{AdaptiveConcurrency, Concurrency};

/// Defaults of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_silence: Duration,
    pub(crate) deadline: Option<Duration>,
    pub(crate) max_queue_wait: Option<Duration>,
    pub(crate) max_retries: u32,
    pub(crate) backoff_base: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) max_retry_after: Duration,
    pub(crate) concurrency: AdaptiveConcurrency,
}

impl Defaults {
    /// For work that nobody waits for: patient, and careful at first.
    pub(crate) fn optimizing() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
            max_silence: Duration::from_secs(60),
            deadline: None,
            max_queue_wait: None,
            max_retries: 5,
            backoff_base: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(600),
            concurrency: AdaptiveConcurrency::default(),
        }
    }

    /// For requests of users. Two retries are what the SDKs of OpenAI (`max_retries` 2) and AWS (three attempts) make.
    /// Their waits are longer than a user's patience: 8 s between attempts and 60 s for `Retry-After` at OpenAI, 20 s at
    /// AWS. That a request is shed when there is no room, and not queued, is what `tower` offers as `load_shed`.
    pub(crate) fn serving() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(30),
            max_silence: Duration::from_secs(15),
            deadline: Some(Duration::from_secs(45)),
            max_queue_wait: Some(Duration::from_secs(1)),
            max_retries: 2,
            backoff_base: Duration::from_millis(250),
            backoff_max: Duration::from_secs(2),
            max_retry_after: Duration::from_secs(5),
            // Half of the files that a process may usually open (1024); the other half are the users' connections.
            concurrency: AdaptiveConcurrency {
                initial: 512,
                min: 4,
                max: 512,
                cool_down: Duration::from_secs(1),
            },
        }
    }

    /// How many requests may be under way at once.
    pub(crate) fn concurrency(&self) -> Concurrency {
        Concurrency::Adaptive(self.concurrency)
    }
}
