//! Budgets, and the ledger that keeps them.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What a run may spend. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Budget {
    /// Language-model calls, of the task model and the prompt model together.
    pub calls: Option<u64>,
}

impl Budget {
    /// A budget of language-model calls.
    pub fn calls(calls: u64) -> Self {
        Self { calls: Some(calls) }
    }
}

/// Keeps a [`Budget`]: an upper bound is reserved before work begins and settled after, so
/// concurrent work can never jointly overshoot.
#[derive(Debug, Default)]
pub struct Ledger {
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    spent: u64,
    reserved: u64,
}

/// What a reservation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Reserved: the work may begin.
    Granted,
    /// Not now: reservations that are still open may give enough back.
    Wait,
    /// Never: what is left is too little even with nothing else under way.
    Exhausted,
}

impl Ledger {
    /// A ledger with nothing spent.
    pub fn new(budget: Budget) -> Self {
        Self { budget, state: Mutex::default() }
    }

    /// The budget it keeps.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Whether calls are limited at all.
    pub fn is_limited(&self) -> bool {
        self.budget.calls.is_some()
    }

    /// Calls spent so far.
    pub fn spent(&self) -> u64 {
        self.with(|state| state.spent)
    }

    /// Calls that are neither spent nor reserved; `None` without a limit.
    pub fn remaining(&self) -> Option<u64> {
        let state = self.with(|state| *state);
        self.budget.calls.map(|limit| limit.saturating_sub(state.spent.saturating_add(state.reserved)))
    }

    /// Reserves `calls`.
    ///
    /// Who asks in a fixed logical order and waits on [`Admission::Wait`] is admitted exactly when
    /// what came before it in that order has left enough, at any concurrency: open reservations
    /// only ever delay the answer.
    pub fn reserve(&self, calls: u64) -> Admission {
        if !self.is_limited() {
            return Admission::Granted;
        }
        self.with(|state| {
            let fits = |used: u64| self.budget.calls.is_none_or(|limit| used.saturating_add(calls) <= limit);
            if fits(state.spent.saturating_add(state.reserved)) {
                state.reserved += calls;
                Admission::Granted
            } else if fits(state.spent) {
                Admission::Wait
            } else {
                Admission::Exhausted
            }
        })
    }

    /// Ends a reservation of `reserved` calls of which `spent` were made.
    pub fn settle(&self, reserved: u64, spent: u64) {
        self.with(|state| {
            state.reserved = state.reserved.saturating_sub(reserved);
            state.spent = state.spent.saturating_add(spent);
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_never_exceed_the_limit_together() {
        let ledger = Ledger::new(Budget::calls(5));
        assert_eq!(ledger.reserve(3), Admission::Granted);
        assert_eq!(ledger.reserve(3), Admission::Wait);
        ledger.settle(3, 1);
        assert_eq!(ledger.reserve(3), Admission::Granted);
        ledger.settle(3, 3);
        assert_eq!(ledger.reserve(2), Admission::Exhausted);
        assert_eq!((ledger.spent(), ledger.remaining()), (4, Some(1)));
    }

    #[test]
    fn no_limit_admits_everything() {
        let ledger = Ledger::default();
        assert_eq!(ledger.reserve(u64::MAX), Admission::Granted);
        assert_eq!(ledger.reserve(u64::MAX), Admission::Granted);
        assert_eq!(ledger.remaining(), None);
    }
}
