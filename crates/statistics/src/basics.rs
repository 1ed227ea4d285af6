//! Moments, quantiles and draws that the other parts share.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

/// Resamples of a bootstrap and flips of a permutation test.
pub(crate) const RESAMPLES: usize = 2000;

/// The mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// A share as a percentage, without the noise of its binary form.
pub(crate) fn percent(share: f64) -> f64 {
    (share * 1e5).round() / 1e3
}

/// The two-sided normal quantile of a confidence level.
pub(crate) fn normal_quantile(level: f64) -> f64 {
    Normal::standard().inverse_cdf(0.5 + level.clamp(0.5, 0.9999) / 2.0)
}

/// The two-sided quantile of Student's t for the mean of `n` values; the normal one where `n` is
/// below 2.
pub(crate) fn student_quantile(n: usize, level: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, n.saturating_sub(1) as f64) {
        Ok(student) => student.inverse_cdf(0.5 + level.clamp(0.5, 0.9999) / 2.0),
        Err(_) => normal_quantile(level),
    }
}

/// Whether a score is 0 or 1.
pub(crate) fn is_binary(score: f64) -> bool {
    score == 0.0 || score == 1.0
}

/// The mean of the powers of the distances from the mean.
pub(crate) fn central_moment(values: &[f64], power: i32) -> f64 {
    let centre = mean(values);
    values.iter().map(|value| (value - centre).powi(power)).sum::<f64>() / values.len().max(1) as f64
}

/// The variance, divided by `n - 1`.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    central_moment(values, 2) * n / (n - 1.0).max(1.0)
}

/// A generator for `n` values: the same data give the same figures.
pub(crate) fn seeded(n: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(n as u64)
}

/// An index below `n`. Its probabilities differ by at most n in 2^32, far less than a bootstrap can show.
pub(crate) fn draw(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

/// Sets every sign to 1 or -1 by the toss of a coin.
pub(crate) fn toss_signs(signs: &mut [f64], rng: &mut ChaCha8Rng) {
    for part in signs.chunks_mut(64) {
        let mut bits = rng.next_u64();
        for sign in part {
            *sign = if bits & 1 == 0 { 1.0 } else { -1.0 };
            bits >>= 1;
        }
    }
}

/// The quantile of sorted values: the one that lies this share of the way through them.
pub(crate) fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((share.clamp(0.0, 1.0) * last).round() as usize).copied().unwrap_or_default()
}
