//! The ledger: the one place that keeps a budget.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event_listener::{Event as Signal, EventListener};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use promptopt_core::lm::ModelProfile;
use promptopt_core::money::{Budget, Limit, Price, Prices, Usage};

use crate::{Clock, SystemClock};

/// Keeps a [`Budget`]. Before a request leaves, the most it may cost is reserved; when it is over, what it
/// did cost is put in its place. So however many requests are under way, they never overshoot together.
///
/// Which requests leave is decided in the order of a batch's rollouts, see
/// [`RolloutRunner`](crate::RolloutRunner). A reply that does not
/// say what it cost, and a request that failed or was given up after it may have been answered, count with
/// all that was reserved for them.
pub struct Ledger {
    budget: Budget,
    prices: Prices,
    clock: Arc<dyn Clock>,
    started: Duration,
    /// Completes when the time in force is up.
    expiry: Mutex<Option<Shared<BoxFuture<'static, ()>>>>,
    books: Mutex<Books>,
    changed: Signal,
}

/// What is spent and reserved.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The limits in force: those of the run, or tighter ones for a part of it.
    budget: Budget,
    pub(crate) spent: Usage,
    pub(crate) reserved: Usage,
    /// Rollouts of the program that were made.
    rollouts: u64,
    /// Rollouts that hold a reservation and can go on by themselves.
    pub(crate) running: usize,
    /// The most that was reserved for one request.
    largest: Usage,
    /// The limit that was met first.
    exhausted: Option<Limit>,
    /// Whether a reply did not tell all of its tokens.
    pub(crate) untold: bool,
    /// Each `max_tokens` that was added to requests that had none, and how many replies were cut off there.
    pub(crate) added: BTreeMap<u32, u64>,
}

impl Books {
    /// The limit that has no room for so much beside all that is spent and reserved.
    pub(crate) fn no_room_for(&self, cost: Usage) -> Option<Limit> {
        (self.spent + self.reserved + cost).beyond(&self.budget)
    }

    /// The limit that has no room for so much whatever is given back.
    pub(crate) fn never_room_for(&self, cost: Usage) -> Option<Limit> {
        (self.spent + cost).beyond(&self.budget)
    }

    /// Whether no limit counts any of this.
    pub(crate) fn is_unlimited(&self, cost: Usage) -> bool {
        cost.parts(&self.budget).all(|(_, amount, _)| amount == 0)
    }

    pub(crate) fn reserve(&mut self, cost: Usage) {
        self.reserved += cost;
    }

    pub(crate) fn release(&mut self, cost: Usage) {
        self.reserved = self.reserved.saturating_sub(cost);
    }

    pub(crate) fn note_request(&mut self, bound: Usage) {
        self.largest = self.largest.max(bound);
    }

    pub(crate) fn note_exhausted(&mut self, limit: Limit) {
        self.exhausted.get_or_insert(limit);
    }
}

impl Ledger {
    /// A ledger with nothing spent, on the system's clock, which starts now.
    pub fn new(budget: Budget) -> Self {
        Self::with(budget, Prices::new(), Arc::new(SystemClock::default()))
    }

    /// The same with prices that go before those the models know of themselves, and with another clock.
    pub fn with(budget: Budget, prices: Prices, clock: Arc<dyn Clock>) -> Self {
        let started = clock.now();
        Self {
            expiry: Mutex::new(budget.wall_time.map(|time| clock.sleep(time).shared())),
            books: Mutex::new(Books { budget, ..Books::default() }),
            budget,
            prices,
            clock,
            started,
            changed: Signal::new(),
        }
    }

    /// The budget it keeps.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Whether calls, tokens or money are limited.
    pub fn is_limited(&self) -> bool {
        self.budget.limits_spending()
    }

    /// What a model's tokens cost, where that is known.
    pub fn price_of(&self, model: &ModelProfile) -> Option<Price> {
        model.price_in(&self.prices)
    }

    /// Calls spent so far.
    pub fn spent(&self) -> u64 {
        self.spending().calls
    }

    /// Everything spent so far. May be more than replies say, see [`Ledger`].
    pub fn spending(&self) -> Usage {
        self.with_books(|books| books.spent)
    }

    /// Rollouts of the program made so far.
    pub fn rollouts(&self) -> u64 {
        self.with_books(|books| books.rollouts)
    }

    /// Rollouts of the program that may still be made; `None` where their number is not limited.
    pub fn remaining_rollouts(&self) -> Option<u64> {
        self.with_books(|books| Some(books.budget.rollouts?.saturating_sub(books.rollouts)))
    }

    pub(crate) fn note_rollout(&self) {
        self.with_books(|books| books.rollouts += 1);
    }

    /// Puts tighter limits in force for a part of the run, in place of those that were there; limits of the run
    /// itself hold as well. What the part may spend is counted from the beginning of the run.
    pub fn restrict(&self, limits: Budget) {
        let limits = self.budget.tightest(limits);
        let before = self.with_books(|books| {
            // What had no room in another part may have it in this one.
            books.exhausted = None;
            std::mem::replace(&mut books.budget, limits).wall_time
        });
        if limits.wall_time != before {
            let left = |time: Duration| time.saturating_sub(self.elapsed());
            let expiry = limits.wall_time.map(|time| self.clock.sleep(left(time)).shared());
            *self.expiry.lock().unwrap_or_else(PoisonError::into_inner) = expiry;
        }
    }

    /// What may be spent now: the limits in force.
    pub fn limits(&self) -> Budget {
        self.with_books(|books| books.budget)
    }

    /// What is reserved for requests under way, and for those that their rollouts may still make.
    pub fn reserved(&self) -> Usage {
        self.with_books(|books| books.reserved)
    }

    /// Calls that are neither spent nor reserved; `None` without a limit of calls, tokens or money. What
    /// is left of tokens and money counts in calls that cost what those so far did on average, and the
    /// largest request so far is left out, because it must fit whole before it leaves.
    pub fn remaining(&self) -> Option<u64> {
        self.with_books(|books| {
            let used = books.spent + books.reserved;
            calls_left(&books.budget, used, books.spent, books.largest)
        })
    }

    /// The same with what calls of one kind have cost, and the largest of them.
    pub(crate) fn remaining_by(&self, spent: Usage, largest: Usage) -> Option<u64> {
        let (used, budget) = self.with_books(|books| (books.spent + books.reserved, books.budget));
        calls_left(&budget, used, spent, largest)
    }

    /// The limit that ended the run: the first that had no room for something. `None` where none did.
    pub fn exhausted(&self) -> Option<Limit> {
        self.with_books(|books| books.exhausted)
    }

    /// The limit of which the largest part is used, for a run that ended because a plan had no room.
    pub fn tightest(&self) -> Option<Limit> {
        let used = self.with_books(|books| books.spent + books.reserved);
        let share = |amount: u64, limit: u64| amount as f64 / limit.max(1) as f64;
        let parts = used.parts(&self.budget);
        let parts = parts.map(|(name, amount, limit)| (name, share(amount, limit)));
        let time = self.budget.wall_time.map(|limit| {
            (Limit::WallTime, self.elapsed().as_secs_f64() / limit.as_secs_f64().max(f64::MIN_POSITIVE))
        });
        parts.chain(time).max_by(|one, other| one.1.total_cmp(&other.1)).map(|(name, _)| name)
    }

    /// What is to be known of tokens that replies did not tell; `None` where they told all of them.
    pub(crate) fn untold(&self) -> Option<&'static str> {
        let is_untold = self.with_books(|books| books.untold);
        is_untold.then(|| match self.budget.limits_requests() {
            true => {
                "the server does not tell how many tokens its replies take, or not of all of them: where it does not, \
                 the most that was reserved for the reply was booked, so the budget lasts for less than the tokens \
                 that are counted here"
            }
            false => {
                "the server does not tell how many tokens its replies take, or not of all of them, so the tokens that \
                 are counted here are too few"
            }
        })
    }

    /// What is to be known of the `max_tokens` that was added to requests that had none.
    pub(crate) fn added(&self) -> Vec<String> {
        let added = self.with_books(|books| books.added.clone());
        let said = |(limit, cut): (u32, u64)| {
            let cut = match cut {
                0 => "no reply was cut off there".to_owned(),
                1 => "one reply was cut off there".to_owned(),
                many => format!("{many} replies were cut off there"),
            };
            format!(
                "`max_tokens = {limit}` was added to requests, because a limit of tokens or money needs a bound on each \
                 reply and nobody set one; {cut}. Set `max_tokens` of the model (in `[model]`; in Rust in its \
                 `sampling`) to have another"
            )
        };
        added.into_iter().map(said).collect()
    }

    /// Notes that a limit had no room for something.
    pub(crate) fn note_exhausted(&self, limit: Limit) {
        self.with_books(|books| books.note_exhausted(limit));
    }

    /// How long the run has been going on.
    pub fn elapsed(&self) -> Duration {
        self.clock.now().saturating_sub(self.started)
    }

    /// Whether the time is up.
    pub fn is_out_of_time(&self) -> bool {
        self.has_rung() || self.limits().wall_time.is_some_and(|limit| self.elapsed() >= limit)
    }

    /// Whether the clock has rung, which is cheaper to ask than the time.
    pub(crate) fn has_rung(&self) -> bool {
        self.expiry().is_some_and(|expiry| expiry.now_or_never().is_some())
    }

    /// Completes when the time is up; never without a limit of time.
    pub async fn out_of_time(&self) {
        match self.expiry() {
            Some(expiry) => expiry.await,
            None => std::future::pending().await,
        }
    }

    fn expiry(&self) -> Option<Shared<BoxFuture<'static, ()>>> {
        self.expiry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    pub(crate) fn notify(&self) {
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn with_books<T>(&self, work: impl FnOnce(&mut Books) -> T) -> T {
        work(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How many calls the rest of a budget will pay for, when they go on as they did.
fn calls_left(budget: &Budget, used: Usage, spent: Usage, largest: Usage) -> Option<u64> {
    let so_far = spent.parts(budget).zip(largest.parts(budget));
    let rest = used.parts(budget).map(|(name, amount, limit)| (name, limit.saturating_sub(amount)));
    rest.zip(so_far)
        .map(|((name, rest), ((_, spent_of_it, _), (_, largest, _)))| match name {
            Limit::Calls => rest,
            _ if spent_of_it == 0 || spent.calls == 0 => u64::MAX,
            _ => {
                let mean = spent_of_it as f64 / spent.calls as f64;
                (rest.saturating_sub(largest) as f64 / mean) as u64
            }
        })
        .min()
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(Budget::default())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ledger")
            .field("budget", &self.budget)
            .field("books", &self.books)
            .finish_non_exhaustive()
    }
}
