//! The handle by which clients share the limits of an endpoint, and the permits it gives.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Mutex as Turn, Notify};
use tracing::debug;

use super::adaptive::AdaptiveLimit;
use super::bucket::TokenBucket;
use super::concurrency::Concurrency;
use super::gate::{Gate, Ticket, Verdict};
use super::outcome::Outcome;
use crate::timer::SystemTimer;
use crate::{ConfigError, Timer};

/// What one endpoint is sent: so many requests at once, so many a minute, and nothing while the provider
/// wants to be left alone.
///
/// Clones share everything. Give one handle to every client of an endpoint (a task model and a prompt
/// model, say), and the limits hold for all of them together:
///
/// ```
/// use promptopt_lm::{ChatClient, Concurrency, RateControl};
///
/// # fn main() -> Result<(), promptopt_lm::ConfigError> {
/// let rate = RateControl::builder()
///     .concurrency(Concurrency::Fixed(4))
///     .requests_per_minute(500)
///     .tokens_per_minute(200_000)
///     .build()?;
/// let client = |model: &str| ChatClient::builder().model(model).rate_control(rate.clone()).build();
/// let (task, prompt) = (client("small")?, client("large")?);
/// assert_eq!(task.rate_control().limit(), 4);
/// # let _ = prompt;
/// # Ok(())
/// # }
/// ```
///
/// Requests wait in the order in which they came. A request that waits before a retry holds no place, and
/// one whose future is dropped gives its place back at once. What never reaches a client, such as a reply
/// from a store, does not count.
///
/// A wait that the provider asks for (`Retry-After` and its like) holds for every request of the endpoint,
/// not only for the one that was told.
#[derive(Clone)]
pub struct RateControl(Arc<Shared>);

struct Shared {
    gate: Mutex<Gate>,
    /// Held by the request that is next.
    turn: Turn<()>,
    /// Tells the request that is next to look again.
    changed: Notify,
    timer: Arc<dyn Timer>,
}

/// The right to have one request under way. Dropped, it is given back and tells nothing.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
}

#[bon::bon]
impl RateControl {
    /// Starts rate control for one endpoint; [`build`](RateControlBuilder::build) makes it.
    ///
    /// # Errors
    ///
    /// `build` returns [`ConfigError::Option`] for a limit that lets nothing through.
    #[builder]
    pub fn new(
        /// How many requests may be under way at once. Default: adaptive, from 8, between 1 and 64.
        #[builder(default)]
        concurrency: Concurrency,
        /// Requests in any 60 seconds, retries and hedges included. A twentieth of them (at least one) may
        /// come at once, the others evenly. Default: no limit.
        requests_per_minute: Option<u64>,
        /// Tokens in any 60 seconds, read and written. A request is charged before it is sent, by an
        /// estimate on the high side (a third of its bytes, and `max_tokens` or 512 for each completion),
        /// and settled to what its reply says. A twentieth of the allowance may come at once; a request
        /// larger than that goes when that much is there, and the next ones wait for the rest. Default: no
        /// limit.
        tokens_per_minute: Option<u64>,
        /// What tells the time and waits. Default [`SystemTimer`].
        clock: Option<Arc<dyn Timer>>,
    ) -> Result<Self, ConfigError> {
        let limit = AdaptiveLimit::new(concurrency.checked()?);
        let bucket = |option: &'static str, allowance: Option<u64>| match allowance {
            Some(0) => Err(ConfigError::option(option, "it is zero")),
            allowance => Ok(allowance.map(TokenBucket::per_minute)),
        };
        let requests = bucket("requests_per_minute", requests_per_minute)?;
        let tokens = bucket("tokens_per_minute", tokens_per_minute)?;
        Ok(Self(Arc::new(Shared {
            gate: Mutex::new(Gate::new(limit, requests, tokens)),
            turn: Turn::default(),
            changed: Notify::new(),
            timer: clock.unwrap_or_else(|| Arc::new(SystemTimer)),
        })))
    }
}

impl RateControl {
    /// How many requests may be under way at once, as of now.
    pub fn limit(&self) -> usize {
        self.0.with_gate(|gate| gate.concurrency.limit())
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> usize {
        self.0.with_gate(|gate| gate.concurrency.in_flight())
    }

    pub(crate) fn timer(&self) -> &Arc<dyn Timer> {
        &self.0.timer
    }

    /// Waits until a request of about `tokens` may be sent.
    ///
    /// # Errors
    ///
    /// How long the provider still wants to be left alone, when that is longer than `patience`.
    pub(crate) async fn acquire(&self, tokens: u64, patience: Duration) -> Result<Permit, Duration> {
        let shared = &*self.0;
        let _turn = shared.turn.lock().await;
        loop {
            let (now, verdict) = shared.start(tokens);
            let until = match verdict {
                Verdict::Go(ticket) => return Ok(self.permit(ticket)),
                Verdict::Closed(until) if until.saturating_sub(now) > patience => {
                    return Err(until.saturating_sub(now));
                }
                Verdict::Closed(until) | Verdict::Later(until) => Some(until),
                Verdict::Full => None,
            };
            // A change between the look at the gate and this wait is kept by the notification.
            let changed = pin!(shared.changed.notified());
            let Some(until) = until else {
                changed.await;
                continue;
            };
            let wait = until.saturating_sub(now);
            debug!(wait_ms = wait.as_millis() as u64, "rate control holds requests back");
            if let Either::Left(_) = select(shared.timer.sleep(wait), changed).await {
                // Time has passed, whatever the clock says.
                shared.with_gate(|gate| gate.at(until));
            }
        }
    }

    /// A permit for a request of about `tokens`, if one is to be had at once and nobody waits for it.
    pub(crate) fn try_acquire(&self, tokens: u64) -> Option<Permit> {
        let _turn = self.0.turn.try_lock().ok()?;
        match self.0.start(tokens).1 {
            Verdict::Go(ticket) => Some(self.permit(ticket)),
            _ => None,
        }
    }

    fn permit(&self, ticket: Ticket) -> Permit {
        Permit { shared: Arc::clone(&self.0), ticket: Some(ticket) }
    }
}

impl Shared {
    fn start(&self, tokens: u64) -> (Duration, Verdict) {
        let moment = self.timer.monotonic();
        self.with_gate(|gate| (gate.at(moment), gate.start(tokens)))
    }

    fn finish(&self, ticket: &Ticket, outcome: &Outcome) {
        let moment = self.timer.monotonic();
        let (before, after) = self.with_gate(|gate| {
            gate.at(moment);
            let before = gate.concurrency.limit();
            gate.finish(ticket, outcome);
            (before, gate.concurrency.limit())
        });
        if before != after {
            debug!(before, after, "another limit on concurrent requests");
        }
        self.changed.notify_one();
    }

    fn with_gate<T>(&self, work: impl FnOnce(&mut Gate) -> T) -> T {
        work(&mut self.gate.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Permit {
    /// Gives the permit back and says how the request ended.
    pub(crate) fn settle(mut self, outcome: &Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.finish(&ticket, outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.finish(&ticket, &Outcome::neutral());
        }
    }
}

impl fmt::Debug for RateControl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RateControl")
            .field("limit", &self.limit())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    const LIMIT: usize = 3;

    /// Takes a permit, keeps it for some turns of the scheduler, and gives it back in one way or the other.
    async fn use_permit(rate: RateControl, turns: usize, settles: bool, most: Arc<AtomicUsize>) {
        let permit = rate.acquire(1, Duration::MAX).await.unwrap();
        most.fetch_max(rate.in_flight(), Ordering::SeqCst);
        for _ in 0..turns {
            yield_now().await;
        }
        if settles {
            permit.settle(&Outcome::neutral());
        }
    }

    #[tokio::test]
    async fn whatever_is_dropped_and_when_no_place_is_lost() {
        for seed in 0..100 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let rate = RateControl::builder().concurrency(Concurrency::Fixed(LIMIT)).build().unwrap();
            let most = Arc::new(AtomicUsize::new(0));
            let mut tasks = JoinSet::new();
            let mut aborted = 0;
            for _ in 0..60 {
                let (turns, settles) = (rng.random_range(0..6), rng.random());
                let task = tasks.spawn(use_permit(rate.clone(), turns, settles, Arc::clone(&most)));
                for _ in 0..rng.random_range(0..3) {
                    yield_now().await;
                }
                if rng.random_bool(0.4) {
                    task.abort();
                    aborted += 1;
                }
            }
            let mut ended = 0;
            while let Some(result) = tasks.join_next().await {
                ended += usize::from(result.is_ok());
            }
            assert!(ended >= 60 - aborted, "seed {seed}");
            assert_eq!((rate.in_flight(), most.load(Ordering::SeqCst)), (0, LIMIT), "seed {seed}");
        }
    }

    /// A clock whose time never moves.
    #[derive(Debug)]
    struct DeadClock;

    #[async_trait::async_trait]
    impl Timer for DeadClock {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        async fn sleep(&self, _: Duration) {}
    }

    #[tokio::test]
    async fn a_wait_that_is_over_counts_even_where_the_clock_does_not_show_it() {
        let rate = RateControl::builder().requests_per_minute(1).clock(Arc::new(DeadClock)).build().unwrap();
        for _ in 0..5 {
            rate.acquire(1, Duration::ZERO).await.unwrap();
        }
    }

    #[tokio::test]
    async fn requests_go_in_the_order_in_which_they_came_and_a_hedge_does_not_jump_in() {
        let rate = RateControl::builder().concurrency(Concurrency::Fixed(1)).build().unwrap();
        let first = rate.acquire(1, Duration::ZERO).await.unwrap();
        assert!(rate.try_acquire(1).is_none());
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for number in 0..20 {
            let (rate, order) = (rate.clone(), Arc::clone(&order));
            tasks.spawn(async move {
                let _permit = rate.acquire(1, Duration::ZERO).await.unwrap();
                order.lock().unwrap().push(number);
            });
            yield_now().await;
        }
        drop(first);
        assert!(rate.try_acquire(1).is_none(), "others wait");
        tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert!(rate.try_acquire(1).is_some());
    }
}
