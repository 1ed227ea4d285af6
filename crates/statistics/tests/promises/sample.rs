//! Scores to try the statistics on.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_statistics::Scores;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Runs are multiplied by this to measure the figures in comments.
const MORE: usize = 1;

/// How often something happens in a number of runs, with a fixed seed.
pub(crate) fn share(runs: usize, seed: u64, mut happens: impl FnMut(&mut ChaCha8Rng) -> bool) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let runs = runs * MORE;
    let count = (0..runs).filter(|_| happens(&mut rng)).count();
    count as f64 / runs as f64
}

/// One score, 0 or 1.
pub(crate) fn toss(rng: &mut ChaCha8Rng, chance: f64) -> f64 {
    f64::from(u8::from(rng.random_bool(chance)))
}

/// Some values of a kind.
pub(crate) fn values(
    rng: &mut ChaCha8Rng,
    n: usize,
    mut one: impl FnMut(&mut ChaCha8Rng) -> f64,
) -> Vec<f64> {
    (0..n).map(|_| one(rng)).collect()
}

/// Scores that are all known.
pub(crate) fn known(scores: Vec<f64>) -> Scores {
    Scores::of(scores).unwrap()
}

/// The scores of a program that ran several times on every example.
pub(crate) fn clustered(runs: &[Vec<f64>]) -> Scores {
    Scores::of_runs(runs).unwrap()
}

/// A Beta(2, 2), by the middle of three even numbers.
pub(crate) fn bell(rng: &mut ChaCha8Rng) -> f64 {
    let mut three: [f64; 3] = rng.random();
    three.sort_by(f64::total_cmp);
    three[1]
}

/// A Beta(1, 10).
pub(crate) fn low(rng: &mut ChaCha8Rng) -> f64 {
    1.0 - rng.random::<f64>().powf(0.1)
}

/// 0 for three in ten, 1 for four in ten, else anything between.
pub(crate) fn inflated(rng: &mut ChaCha8Rng) -> f64 {
    match rng.random::<f64>() {
        chance if chance < 0.3 => 0.0,
        chance if chance < 0.7 => 1.0,
        _ => rng.random(),
    }
}

/// 1 for nine in ten, else anything below.
pub(crate) fn nearly_all_right(rng: &mut ChaCha8Rng) -> f64 {
    if rng.random_bool(0.9) { 1.0 } else { rng.random() }
}
