//! What one call costs besides the attempt that answers it.

use std::sync::atomic::{AtomicU64, Ordering};

use promptopt_core::lm::Attempts;
use promptopt_core::money::Usage;

/// Counts the attempts of one call that a provider may bill although they brought no reply: it cannot
/// be known whether one that timed out, broke off or was cut off was answered at the other end.
#[derive(Debug)]
pub(crate) struct Bill {
    limit: u64,
    /// Where attempts beyond the first are asked for, and how many may be billed so far.
    attempts: Attempts,
    allowed: AtomicU64,
    unanswered: AtomicU64,
    hedges: AtomicU64,
}

/// An attempt that is under way. Dropped before its end, it may be billed.
#[derive(Debug)]
pub(crate) struct OpenAttempt<'a>(Option<&'a Bill>);

impl Bill {
    /// A bill for no more than `limit` attempts, the one that answers included.
    pub(crate) fn new(limit: u32, attempts: Attempts) -> Self {
        Self {
            limit: limit.into(),
            attempts,
            allowed: AtomicU64::new(1),
            unanswered: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
        }
    }

    /// Whether another attempt is within the limit.
    pub(crate) fn has_room(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) < self.limit
    }

    /// Whether another attempt is within the limit, and the budget has room for it.
    pub(crate) fn allows_attempt(&self) -> bool {
        self.has_room() && self.allows(self.unanswered.load(Ordering::Relaxed))
    }

    /// Whether one more is allowed beside so many that may be billed.
    fn allows(&self, others: u64) -> bool {
        if others < self.allowed.load(Ordering::Relaxed) {
            return true;
        }
        let another = self.attempts.another();
        self.allowed.fetch_add(another.into(), Ordering::Relaxed);
        another
    }

    /// Whether the budget has room for a hedge beside the attempt that is under way.
    pub(crate) fn affords_hedge(&self) -> bool {
        self.allows(self.unanswered.load(Ordering::Relaxed).saturating_add(1))
    }

    /// Whether a hedge is within the limit beside the attempt that is under way. There is one a call.
    pub(crate) fn allows_hedge(&self) -> bool {
        self.hedges.load(Ordering::Relaxed) == 0
            && self.unanswered.load(Ordering::Relaxed).saturating_add(1) < self.limit
    }

    /// Begins an attempt.
    pub(crate) fn begin(&self, is_hedge: bool) -> OpenAttempt<'_> {
        self.hedges.fetch_add(is_hedge.into(), Ordering::Relaxed);
        OpenAttempt(Some(self))
    }

    /// What the whole call cost when the attempt that answered cost `usage`. Those that may be billed
    /// besides are taken to have cost the same: the provider read the same prompt. A hedge is a call even
    /// where it was refused.
    pub(crate) fn total(&self, usage: Usage) -> Usage {
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        let as_often = |tokens: u64| tokens.saturating_mul(unanswered.saturating_add(1));
        let mut total = usage;
        total.calls = usage.calls.saturating_add(unanswered.max(self.hedges.load(Ordering::Relaxed)));
        total.prompt_tokens = as_often(usage.prompt_tokens);
        total.cache_write_tokens = as_often(usage.cache_write_tokens);
        total.completion_tokens = as_often(usage.completion_tokens);
        total.reasoning_tokens = as_often(usage.reasoning_tokens);
        // Cached tokens are as they are: the other attempts may have read them at the full price.
        total
    }
}

impl OpenAttempt<'_> {
    /// Ends the attempt: it was answered or refused, or else it may be billed.
    pub(crate) fn end(mut self, is_unanswered: bool) {
        if !is_unanswered {
            self.0 = None;
        }
    }
}

impl Drop for OpenAttempt<'_> {
    fn drop(&mut self) {
        if let Some(bill) = self.0.take() {
            bill.unanswered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What a call costs whose attempts ended so (hedge or not, unanswered or not) before one answered.
    fn check(attempts: &[(bool, bool)], calls: u64, of_cost: u64) {
        let bill = Bill::new(9, Attempts::default());
        for (is_hedge, is_unanswered) in attempts {
            bill.begin(*is_hedge).end(*is_unanswered);
        }
        let mut expected = Usage::call(10 * of_cost, 3 * of_cost);
        expected.calls = calls;
        assert_eq!(bill.total(Usage::call(10, 3)), expected, "{attempts:?}");
    }

    #[test]
    fn what_may_be_billed_counts_and_so_does_every_hedge() {
        check(&[], 1, 1);
        check(&[(false, false), (false, false)], 1, 1);
        check(&[(false, true), (false, true)], 3, 3);
        check(&[(true, false)], 2, 1);
        check(&[(true, true)], 2, 2);
        check(&[(false, true), (true, true)], 3, 3);
    }

    #[test]
    fn an_attempt_that_is_dropped_may_be_billed_and_the_limit_counts_those() {
        let bill = Bill::new(2, Attempts::default());
        assert!(bill.allows_attempt() && bill.allows_hedge());
        drop(bill.begin(false));
        assert!(bill.allows_attempt() && !bill.allows_hedge());
        drop(bill.begin(false));
        assert!(!bill.allows_attempt());
        assert!(!Bill::new(1, Attempts::default()).allows_hedge());
    }

    #[test]
    fn every_attempt_but_the_first_is_asked_for_once() {
        let left = Arc::new(AtomicU64::new(1));
        let purse = Arc::clone(&left);
        let take = move || {
            purse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        };
        let bill = Bill::new(9, Attempts::asking(take));
        bill.begin(false).end(false);
        assert!(bill.allows_attempt(), "a refusal is not billed");
        assert_eq!(left.load(Ordering::SeqCst), 1);
        drop(bill.begin(false));
        assert!(bill.allows_attempt() && bill.allows_attempt());
        assert_eq!(left.load(Ordering::SeqCst), 0);
        assert!(!bill.affords_hedge());
        drop(bill.begin(false));
        assert!(!bill.allows_attempt() && bill.has_room());
    }
}
