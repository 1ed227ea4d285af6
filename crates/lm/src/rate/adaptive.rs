//! The limit on concurrent requests: additive increase, multiplicative decrease, cool-down.

use std::time::Duration;

use super::concurrency::AdaptiveConcurrency;

/// What is left of the limit after a 429.
const CUT: f64 = 0.85;

/// What is left of it after a 429 when the limit has not grown since the cut before: that one was too small.
const REPEATED_CUT: f64 = 0.7;

/// Rounds of requests that it takes to try again the number that was refused last.
const ROUNDS_BEFORE_PROBE: f64 = 8.0;

/// What a finished request says about how much the endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feedback {
    /// It was answered.
    Success,
    /// It was one too many (HTTP 429).
    Limited,
    /// The endpoint is in trouble (5xx, timeout, broken connection).
    Trouble,
    /// Nothing: it was rejected for itself, or given up.
    Neutral,
}

/// The number of a request, counted from 1 in the order of their starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct StartNumber(u64);

/// Counts requests in flight against a limit that follows what the endpoint takes.
///
/// What a request tells is measured by when it started, in terms of other starts: one that began before
/// the last cut says nothing of the limit since, so a volley of 429s is one cut; one during which the
/// limit was never reached does not show that the limit could be higher.
#[derive(Debug)]
pub(crate) struct AdaptiveLimit {
    settings: AdaptiveConcurrency,
    limit: f64,
    in_flight: usize,
    /// The latest start.
    latest: StartNumber,
    /// The latest start that reached the limit.
    reached: StartNumber,
    /// The latest start when the limit was cut last.
    cut: StartNumber,
    has_grown_since_cut: bool,
    /// The limit at which the provider refused a request last; nothing is known of more than that.
    refused_at: Option<f64>,
    /// Whether the provider has never refused anything, so that the limit may rise fast.
    is_ramping: bool,
    growth_from: Duration,
}

impl AdaptiveLimit {
    pub(crate) fn new(settings: AdaptiveConcurrency) -> Self {
        Self {
            settings,
            limit: settings.initial as f64,
            in_flight: 0,
            latest: StartNumber::default(),
            reached: StartNumber::default(),
            cut: StartNumber::default(),
            has_grown_since_cut: true,
            refused_at: None,
            is_ramping: true,
            growth_from: Duration::ZERO,
        }
    }

    /// Requests that may be in flight now.
    pub(crate) fn limit(&self) -> usize {
        // The limit is at least 1 and at most a `usize`, so nothing is lost but the fraction.
        self.limit as usize
    }

    /// Requests that are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether another request may start.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight < self.limit()
    }

    /// Starts a request, or `None` when the limit is reached.
    pub(crate) fn start(&mut self) -> Option<StartNumber> {
        if !self.has_room() {
            return None;
        }
        self.in_flight += 1;
        self.latest.0 += 1;
        if !self.has_room() {
            self.reached = self.latest;
        }
        Some(self.latest)
    }

    /// Ends a request at the moment `now`.
    pub(crate) fn finish(&mut self, start: StartNumber, feedback: Feedback, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match feedback {
            Feedback::Success => self.grow(start, now),
            Feedback::Limited => self.cut(start, now),
            Feedback::Trouble => self.pause_growth(now),
            Feedback::Neutral => {}
        }
    }

    fn grow(&mut self, start: StartNumber, now: Duration) {
        let was_reached = start <= self.reached;
        if !was_reached || start <= self.cut || now < self.growth_from {
            return;
        }
        let is_below_refusal = |refused: f64| (refused - 1.0..refused).contains(&self.limit);
        let step = if self.is_ramping {
            1.0
        } else if self.refused_at.is_some_and(is_below_refusal) {
            1.0 / (self.limit * ROUNDS_BEFORE_PROBE)
        } else {
            1.0 / self.limit
        };
        self.limit = (self.limit + step).min(self.settings.max as f64);
        self.has_grown_since_cut = true;
    }

    fn cut(&mut self, start: StartNumber, now: Duration) {
        self.pause_growth(now);
        self.is_ramping = false;
        if start <= self.cut {
            return;
        }
        let share = if self.has_grown_since_cut { CUT } else { REPEATED_CUT };
        self.refused_at = Some(self.limit.floor());
        self.limit = (self.limit * share).floor().max(self.settings.min as f64);
        self.cut = self.latest;
        self.has_grown_since_cut = false;
    }

    fn pause_growth(&mut self, now: Duration) {
        self.growth_from = self.growth_from.max(now.saturating_add(self.settings.cool_down));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn limit(initial: usize, max: usize) -> AdaptiveLimit {
        let cool_down = Duration::from_secs(1);
        AdaptiveLimit::new(AdaptiveConcurrency { initial, min: 1, max, cool_down })
    }

    /// Starts as many as go; the numbers of those that did.
    fn fill(limit: &mut AdaptiveLimit) -> Vec<StartNumber> {
        std::iter::from_fn(|| limit.start()).collect()
    }

    /// One full round that ends with `feedback`.
    fn round(limit: &mut AdaptiveLimit, feedback: Feedback, now: Duration) {
        for start in fill(limit) {
            limit.finish(start, feedback, now);
        }
    }

    #[test]
    fn it_doubles_until_the_first_refusal_and_then_grows_by_one_a_round() {
        let mut limit = limit(4, 100);
        round(&mut limit, Feedback::Success, NOW);
        assert_eq!(limit.limit(), 8);
        round(&mut limit, Feedback::Success, NOW);
        assert_eq!(limit.limit(), 16);
        let start = limit.start().unwrap();
        limit.finish(start, Feedback::Limited, NOW);
        assert_eq!(limit.limit(), 13);
        let later = NOW + Duration::from_secs(1);
        round(&mut limit, Feedback::Success, later);
        assert_eq!(limit.limit(), 13, "a little under one");
        round(&mut limit, Feedback::Success, later);
        assert_eq!(limit.limit(), 14);
    }

    #[test]
    fn a_volley_of_refusals_is_one_cut_and_one_that_did_not_suffice_is_followed_by_a_larger() {
        let mut limit = limit(20, 100);
        round(&mut limit, Feedback::Limited, NOW);
        assert_eq!(limit.limit(), 17);
        round(&mut limit, Feedback::Limited, NOW);
        assert_eq!(limit.limit(), 11);
        for _ in 0..20 {
            round(&mut limit, Feedback::Limited, NOW);
        }
        assert_eq!(limit.limit(), 1);
    }

    #[test]
    fn trouble_pauses_growth_and_no_more() {
        for feedback in [Feedback::Trouble, Feedback::Limited] {
            let mut limit = limit(20, 100);
            let start = limit.start().unwrap();
            limit.finish(start, feedback, NOW);
            let before = limit.limit();
            assert_eq!(before, if feedback == Feedback::Trouble { 20 } else { 17 });
            round(&mut limit, Feedback::Success, NOW + Duration::from_millis(999));
            assert_eq!(limit.limit(), before);
            for _ in 0..2 {
                round(&mut limit, Feedback::Success, NOW + Duration::from_secs(1));
            }
            assert!(limit.limit() > before);
        }
    }

    #[test]
    fn what_was_never_reached_is_not_raised_and_neutral_ends_tell_nothing() {
        let mut limit = limit(4, 100);
        for _ in 0..50 {
            let start = limit.start().unwrap();
            limit.finish(start, Feedback::Success, NOW);
        }
        round(&mut limit, Feedback::Neutral, NOW);
        assert_eq!((limit.limit(), limit.in_flight()), (4, 0));
    }

    #[test]
    fn it_hesitates_below_what_was_refused() {
        let mut limit = limit(10, 100);
        let start = limit.start().unwrap();
        limit.finish(start, Feedback::Limited, NOW);
        assert_eq!(limit.limit(), 8);
        let mut rounds = Vec::new();
        for target in [9, 10, 11] {
            let mut count = 0;
            while limit.limit() < target {
                round(&mut limit, Feedback::Success, NOW * 2);
                count += 1;
            }
            rounds.push(count);
        }
        assert!(rounds[0] <= 2 && rounds[1] >= 7 && rounds[2] <= 2, "{rounds:?}");
    }

    fn feedback() -> impl Strategy<Value = Feedback> {
        prop_oneof![
            4 => Just(Feedback::Success),
            2 => Just(Feedback::Limited),
            1 => Just(Feedback::Trouble),
            1 => Just(Feedback::Neutral),
        ]
    }

    /// What happens next: a start, or the end of the one at this place among those in flight.
    fn event() -> impl Strategy<Value = Option<(prop::sample::Index, Feedback)>> {
        prop::option::of((any::<prop::sample::Index>(), feedback()))
    }

    proptest! {
        #[test]
        fn never_more_start_than_the_limit_allows_and_the_limit_keeps_its_bounds(
            (min, initial, max) in (1_usize..5, 0_usize..5, 0_usize..5).prop_map(|(a, b, c)| (a, a + b, a + b + c)),
            events in prop::collection::vec((event(), 0_u64..900), 0..300),
        ) {
            let cool_down = Duration::from_secs(1);
            let mut limit = AdaptiveLimit::new(AdaptiveConcurrency { initial, min, max, cool_down });
            let mut now = Duration::ZERO;
            let mut in_flight: Vec<StartNumber> = Vec::new();
            for (event, passed) in events {
                now += Duration::from_millis(passed);
                match event {
                    None => {
                        let room = in_flight.len() < limit.limit();
                        let start = limit.start();
                        prop_assert_eq!(start.is_some(), room);
                        in_flight.extend(start);
                    }
                    Some((index, feedback)) if !in_flight.is_empty() => {
                        let start = in_flight.remove(index.index(in_flight.len()));
                        let before = limit.limit();
                        limit.finish(start, feedback, now);
                        match feedback {
                            Feedback::Success => prop_assert!((before..=before + 1).contains(&limit.limit())),
                            Feedback::Limited => prop_assert!(limit.limit() <= before),
                            _ => prop_assert_eq!(limit.limit(), before),
                        }
                    }
                    Some(_) => {}
                }
                prop_assert_eq!(limit.in_flight(), in_flight.len());
                prop_assert!((min..=max).contains(&limit.limit()));
            }
        }

        #[test]
        fn it_recovers_from_anything(
            max in 1_usize..30,
            storm in prop::collection::vec(feedback(), 0..60),
        ) {
            let mut limit = limit(1, max);
            for feedback in storm {
                round(&mut limit, feedback, NOW);
            }
            // A round adds about one, or an eighth just below the last refusal.
            for _ in 0..max + 2 * ROUNDS_BEFORE_PROBE as usize + 2 {
                round(&mut limit, Feedback::Success, NOW * 2);
            }
            prop_assert!(limit.limit() + 2 >= max, "{} of {max}", limit.limit());
        }
    }
}
