//! The adaptive limit against an endpoint with a hidden limit of its own, simulated event by event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::adaptive::{AdaptiveLimit, Feedback};
use super::concurrency::AdaptiveConcurrency;

const REQUESTS: usize = 6000;

/// What the last half of the requests saw.
struct Seen {
    mean_limit: f64,
    refused_share: f64,
}

/// Keeps an endpoint under full load that refuses what goes beyond `hidden` at once, and takes 10 ms and up to
/// `spread` ms more for everything else.
fn run(hidden: usize, settings: AdaptiveConcurrency, spread: u64, seed: u64) -> Seen {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut limit = AdaptiveLimit::new(settings);
    let mut ends = BinaryHeap::new();
    let mut at_server = 0;
    let (mut limits, mut refused) = (0.0, 0_usize);
    let mut now = 0_u64;
    for finished in 0..REQUESTS {
        while let Some(start) = limit.start() {
            let is_refused = at_server >= hidden;
            at_server += usize::from(!is_refused);
            let takes = if is_refused { 1 } else { rng.random_range(10..=10 + spread) };
            ends.push(Reverse((now + takes, start, is_refused)));
        }
        let Some(Reverse((end, start, is_refused))) = ends.pop() else { panic!("nothing is under way") };
        now = end;
        at_server -= usize::from(!is_refused);
        let feedback = if is_refused { Feedback::Limited } else { Feedback::Success };
        limit.finish(start, feedback, Duration::from_millis(now));
        if finished >= REQUESTS / 2 {
            limits += limit.limit() as f64;
            refused += usize::from(is_refused);
        }
    }
    let half = (REQUESTS / 2) as f64;
    Seen { mean_limit: limits / half, refused_share: refused as f64 / half }
}

fn settings(initial: usize) -> AdaptiveConcurrency {
    AdaptiveConcurrency { initial, min: 1, max: 128, cool_down: Duration::from_millis(20) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_settles_within_a_fifth_of_a_hidden_limit(hidden in 5_usize..60, initial in 1_usize..64, spread in 0_u64..50, seed: u64) {
        let seen = run(hidden, settings(initial), spread, seed);
        let share = seen.mean_limit / hidden as f64;
        prop_assert!((0.8..=1.2).contains(&share), "{} at {hidden}", seen.mean_limit);
        prop_assert!(seen.refused_share < 0.05, "{} refused at {hidden}", seen.refused_share);
    }

    #[test]
    fn even_a_small_hidden_limit_leaves_most_requests_alone(hidden in 1_usize..5, spread in 0_u64..50, seed: u64) {
        let seen = run(hidden, settings(8), spread, seed);
        prop_assert!(seen.mean_limit < hidden as f64 + 1.0, "{} at {hidden}", seen.mean_limit);
        prop_assert!(seen.refused_share < 0.15, "{} refused at {hidden}", seen.refused_share);
    }
}
