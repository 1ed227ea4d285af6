//! A token bucket: so much a minute, spread evenly.

use std::time::Duration;

const MINUTE_IN_NANOS: u128 = 60_000_000_000;

/// The share of a minute's allowance that may come at once.
const BURST_SHARE: u64 = 20;

/// A token bucket, kept as one moment: when it will be full.
///
/// What is taken moves that moment later, by as long as it takes to refill. The bucket starts full, and a
/// moment in the past means that it is.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    burst: u64,
    refill_per_minute: u64,
    full_at: Duration,
}

impl TokenBucket {
    /// A bucket that gives no more than `allowance` in any minute: what may come at once, a twentieth, is
    /// taken off what comes evenly.
    pub(crate) fn per_minute(allowance: u64) -> Self {
        let burst = (allowance / BURST_SHARE).max(1);
        Self::new(burst, allowance.saturating_sub(burst).saturating_add(1))
    }

    /// A bucket that holds `burst` and gets `refill_per_minute`, evenly; both at least 1.
    pub(crate) fn new(burst: u64, refill_per_minute: u64) -> Self {
        let (burst, refill_per_minute) = (burst.max(1), refill_per_minute.max(1));
        Self { burst, refill_per_minute, full_at: Duration::ZERO }
    }

    /// What is charged for `cost` before it is known to be spent: no more than the bucket holds, since more
    /// would never come through. [`settle`](Self::settle) charges the rest.
    pub(crate) fn charge(&self, cost: u64) -> u64 {
        cost.min(self.burst)
    }

    /// The first moment from `now` on at which the bucket holds a `charge`.
    pub(crate) fn ready_at(&self, charge: u64, now: Duration) -> Duration {
        let full_after = self.full_at.max(now).saturating_add(self.time_for(charge));
        full_after.saturating_sub(self.time_for(self.burst)).max(now)
    }

    /// Takes a `charge` out.
    pub(crate) fn take(&mut self, charge: u64, now: Duration) {
        self.full_at = self.full_at.max(now).saturating_add(self.time_for(charge));
    }

    /// Corrects a `charge` to what was spent: gives back, or takes the rest, even if that leaves a debt.
    pub(crate) fn settle(&mut self, charge: u64, spent: u64, now: Duration) {
        if spent > charge {
            self.take(spent - charge, now);
        } else {
            self.full_at = self.full_at.saturating_sub(self.time_for(charge - spent));
        }
    }

    /// How long `amount` takes to come in, rounded up.
    fn time_for(&self, amount: u64) -> Duration {
        let nanos = (u128::from(amount) * MINUTE_IN_NANOS).div_ceil(u128::from(self.refill_per_minute));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The moments at which requests of these costs come through, each asked for after a pause in
    /// milliseconds, and what was charged.
    fn moments(bucket: &mut TokenBucket, asked: &[(u64, u64)]) -> Vec<(Duration, u64)> {
        let mut now = Duration::ZERO;
        let mut moments = Vec::new();
        for (pause, cost) in asked {
            now += Duration::from_millis(*pause);
            let charge = bucket.charge(*cost);
            now = bucket.ready_at(charge, now);
            bucket.take(charge, now);
            moments.push((now, charge));
        }
        moments
    }

    /// The most that comes through in a window of `length`, its end excluded.
    fn most_within(moments: &[(Duration, u64)], length: Duration) -> u64 {
        let within = |from: Duration| {
            let window = moments.iter().filter(|(at, _)| *at >= from && *at < from + length);
            window.map(|(_, charge)| charge).sum()
        };
        moments.iter().map(|(from, _)| within(*from)).max().unwrap_or_default()
    }

    #[test]
    fn a_burst_comes_at_once_and_the_rest_evenly() {
        let mut bucket = TokenBucket::new(2, 60);
        let moments = moments(&mut bucket, &[(0, 1); 4]);
        let seconds: Vec<_> = moments.iter().map(|(at, _)| at.as_secs_f64()).collect();
        assert_eq!(seconds, [0.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn what_was_not_spent_comes_back_and_what_was_spent_beyond_is_a_debt() {
        let ready = |spent| {
            let mut bucket = TokenBucket::new(10, 60);
            bucket.take(10, Duration::ZERO);
            bucket.settle(10, spent, Duration::ZERO);
            bucket.ready_at(10, Duration::ZERO).as_secs()
        };
        assert_eq!((ready(0), ready(4), ready(10), ready(25)), (0, 4, 10, 25));
    }

    #[test]
    fn nothing_is_saved_up_beyond_the_burst() {
        let mut bucket = TokenBucket::new(1, 60);
        bucket.settle(1, 0, Duration::ZERO);
        bucket.take(1, MINUTE);
        assert_eq!(bucket.ready_at(1, MINUTE), MINUTE + Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn never_more_than_rate_and_burst_in_any_window(
            burst in 1_u64..50,
            refill in 1_u64..5000,
            asked in prop::collection::vec((0_u64..3000, 0_u64..80), 0..60),
            window in 1_u64..120_000,
        ) {
            let moments = moments(&mut TokenBucket::new(burst, refill), &asked);
            let window = Duration::from_millis(window);
            let allowed = burst as f64 + refill as f64 * window.as_secs_f64() / 60.0;
            prop_assert!(most_within(&moments, window) as f64 <= allowed);
        }

        #[test]
        fn an_allowance_holds_in_any_minute(
            allowance in 1_u64..200,
            asked in prop::collection::vec((0_u64..1500, 1_u64..4), 0..300),
        ) {
            let moments = moments(&mut TokenBucket::per_minute(allowance), &asked);
            prop_assert!(most_within(&moments, MINUTE) <= allowance);
        }

        #[test]
        fn nobody_waits_for_ever_and_a_full_load_gets_nearly_all_of_the_allowance(
            allowance in 1_u64..2000,
            costs in prop::collection::vec(0_u64..1_000_000, 1..50),
        ) {
            let asked: Vec<_> = costs.iter().map(|cost| (0, *cost)).collect();
            let moments = moments(&mut TokenBucket::per_minute(allowance), &asked);
            let total: u64 = moments.iter().map(|(_, charge)| charge).sum();
            let minutes = moments.last().unwrap().0.as_secs_f64() / 60.0;
            prop_assert!(minutes * allowance as f64 * 0.95 <= total as f64);
        }

        #[test]
        fn in_the_long_run_what_was_spent_counts_and_not_what_was_expected(
            burst in 1_u64..50,
            requests in prop::collection::vec((0_u64..100, 0_u64..100), 1..60),
        ) {
            let mut bucket = TokenBucket::new(burst, 60);
            let mut now = Duration::ZERO;
            let mut total = 0;
            for (expected, spent) in requests {
                let charge = bucket.charge(expected);
                now = bucket.ready_at(charge, now);
                // All that was spent before this one has been refilled, but for the burst.
                prop_assert!(total as f64 <= burst as f64 + now.as_secs_f64() + 1e-6);
                bucket.take(charge, now);
                bucket.settle(charge, spent, now);
                total += spent;
            }
        }

        #[test]
        fn extreme_numbers_do_not_panic(burst: u64, refill: u64, cost: u64, spent: u64, now: u64) {
            let mut bucket = TokenBucket::new(burst, refill);
            let now = Duration::from_secs(now);
            bucket.take(bucket.charge(cost), now);
            bucket.settle(bucket.charge(cost), spent, now);
            bucket.ready_at(bucket.charge(cost), now);
            TokenBucket::per_minute(burst);
        }
    }
}
