//! What one call costs besides the attempt that answers it.

use std::sync::atomic::{AtomicU64, Ordering};

use promptopt_core::Usage;

/// Counts the attempts of one call that a provider may bill although they brought no reply: it cannot
/// be known whether one that timed out, broke off or was cut off was answered at the other end.
#[derive(Debug)]
pub(crate) struct Bill {
    limit: u64,
    unanswered: AtomicU64,
    hedges: AtomicU64,
}

/// An attempt that is under way. Dropped before its end, it may be billed.
#[derive(Debug)]
pub(crate) struct OpenAttempt<'a>(Option<&'a Bill>);

impl Bill {
    /// A bill for no more than `limit` attempts, the one that answers included.
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit: limit.into(), unanswered: AtomicU64::new(0), hedges: AtomicU64::new(0) }
    }

    /// Whether another attempt is within the limit.
    pub(crate) fn allows_attempt(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) < self.limit
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
        total.completion_tokens = as_often(usage.completion_tokens);
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
    use super::*;

    /// What a call costs whose attempts ended so (hedge or not, unanswered or not) before one answered.
    fn check(attempts: &[(bool, bool)], calls: u64, of_cost: u64) {
        let bill = Bill::new(9);
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
        let bill = Bill::new(2);
        assert!(bill.allows_attempt() && bill.allows_hedge());
        drop(bill.begin(false));
        assert!(bill.allows_attempt() && !bill.allows_hedge());
        drop(bill.begin(false));
        assert!(!bill.allows_attempt());
        assert!(!Bill::new(1).allows_hedge());
    }
}
