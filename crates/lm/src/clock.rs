//! Time, as the client sees it: replaceable, so that tests of long waits do not wait.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

/// Where the client takes the time of day from, and how it waits between two attempts.
///
/// Timeouts on a request in flight always run on the real clock.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day. Read to turn a `Retry-After` date into a wait when the reply has no `Date`.
    fn now(&self) -> SystemTime;

    /// Waits before the next attempt.
    async fn sleep(&self, duration: Duration);
}

/// The system's time of day and the timer of the tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
