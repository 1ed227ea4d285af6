//! All limits of one endpoint together: whether the next request may go, and if not, what it waits for.

use std::time::Duration;

use super::adaptive::{AdaptiveLimit, StartNumber};
use super::bucket::TokenBucket;
use super::outcome::Outcome;

/// The limits of one endpoint and where they stand. Times are those of one clock, from any origin; one
/// that runs backwards is taken to stand still.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) concurrency: AdaptiveLimit,
    pub(crate) requests: Option<TokenBucket>,
    pub(crate) tokens: Option<TokenBucket>,
    closed_until: Duration,
    now: Duration,
}

/// A request that was let through.
#[derive(Debug)]
pub(crate) struct Ticket {
    start: StartNumber,
    charged_tokens: u64,
}

/// The answer to a request that wants to go.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It goes.
    Go(Ticket),
    /// The provider asked that nothing be sent before this moment.
    Closed(Duration),
    /// Its share of a minute is there at this moment, if nothing comes back sooner.
    Later(Duration),
    /// As many are under way as may be: one of them has to end.
    Full,
}

impl Gate {
    pub(crate) fn new(
        concurrency: AdaptiveLimit,
        requests: Option<TokenBucket>,
        tokens: Option<TokenBucket>,
    ) -> Self {
        Self { concurrency, requests, tokens, closed_until: Duration::ZERO, now: Duration::ZERO }
    }

    /// Notes that it is `moment` by now, and says what time it is.
    pub(crate) fn at(&mut self, moment: Duration) -> Duration {
        self.now = self.now.max(moment);
        self.now
    }

    /// Lets a request of about `tokens` through, or says what it waits for. Nothing is taken from any
    /// limit unless all of them have room.
    pub(crate) fn start(&mut self, tokens: u64) -> Verdict {
        let now = self.now;
        if now < self.closed_until {
            return Verdict::Closed(self.closed_until);
        }
        if !self.concurrency.has_room() {
            return Verdict::Full;
        }
        let charge = self.tokens.as_ref().map_or(0, |bucket| bucket.charge(tokens));
        let requests_ready = self.requests.as_ref().map_or(now, |bucket| bucket.ready_at(1, now));
        let tokens_ready = self.tokens.as_ref().map_or(now, |bucket| bucket.ready_at(charge, now));
        let ready = requests_ready.max(tokens_ready);
        if ready > now {
            return Verdict::Later(ready);
        }
        let Some(start) = self.concurrency.start() else { return Verdict::Full };
        if let Some(bucket) = &mut self.requests {
            bucket.take(1, now);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(charge, now);
        }
        Verdict::Go(Ticket { start, charged_tokens: charge })
    }

    /// Ends a request. Without a count of its tokens it keeps what it was charged: a provider may well
    /// count those of a request that failed or was given up.
    pub(crate) fn finish(&mut self, ticket: &Ticket, outcome: &Outcome) {
        let now = self.now;
        self.concurrency.finish(ticket.start, outcome.feedback, now);
        if let (Some(bucket), Some(spent)) = (&mut self.tokens, outcome.tokens) {
            bucket.settle(ticket.charged_tokens, spent, now);
        }
        if let Some(asked) = outcome.asked_wait {
            self.closed_until = self.closed_until.max(now.saturating_add(asked));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::adaptive::Feedback;
    use super::super::concurrency::Concurrency;
    use super::*;

    fn gate(concurrency: usize, requests: Option<u64>, tokens: Option<u64>) -> Gate {
        let limit = AdaptiveLimit::new(Concurrency::Fixed(concurrency).checked().unwrap());
        // Buckets of ten, refilled by one a second.
        let bucket = |burst: Option<u64>| burst.map(|burst| TokenBucket::new(burst, 60));
        Gate::new(limit, bucket(requests), bucket(tokens))
    }

    fn go(gate: &mut Gate, tokens: u64) -> Ticket {
        match gate.start(tokens) {
            Verdict::Go(ticket) => ticket,
            verdict => panic!("{verdict:?}"),
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn limited(asked: u64) -> Outcome {
        Outcome { feedback: Feedback::Limited, asked_wait: Some(seconds(asked)), tokens: None }
    }

    #[test]
    fn a_wait_that_was_asked_for_holds_for_every_request_and_the_longest_counts() {
        let mut gate = gate(9, None, None);
        let tickets = [go(&mut gate, 0), go(&mut gate, 0)];
        gate.finish(&tickets[0], &limited(7));
        gate.finish(&tickets[1], &limited(2));
        assert!(matches!(gate.start(0), Verdict::Closed(until) if until == seconds(7)));
        gate.at(seconds(7));
        go(&mut gate, 0);
    }

    #[test]
    fn every_limit_must_have_room_and_none_is_charged_before() {
        let mut gate = gate(2, Some(10), Some(10));
        let first = go(&mut gate, 8);
        assert!(matches!(gate.start(5), Verdict::Later(until) if until == seconds(3)));
        let _second = go(&mut gate, 2);
        assert!(matches!(gate.start(0), Verdict::Full));
        let spent = Outcome { feedback: Feedback::Success, asked_wait: None, tokens: Some(1) };
        gate.finish(&first, &spent);
        go(&mut gate, 7);
    }

    #[test]
    fn without_a_count_the_charge_stays() {
        let mut gate = gate(2, None, Some(10));
        let ticket = go(&mut gate, 10);
        gate.finish(&ticket, &Outcome::neutral());
        assert!(matches!(gate.start(10), Verdict::Later(until) if until == seconds(10)));
    }

    #[test]
    fn a_clock_that_runs_backwards_stands_still() {
        let mut gate = gate(1, None, None);
        assert_eq!(gate.at(seconds(5)), seconds(5));
        assert_eq!(gate.at(seconds(3)), seconds(5));
    }

    proptest! {
        #[test]
        fn a_request_goes_at_the_moment_it_was_told(
            tokens in prop::collection::vec(0_u64..40, 1..40),
            asked in prop::collection::vec(prop::option::of(0_u64..20), 40),
        ) {
            let mut gate = gate(1, Some(2), Some(10));
            for (tokens, asked) in tokens.iter().zip(asked) {
                let mut moves = 0;
                let ticket = loop {
                    match gate.start(*tokens) {
                        Verdict::Go(ticket) => break ticket,
                        Verdict::Closed(until) | Verdict::Later(until) => {
                            prop_assert!(until > gate.now);
                            gate.at(until);
                        }
                        Verdict::Full => panic!("nothing is under way"),
                    }
                    moves += 1;
                };
                prop_assert!(moves <= 2, "told {moves} times");
                let outcome = asked.map_or(Outcome::neutral(), limited);
                gate.finish(&ticket, &outcome);
            }
        }
    }
}
