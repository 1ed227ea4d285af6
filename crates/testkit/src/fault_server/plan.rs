//! What goes wrong, how often, and which hidden limits there are.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use promptopt_core::data::ContentHash;

/// One way in which an endpoint fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// HTTP 429 with `Retry-After` in whole seconds.
    RetryAfterSeconds,
    /// HTTP 429 with `Retry-After` as a date; every other one has a `Date` beside it.
    RetryAfterDate,
    /// HTTP 429 with `retry-after-ms`.
    RetryAfterMilliseconds,
    /// HTTP 429 with `retryDelay` in a body as Google writes it.
    RetryDelay,
    /// HTTP 500.
    InternalError,
    /// HTTP 503; the body never ends for some.
    Unavailable,
    /// The connection is closed or reset: before the reply, within its head or within its body.
    Cut,
    /// The reply does not begin for [`FaultPlan::stall`].
    SlowFirstByte,
    /// Half of the reply comes, and nothing more for [`FaultPlan::stall`].
    SlowBody,
    /// HTTP 200 with half of the JSON.
    TruncatedJson,
    /// HTTP 200 with a web page.
    WebPage,
    /// HTTP 200 with a body that goes on until the client hangs up.
    EndlessBody,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::RetryAfterSeconds,
        Self::RetryAfterDate,
        Self::RetryAfterMilliseconds,
        Self::RetryDelay,
        Self::InternalError,
        Self::Unavailable,
        Self::Cut,
        Self::SlowFirstByte,
        Self::SlowBody,
        Self::TruncatedJson,
        Self::WebPage,
        Self::EndlessBody,
    ];

    /// The four in which the server asks to be left alone.
    pub const ASKING: [Self; 4] =
        [Self::RetryAfterSeconds, Self::RetryAfterDate, Self::RetryAfterMilliseconds, Self::RetryDelay];

    /// Whether the status says that the request was refused, so that no provider bills it.
    pub fn is_refusal(self) -> bool {
        Self::ASKING.contains(&self) || matches!(self, Self::InternalError | Self::Unavailable)
    }
}

/// What a [`FaultServer`](super::FaultServer) does wrong.
///
/// Which fault meets a request depends on the seed, the bytes of the request and how often it came before, and
/// on nothing else. So a run meets the same faults in whatever order its requests come.
#[derive(Clone)]
pub struct FaultPlan {
    pub(super) seed: u64,
    pub(super) faults: Vec<(Fault, f64)>,
    pub(super) most_in_a_row: u32,
    pub(super) asked_wait: Duration,
    pub(super) stall: Duration,
    pub(super) latency: Duration,
    pub(super) concurrency: Option<usize>,
    pub(super) rate: Option<(usize, Duration)>,
    pub(super) time_of_day: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl FaultPlan {
    /// No faults and no limits.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            faults: Vec::new(),
            most_in_a_row: 2,
            asked_wait: Duration::from_secs(2),
            stall: Duration::from_secs(60),
            latency: Duration::ZERO,
            concurrency: None,
            rate: None,
            time_of_day: Arc::new(SystemTime::now),
        }
    }

    /// These faults for a share of all requests, from 0 to 1, which they divide evenly.
    #[must_use]
    pub fn with(mut self, faults: impl IntoIterator<Item = Fault>, share: f64) -> Self {
        let faults: Vec<_> = faults.into_iter().collect();
        let each = share / faults.len().max(1) as f64;
        self.faults.extend(faults.into_iter().map(|fault| (fault, each)));
        self
    }

    /// How often the same request may meet a fault before it is answered. Default 2. Hidden limits do not count.
    #[must_use]
    pub fn most_in_a_row(mut self, most: u32) -> Self {
        self.most_in_a_row = most;
        self
    }

    /// How long a 429 asks to wait; whole seconds and dates are rounded up. Default 2 s.
    #[must_use]
    pub fn asked_wait(mut self, wait: Duration) -> Self {
        self.asked_wait = wait;
        self
    }

    /// How long a slow reply pauses, unless the client hangs up sooner; then the rest of it comes. Default 60 s.
    #[must_use]
    pub fn stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// How long every reply takes at least. Default none.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Refuses a request (HTTP 429, no wait asked for) while so many are being answered.
    #[must_use]
    pub fn hidden_concurrency(mut self, limit: usize) -> Self {
        self.concurrency = Some(limit);
        self
    }

    /// Refuses a request (HTTP 429, `Retry-After` in whole seconds) when so many were let through within
    /// `window`.
    #[must_use]
    pub fn hidden_rate(mut self, requests: usize, window: Duration) -> Self {
        self.rate = Some((requests, window));
        self
    }

    /// What tells the time for `Retry-After`, `Date`, the hidden rate and the log, so that a test can keep the
    /// time. Default: the system's clock. Latency and stalls are always real.
    #[must_use]
    pub fn time_of_day(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.time_of_day = Arc::new(now);
        self
    }

    /// The fault that the request of this content meets when it comes for the given time.
    pub(super) fn fault(&self, content: ContentHash, times_before: u64) -> Option<Fault> {
        let mut draw = share(self.draw(content, times_before));
        for (fault, share) in &self.faults {
            if draw < *share {
                return Some(*fault);
            }
            draw -= share;
        }
        None
    }

    /// A number that decides between the variants of one fault.
    pub(super) fn variant(&self, content: ContentHash, times_before: u64) -> u64 {
        let draw = self.draw(content, times_before);
        ContentHash::join([draw.as_bytes(), b"variant"]).as_u64()
    }

    fn draw(&self, content: ContentHash, times_before: u64) -> ContentHash {
        ContentHash::join([&self.seed.to_le_bytes(), content.as_bytes(), &times_before.to_le_bytes()])
    }
}

/// A number from 0 to 1.
fn share(hash: ContentHash) -> f64 {
    (hash.as_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FaultPlan")
            .field("seed", &self.seed)
            .field("faults", &self.faults)
            .field("concurrency", &self.concurrency)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_comes_as_often_as_planned_and_the_seed_moves_them() {
        let plan = FaultPlan::new(1).with(Fault::ALL, 0.6).with([Fault::Cut], 0.1);
        let contents: Vec<_> = (0..20_000_u64).map(|number| ContentHash::of(&number)).collect();
        let met: Vec<_> = contents.iter().map(|content| plan.fault(*content, 0)).collect();
        let share = |wanted: Option<Fault>| {
            met.iter().filter(|fault| **fault == wanted).count() as f64 / met.len() as f64
        };
        for fault in Fault::ALL {
            let planned = if fault == Fault::Cut { 0.15 } else { 0.05 };
            assert!((share(Some(fault)) - planned).abs() < 0.01, "{fault:?}: {}", share(Some(fault)));
        }
        assert!((share(None) - 0.3).abs() < 0.015);
        let again: Vec<_> = contents.iter().map(|content| plan.fault(*content, 1)).collect();
        let other = FaultPlan { seed: 2, ..plan.clone() };
        let of_other: Vec<_> = contents.iter().map(|content| other.fault(*content, 0)).collect();
        assert!(met != again && met != of_other);
    }
}
