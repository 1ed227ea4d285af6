//! A comparison that is looked at after every example.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_statistics::{Scores, SequentialComparison, Verdict, p_values};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::sample::share;

/// The most examples of a run.
const MOST: usize = 1000;

/// The difference on an example where 0/1 scores differ on three in ten.
fn difference(rng: &mut ChaCha8Rng, gain: f64) -> f64 {
    match rng.random::<f64>() {
        chance if chance < 0.15 + gain / 2.0 => 1.0,
        chance if chance < 0.3 => -1.0,
        _ => 0.0,
    }
}

/// Goes on until there is a verdict or no example is left.
fn run(rng: &mut ChaCha8Rng, mut one: impl FnMut(&mut ChaCha8Rng) -> f64) -> (Verdict, usize) {
    let mut comparison = SequentialComparison::new(0.05);
    while comparison.verdict() == Verdict::Undecided && comparison.len() < MOST {
        comparison.push(0.0, one(rng)).unwrap();
    }
    (comparison.verdict(), comparison.len())
}

/// Looked at after each of 1,000 examples. No allowance for chance: the bound is strict, and the test stays
/// well below it.
#[test]
fn looking_after_every_example_finds_nothing_that_is_not_there() {
    let check = |name: &str, one: fn(&mut ChaCha8Rng) -> f64| {
        let found = share(1000, 1, |rng| run(rng, one).0 != Verdict::Undecided);
        println!("{name}: {:.1} %", found * 100.0);
        assert!(found <= 0.05, "{name}: {found}");
        assert!(found > 0.0, "{name} never finds anything");
    };
    check("0/1", |rng| difference(rng, 0.0));
    check("graded", |rng| rng.random::<f64>() - rng.random::<f64>());
    check("seldom much worse, often a little better", |rng| if rng.random_bool(0.1) { -0.9 } else { 0.1 });
}

/// What the test above protects from: an exact test at 5 % after every tenth of 500 examples.
#[test]
fn looking_again_and_again_at_a_p_value_finds_what_is_not_there() {
    let p_value = |first: &[f64], second: &[f64]| {
        p_values(&Scores::of(first).unwrap(), &Scores::of(second).unwrap()).unwrap().two_sided
    };
    let found = share(200, 2, |rng| {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        (1..=500).any(|examples| {
            let difference = difference(rng, 0.0);
            first.push(f64::from(u8::from(difference < 0.0)));
            second.push(f64::from(u8::from(difference > 0.0)));
            examples % 10 == 0 && p_value(&first, &second) <= 0.05
        })
    });
    println!("by repeated tests: {:.1} %", found * 100.0);
    assert!(found > 0.15, "{found}");
}

/// The figures in the documentation of [`SequentialComparison`].
#[test]
fn differences_are_found_with_as_many_examples_as_is_said() {
    let check = |gain: f64, power: std::ops::RangeInclusive<f64>, mean: std::ops::RangeInclusive<f64>| {
        let mut lengths = Vec::new();
        let found = share(400, 3, |rng| {
            let (verdict, length) = run(rng, |rng| difference(rng, gain));
            lengths.push(length as f64);
            verdict == Verdict::Better
        });
        let length = lengths.iter().sum::<f64>() / lengths.len() as f64;
        println!("a gain of {gain}: found in {:.1} %, after {length:.0} examples", found * 100.0);
        assert!(power.contains(&found), "{gain}: {found}");
        assert!(mean.contains(&length), "{gain}: {length}");
    };
    check(0.2, 0.99..=1.0, 50.0..=90.0);
    check(0.1, 0.95..=1.0, 220.0..=340.0);
    check(0.05, 0.4..=0.65, 600.0..=900.0);
}

#[test]
fn the_interval_holds_the_truth_at_every_look() {
    let looks = [5, 20, 60, 200, 600];
    let held = share(200, 4, |rng| {
        let mut comparison = SequentialComparison::new(0.05);
        (1..=600).all(|examples| {
            comparison.push(0.0, difference(rng, 0.1)).unwrap();
            let (low, high) = if looks.contains(&examples) { comparison.interval() } else { (-1.0, 1.0) };
            low <= 0.1 && 0.1 <= high
        })
    });
    println!("the interval holds at every look in {:.1} %", held * 100.0);
    assert!(held >= 0.95, "{held}");
    let mut comparison = SequentialComparison::new(0.05);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..600 {
        comparison.push(0.0, difference(&mut rng, 0.1)).unwrap();
    }
    let (low, high) = comparison.interval();
    assert!(high - low < 0.2, "{low} {high}");
}
