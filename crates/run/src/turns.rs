//! The turns of a batch: which of its rollouts may send a request, decided in their order.
//!
//! What a rollout will cost is not known before it is over, and what it may cost at most is far more. So
//! that the decision does not depend on timing, it is the one that would be made if the rollouts ran one
//! after the other: a request leaves when what it may cost fits beside all that the rollouts before it did
//! cost. Two rules let them run at once all the same:
//!
//! - A rollout gets an *allowance* with its first request: as much as its most calls could cost if each
//!   were like the first. It gets it once all rollouts before it have got theirs, and only if there is
//!   room for it beside everything spent and reserved. Then it would get its requests in order as well,
//!   because those before it cannot spend more than they have reserved.
//! - One whose allowance has no room, or who needs more than that, waits until all rollouts before it
//!   are over. What they cost is known then, and only the request itself has to fit.
//!
//! A rollout that is refused ends the batch: nothing behind it begins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use promptopt_core::lm::{Attempts, ModelProfile};
use promptopt_core::money::{Limit, Price, Usage};

use crate::ledger::{Books, Ledger};

/// The turns of one batch.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Inner>);

struct Inner {
    ledger: Arc<Ledger>,
    /// The most calls of one rollout.
    max_calls: u64,
    /// The calls for which there has to be room when one begins.
    min_calls: u64,
    others: Option<Others>,
    state: Mutex<State>,
}

/// The other models that a rollout calls, such as a judge's. Its first request says nothing of theirs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Others {
    /// The highest price among them; `None` where a price is not known.
    pub(crate) price: Option<Price>,
    /// The longest completion of one of them, in tokens.
    pub(crate) max_tokens: u64,
}

impl Others {
    /// What any request of a rollout is taken to cost at most, by its first one. Nothing hangs on it but how
    /// much is set aside: every request is reserved by itself.
    fn widened(self, bound: Usage) -> Usage {
        // A judge reads what the program read, and its answer besides.
        let prompt_tokens = bound.prompt_tokens.saturating_mul(2);
        let priced = self.price.map(|price| price.of(prompt_tokens, self.max_tokens));
        let money = priced.or(bound.money);
        bound.max(Usage::call(prompt_tokens, self.max_tokens).with_calls(bound.calls).with_money(money))
    }
}

#[derive(Default)]
struct State {
    /// Rollouts that have begun and are not over.
    places: BTreeMap<u64, Place>,
    next: u64,
    /// Set with the first refusal.
    closed: Option<Limit>,
}

#[derive(Default)]
struct Place {
    decided: bool,
    /// What is reserved for requests to come.
    allowance: Usage,
    in_flight: usize,
    waiting: usize,
}

impl Place {
    /// Whether it will come to an end, or give something back, by itself.
    fn is_running(&self) -> bool {
        self.decided && (self.in_flight > 0 || self.waiting == 0)
    }
}

/// The place of one rollout.
pub(crate) struct Seat {
    turns: Turns,
    number: u64,
    refused: OnceLock<Limit>,
}

/// Why a request does not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no room for it.
    NoRoom(Limit),
    /// Its rollout is over.
    Over,
}

enum Answer {
    Granted,
    Refused(Limit),
    Over,
    Wait,
}

impl Turns {
    pub(crate) fn new(ledger: Arc<Ledger>, max_calls: u64, min_calls: u64, others: Option<Others>) -> Self {
        let (max_calls, min_calls) = (max_calls.max(1), min_calls.max(1));
        Self(Arc::new(Inner { ledger, max_calls, min_calls, others, state: Mutex::default() }))
    }

    /// The place of the next rollout.
    pub(crate) fn enter(&self) -> Arc<Seat> {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.places.insert(number, Place::default());
        Arc::new(Seat { turns: self.clone(), number, refused: OnceLock::new() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Waits until the rollout may begin, where only calls are limited, so that its first request is not
    /// needed to know its allowance.
    pub(crate) async fn open(&self) -> Result<(), Refusal> {
        self.wait(Usage::calls(1), false).await
    }

    /// Waits until a request that costs at most `bound` may leave.
    pub(crate) async fn admit(self: &Arc<Self>, bound: Usage) -> Result<Ticket, Refusal> {
        self.wait(bound, true).await?;
        let attempts = Arc::new(Mutex::new(Some(1)));
        Ok(Ticket { seat: Arc::clone(self), bound, attempts })
    }

    /// What a model's tokens cost, as the ledger knows it.
    pub(crate) fn price_of(&self, model: &ModelProfile) -> Option<Price> {
        self.turns.0.ledger.price_of(model)
    }

    /// The limit for which a request of this rollout was refused.
    pub(crate) fn refused(&self) -> Option<Limit> {
        self.refused.get().copied()
    }

    /// Ends the rollout and gives back what is left of its allowance.
    pub(crate) fn leave(&self) {
        let mut state = self.turns.lock();
        let Some(place) = state.places.remove(&self.number) else { return };
        self.turns.0.ledger.with_books(|books| {
            books.release(place.allowance);
            books.running -= usize::from(place.is_running());
        });
        drop(state);
        self.turns.0.ledger.notify();
    }

    async fn wait(&self, bound: Usage, leaves: bool) -> Result<(), Refusal> {
        let _waiting = Waiting::begin(self);
        let mut changed = None;
        loop {
            match self.ask(bound, leaves) {
                Answer::Granted => {
                    self.turns.0.ledger.notify();
                    return Ok(());
                }
                Answer::Refused(limit) => {
                    let _ = self.refused.set(limit);
                    self.turns.0.ledger.notify();
                    return Err(Refusal::NoRoom(limit));
                }
                Answer::Over => return Err(Refusal::Over),
                // What changed between the answer and the listening must not be missed.
                Answer::Wait => match changed.take() {
                    None => changed = Some(self.turns.0.ledger.listen()),
                    Some(listener) => listener.await,
                },
            }
        }
    }

    fn ask(&self, bound: Usage, leaves: bool) -> Answer {
        let mut state = self.turns.lock();
        let closed = state.closed;
        let is_first = state.places.keys().next() == Some(&self.number);
        // Without a limit nobody asks, and many may be under way.
        let is_limited = self.turns.0.ledger.is_limited();
        let is_next = is_limited && state.places.range(..self.number).all(|(_, place)| place.decided);
        let Some(place) = state.places.get_mut(&self.number) else { return Answer::Over };
        let Inner { max_calls, min_calls, .. } = *self.turns.0;
        let widest = self.turns.0.others.map_or(bound, |others| others.widened(bound));
        let answer = self.turns.0.ledger.with_books(|books| {
            let was_running = place.is_running();
            let wish = Wish { bound, widest, max_calls, min_calls, closed, is_first, is_next };
            let answer = wish.decide(place, books);
            if let Answer::Granted = answer {
                if leaves {
                    place.allowance = place.allowance.saturating_sub(bound);
                    place.in_flight += 1;
                    books.note_request(bound);
                }
                books.running = books.running + usize::from(place.is_running()) - usize::from(was_running);
            } else if let Answer::Refused(limit) = answer {
                books.note_exhausted(limit);
            }
            answer
        });
        if let Answer::Refused(limit) = answer {
            state.closed.get_or_insert(limit);
        }
        answer
    }

    /// Changes the own place, and keeps count of those that run.
    fn change(&self, work: impl FnOnce(&mut Place, &mut Books)) {
        let mut state = self.turns.lock();
        let mut gone = Place::default();
        let place = state.places.get_mut(&self.number).unwrap_or(&mut gone);
        self.turns.0.ledger.with_books(|books| {
            let was_running = place.is_running();
            work(place, books);
            books.running = books.running + usize::from(place.is_running()) - usize::from(was_running);
        });
        drop(state);
        self.turns.0.ledger.notify();
    }
}

/// A request that wants to leave, and how its rollout stands among the others.
struct Wish {
    /// The most that it may cost.
    bound: Usage,
    /// The most that any request of the rollout is taken to cost.
    widest: Usage,
    /// The most calls of the rollout.
    max_calls: u64,
    /// Those for which there has to be room when it begins.
    min_calls: u64,
    /// The limit that a rollout was refused for already.
    closed: Option<Limit>,
    /// Whether all rollouts before this one are over.
    is_first: bool,
    /// Whether all rollouts before this one have their allowance.
    is_next: bool,
}

impl Wish {
    /// Decides on the request, and takes care that its bound is part of the allowance when it is granted.
    fn decide(&self, place: &mut Place, books: &mut Books) -> Answer {
        let Self { bound, widest, max_calls, min_calls, closed, is_first, is_next } = *self;
        let missing = bound.saturating_sub(place.allowance);
        // What no limit counts needs no room, and nobody has to wait for it.
        let is_free = books.is_unlimited(bound) && (place.decided || books.is_unlimited(widest));
        if is_free || (place.decided && books.is_unlimited(missing)) {
            place.decided = true;
            place.allowance = place.allowance.max(bound);
            books.reserve(missing);
            return Answer::Granted;
        }
        if let Some(limit) = closed {
            return Answer::Refused(limit);
        }
        if !place.decided && is_next {
            let allowance = widest.times(max_calls);
            if books.no_room_for(allowance).is_none() {
                books.reserve(allowance);
                (place.decided, place.allowance) = (true, allowance);
                return Answer::Granted;
            }
        }
        if !is_first {
            return Answer::Wait;
        }
        // A rollout whose calls do not fit does not begin, because half a rollout is worth nothing.
        let needed =
            if place.decided { missing } else { bound.with_calls(bound.calls.saturating_mul(min_calls)) };
        match (books.never_room_for(needed), books.no_room_for(needed)) {
            (Some(limit), _) => Answer::Refused(limit),
            (None, Some(limit)) if books.running == 0 => Answer::Refused(limit),
            (None, Some(_)) => Answer::Wait,
            (None, None) => {
                books.reserve(needed);
                place.decided = true;
                place.allowance += needed;
                Answer::Granted
            }
        }
    }
}

/// Counts as waiting until it is dropped.
struct Waiting<'a>(&'a Seat);

impl<'a> Waiting<'a> {
    fn begin(seat: &'a Seat) -> Self {
        seat.change(|place, _| place.waiting += 1);
        Self(seat)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.change(|place, _| place.waiting = place.waiting.saturating_sub(1));
    }
}

/// The reservation of a request that has left. Dropped before it is settled, all of it counts as spent:
/// whatever became of the request, it may be billed.
pub(crate) struct Ticket {
    seat: Arc<Seat>,
    bound: Usage,
    /// How many attempts are reserved; `None` once it is settled.
    attempts: Arc<Mutex<Option<u64>>>,
}

impl Ticket {
    /// Notes that the reply did not tell all of its tokens.
    pub(crate) fn note_untold(&self) {
        self.seat.turns.0.ledger.with_books(|books| books.untold = true);
    }

    /// Notes that `max_tokens` was added to the request, and whether the reply was cut off there.
    pub(crate) fn note_added(&self, limit: u32, is_cut: bool) {
        self.seat
            .turns
            .0
            .ledger
            .with_books(|books| *books.added.entry(limit).or_default() += u64::from(is_cut));
    }

    /// The permission for further attempts, each of which is reserved when it is asked for. `most` is how
    /// many there may be, the first included.
    pub(crate) fn attempts(&self, most: u32) -> Attempts {
        let (ledger, bound) = (Arc::clone(&self.seat.turns.0.ledger), self.bound);
        let attempts = Arc::clone(&self.attempts);
        Attempts::asking(move || {
            let mut attempts = attempts.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(count) = attempts.as_mut().filter(|count| **count < u64::from(most)) else {
                return false;
            };
            let granted = ledger.with_books(|books| {
                let fits = books.no_room_for(bound).is_none();
                if fits {
                    books.reserve(bound);
                }
                fits
            });
            *count += u64::from(granted);
            granted
        })
    }

    /// How many attempts are reserved, and what each may cost.
    pub(crate) fn reserved(&self) -> (u64, Usage) {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        (attempts.unwrap_or_default(), self.bound)
    }

    /// Puts what the request cost in the place of the reservation.
    pub(crate) fn settle(&self, cost: Usage) {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(attempts) = attempts else { return };
        self.seat.change(|place, books| {
            place.in_flight = place.in_flight.saturating_sub(1);
            books.release(self.bound.times(attempts));
            books.spent += cost;
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (attempts, bound) = self.reserved();
        self.settle(bound.times(attempts));
    }
}
