//! Coverage of the intervals of one mean.

use promptopt_statistics::{Estimate, estimate, wilson};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::sample::{bell, clustered, inflated, known, low, nearly_all_right, share, toss, values};

type Score = fn(&mut ChaCha8Rng) -> f64;

fn coverage(runs: usize, n: usize, one: Score, truth: f64) -> f64 {
    share(runs, n as u64, |rng| {
        let estimate = estimate(&known(values(rng, n, one)), 0.95);
        estimate.low <= truth && truth <= estimate.high
    })
}

#[test]
fn wilson_holds_the_truth_as_often_as_it_says() {
    for truth in [0.3, 0.5, 0.8] {
        let coverage = share(2000, 1, |rng| {
            let successes = (0..100).filter(|_| rng.random_bool(truth)).count();
            let (low, high) = wilson(successes, 100, 0.95);
            low <= truth && truth <= high
        });
        assert!((coverage - 0.95).abs() <= 0.02, "{coverage} at {truth}");
    }
}

/// Within two points from 20 scores up.
#[test]
fn graded_intervals_hold_the_truth_as_often_as_they_say() {
    let scores: [(&str, Score, f64); 4] = [
        ("Beta(2, 2)", bell, 0.5),
        ("Beta(1, 10)", low, 1.0 / 11.0),
        ("inflated at both ends", inflated, 0.55),
        ("nearly all right", nearly_all_right, 0.95),
    ];
    for (name, one, truth) in scores {
        for (n, runs) in [(20, 1000), (50, 1000), (200, 300)] {
            let coverage = coverage(runs, n, one, truth);
            println!("{name}, n = {n}: {:.1} %", coverage * 100.0);
            assert!((0.93..=0.975).contains(&coverage), "{name}, n = {n}: {coverage}");
        }
    }
}

/// With ten scores and a long tail the interval is too narrow, but not by much.
#[test]
fn intervals_of_few_graded_scores_are_wide_enough() {
    let check = |name: &str, one: Score, truth| {
        let coverage = coverage(1000, 10, one, truth);
        println!("{name}, n = 10: {:.1} %", coverage * 100.0);
        assert!(coverage >= 0.91, "{name}: {coverage}");
    };
    check("Beta(2, 2)", bell, 0.5);
    check("Beta(1, 10)", low, 1.0 / 11.0);
    check("inflated at both ends", inflated, 0.55);
}

/// A score that is rare and far off: where it was not seen, only the bounds of the scores help.
#[test]
fn a_rare_failure_that_was_not_seen_is_allowed_for() {
    let rare: Score = |rng| if rng.random_bool(0.95) { 0.9 } else { 0.0 };
    for n in [10, 20] {
        let coverage = coverage(1000, n, rare, 0.855);
        println!("a rare failure, n = {n}: {:.1} %", coverage * 100.0);
        assert!(coverage >= 0.9, "n = {n}: {coverage}");
    }
}

/// Forty examples, each as hard as it is, run five times.
#[test]
fn runs_of_the_same_example_are_not_counted_as_examples() {
    let runs = |rng: &mut ChaCha8Rng| -> Vec<Vec<f64>> {
        (0..40)
            .map(|_| {
                let chance = inflated(rng);
                values(rng, 5, |rng| toss(rng, chance))
            })
            .collect()
    };
    let holds = |estimate: Estimate| estimate.low <= 0.55 && 0.55 <= estimate.high;
    let counted_once = share(1000, 5, |rng| holds(estimate(&clustered(&runs(rng)), 0.95)));
    let naive = share(1000, 5, |rng| holds(estimate(&known(runs(rng).concat()), 0.95)));
    println!("clustered {:.1} %, as if they were examples {:.1} %", counted_once * 100.0, naive * 100.0);
    assert!((0.93..=0.975).contains(&counted_once), "{counted_once}");
    assert!(naive < 0.8, "{naive}");
}
