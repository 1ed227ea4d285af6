//! Time, as the client sees it: replaceable, so that tests of long waits do not wait.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::Instant;

/// Where client and rate control take the time from, and how they wait.
///
/// Timeouts on a request in flight always run on the real clock.
#[async_trait]
pub trait Timer: fmt::Debug + Send + Sync {
    /// The time of day. Read to turn a `Retry-After` date into a wait when the reply has no `Date`.
    fn now(&self) -> SystemTime;

    /// The time since some moment that stays the same, for rate control. By default that of the time of
    /// day; a clock whose time of day can be set should have another.
    fn monotonic(&self) -> Duration {
        self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// Waits before the next attempt.
    async fn sleep(&self, duration: Duration);
}

/// The system's clocks and the timer of the tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTimer;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[async_trait]
impl Timer for SystemTimer {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        START.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
