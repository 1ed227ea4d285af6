//! Intervals and comparisons: how sure a mean score is.

use promptopt_core::{Comparison, Estimate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Binomial, ContinuousCDF as _, DiscreteCDF as _, Normal, StudentsT};

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 2000;
/// Beyond this many examples the normal approximation is as good as a bootstrap.
const MANY: usize = 2000;

/// The mean of some scores with its confidence interval: Wilson's where all scores are 0 or 1,
/// else an expanded percentile bootstrap with a fixed seed (the normal approximation beyond 2,000
/// scores).
/// Without any score, the mean is 0 and the interval all of [0, 1].
///
/// ```
/// let estimate = promptopt_evaluator::estimate(&[1.0, 1.0, 0.0, 1.0], 0.95);
/// assert_eq!(estimate.mean, 0.75);
/// assert!(estimate.low > 0.29 && estimate.high < 0.96);
/// ```
pub fn estimate(scores: &[f64], level: f64) -> Estimate {
    let n = scores.len();
    if n == 0 {
        return Estimate { low: 0.0, high: 1.0, level, ..Estimate::default() };
    }
    let mean = mean(scores);
    let (low, high) = if scores.iter().all(|score| is_binary(*score)) {
        wilson(scores.iter().filter(|score| **score == 1.0).count(), n, level)
    } else {
        spread(scores, level)
    };
    Estimate { mean, low, high, level, n, failed: 0, missing: 0 }
}

/// Wilson's score interval for a proportion (Wilson 1927).
pub fn wilson(successes: usize, n: usize, level: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (n as f64, normal_quantile(level));
    let share = successes as f64 / n;
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

/// Compares two programs on the same examples, the second against the first. Examples that either
/// has no score for are left out.
///
/// Where all scores are 0 or 1: the exact McNemar test, and the interval of Bonett and Price
/// (2012) for the difference of paired proportions. Else a paired expanded percentile bootstrap and
/// a sign-flip permutation test, with fixed seeds.
pub fn compare(first: &[Option<f64>], second: &[Option<f64>], level: f64) -> Comparison {
    let pairs: Vec<(f64, f64)> =
        first.iter().zip(second).filter_map(|(first, second)| Some(((*first)?, (*second)?))).collect();
    let differences: Vec<f64> = pairs.iter().map(|(first, second)| second - first).collect();
    let wins = differences.iter().filter(|difference| **difference > 0.0).count();
    let losses = differences.iter().filter(|difference| **difference < 0.0).count();
    let binary = pairs.iter().all(|(first, second)| is_binary(*first) && is_binary(*second));
    let (low, high, p_value, test) = if pairs.is_empty() {
        (-1.0, 1.0, 1.0, "none")
    } else if binary {
        let (low, high) = paired_proportions(wins, losses, pairs.len(), level);
        (low, high, mcnemar(wins, losses), "exact McNemar")
    } else {
        let (low, high) = spread(&differences, level);
        (low, high, sign_flip(&differences), "paired permutation")
    };
    Comparison {
        n: pairs.len(),
        difference: mean(&differences),
        low,
        high,
        level,
        wins,
        losses,
        p_value,
        test: test.to_owned(),
    }
}

fn is_binary(score: f64) -> bool {
    score == 0.0 || score == 1.0
}

/// The mean; 0 of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The two-sided normal quantile of a confidence level.
pub(crate) fn normal_quantile(level: f64) -> f64 {
    Normal::standard().inverse_cdf(0.5 + level.clamp(0.5, 0.9999) / 2.0)
}

fn spread(values: &[f64], level: f64) -> (f64, f64) {
    // One value says nothing of its spread.
    if let [single] = values {
        return (single.min(0.0) - 1.0, single.max(0.0) + 1.0);
    }
    if values.len() > MANY { normal_interval(values, level) } else { bootstrap_interval(values, level) }
}

fn normal_interval(values: &[f64], level: f64) -> (f64, f64) {
    let (centre, n) = (mean(values), values.len() as f64);
    let variance = values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let half = normal_quantile(level) * (variance / n).sqrt();
    (centre - half, centre + half)
}

fn bootstrap_interval(values: &[f64], level: f64) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(values.len() as u64);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..values.len()).filter_map(|_| values.get(rng.random_range(0..values.len())));
            drawn.sum::<f64>() / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * (means.len() - 1) as f64).round() as usize;
        means.get(index).copied().unwrap_or_default()
    };
    let tail = expanded_tail(values.len(), level);
    (at(tail), at(1.0 - tail))
}

/// The tail of a bootstrap interval. With (1 - level) / 2 the interval of a few scores is too
/// narrow (it holds the truth in 90 of 100 cases at ten scores and a level of 95 %); the expanded
/// percentile interval (Hesterberg 2015) makes it as wide as Student's t would.
fn expanded_tail(n: usize, level: f64) -> f64 {
    let n = n as f64;
    let Ok(student) = StudentsT::new(0.0, 1.0, n - 1.0) else { return 0.0 };
    let quantile = student.inverse_cdf(0.5 + level.clamp(0.5, 0.9999) / 2.0);
    Normal::standard().cdf(-quantile * (n / (n - 1.0)).sqrt())
}

/// Bonett and Price (2012): the adjusted Wald interval with half an observation added to each of
/// the two discordant cells.
fn paired_proportions(wins: usize, losses: usize, n: usize, level: f64) -> (f64, f64) {
    let total = n as f64 + 2.0;
    let (up, down) = ((wins as f64 + 1.0) / total, (losses as f64 + 1.0) / total);
    let half = normal_quantile(level) * ((up + down - (up - down).powi(2)) / total).sqrt();
    ((up - down - half).max(-1.0), (up - down + half).min(1.0))
}

fn mcnemar(wins: usize, losses: usize) -> f64 {
    let discordant = (wins + losses) as u64;
    match Binomial::new(0.5, discordant) {
        Ok(binomial) if discordant > 0 => (2.0 * binomial.cdf(wins.min(losses) as u64)).min(1.0),
        _ => 1.0,
    }
}

fn sign_flip(differences: &[f64]) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(differences.len() as u64);
    let seen = differences.iter().sum::<f64>().abs();
    let as_extreme = (0..RESAMPLES).filter(|_| {
        let flipped: f64 = differences
            .iter()
            .map(|difference| if rng.random_bool(0.5) { *difference } else { -difference })
            .sum();
        // Sums of the same numbers in another order differ in the last digits.
        flipped.abs() >= seen - 1e-12
    });
    (as_extreme.count() + 1) as f64 / (RESAMPLES + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 5e-4, "{left} is not {right}");
    }

    #[test]
    fn wilson_agrees_with_the_textbook() {
        let (low, high) = wilson(81, 263, 0.95);
        close(low, 0.2553);
        close(high, 0.3662);
        assert_eq!(wilson(0, 0, 0.95), (0.0, 1.0));
        close(wilson(0, 10, 0.95).1, 0.2775);
    }

    #[test]
    fn mcnemar_agrees_with_the_binomial() {
        close(mcnemar(10, 2), 0.03857);
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(3, 3), 1.0);
    }

    #[test]
    fn the_direction_of_a_comparison_is_second_minus_first() {
        let first = [Some(0.0), Some(0.0), Some(1.0), None, Some(0.0)];
        let second = [Some(1.0), Some(1.0), Some(1.0), Some(1.0), Some(0.0)];
        let comparison = compare(&first, &second, 0.95);
        assert_eq!((comparison.n, comparison.wins, comparison.losses), (4, 2, 0));
        close(comparison.difference, 0.5);
        assert!(comparison.is_within_noise());
    }

    #[test]
    fn graded_scores_get_a_bootstrap_interval_around_the_mean() {
        let scores: Vec<f64> = (0..100).map(|index| f64::from(index % 10) / 10.0).collect();
        let estimate = estimate(&scores, 0.95);
        assert!(estimate.low < 0.45 && 0.45 < estimate.high && estimate.high - estimate.low < 0.2);
    }

    /// Intervals hold the truth as often as they say, within two points.
    #[test]
    fn coverage_is_nominal() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for truth in [0.3, 0.5, 0.8] {
            let runs = 2000;
            let held = (0..runs).filter(|_| {
                let successes = (0..100).filter(|_| rng.random_bool(truth)).count();
                let (low, high) = wilson(successes, 100, 0.95);
                low <= truth && truth <= high
            });
            let coverage = held.count() as f64 / f64::from(runs);
            assert!((coverage - 0.95).abs() < 0.02, "{coverage} at {truth}");
        }
    }

    /// Where there is no difference, a test at the 5 % level finds one in at most 5 % of all cases,
    /// give or take two points.
    #[test]
    fn comparisons_seldom_see_what_is_not_there() {
        let check = |test: &str, p_value: &dyn Fn(&mut ChaCha8Rng) -> f64| {
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let found = (0..1000).filter(|_| p_value(&mut rng) < 0.05).count();
            assert!(found <= 70, "{test}: {found} of 1000");
            assert!(found >= 5, "{test} never finds anything: {found} of 1000");
        };
        check("exact McNemar", &|rng| {
            let scores = |rng: &mut ChaCha8Rng| -> Vec<Option<f64>> {
                (0..60).map(|_| Some(f64::from(u8::from(rng.random_bool(0.6))))).collect()
            };
            let comparison = compare(&scores(rng), &scores(rng), 0.95);
            assert_eq!(comparison.test, "exact McNemar");
            comparison.p_value
        });
        // Graded scores, skewed and with ties.
        check("paired permutation", &|rng| {
            let differences: Vec<f64> = (0..7)
                .map(|_| f64::from(rng.random_range(0..5_i32).pow(2) - rng.random_range(0..5_i32).pow(2)))
                .collect();
            sign_flip(&differences)
        });
    }

    #[test]
    fn a_clear_difference_is_found() {
        let first: Vec<_> = (0..40).map(|index| Some(f64::from(index % 7) / 10.0)).collect();
        let better: Vec<_> = first.iter().map(|score| score.map(|score| score + 0.2)).collect();
        let comparison = compare(&first, &better, 0.95);
        assert_eq!(comparison.test, "paired permutation");
        assert!(comparison.is_better() && comparison.p_value < 0.01, "{comparison:?}");
        close(comparison.difference, 0.2);
        assert_eq!((comparison.wins, comparison.losses), (40, 0));
    }

    #[test]
    fn paired_intervals_hold_the_true_difference_as_often_as_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for (first, second) in [(0.5, 0.7), (0.9, 0.95), (0.2, 0.2)] {
            let runs = 2000;
            let held = (0..runs).filter(|_| {
                let mut scores = |share: f64| -> Vec<Option<f64>> {
                    (0..50).map(|_| Some(f64::from(u8::from(rng.random_bool(share))))).collect()
                };
                let comparison = compare(&scores(first), &scores(second), 0.95);
                let truth = second - first;
                comparison.low <= truth && truth <= comparison.high
            });
            let coverage = held.count() as f64 / f64::from(runs);
            assert!((0.93..0.985).contains(&coverage), "{coverage} at {first} and {second}");
        }
    }

    /// Differences of few graded scores; the interval is the one that `compare` gives them.
    #[test]
    fn intervals_of_few_graded_scores_are_wide_enough() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let runs = 500;
        let held = (0..runs).filter(|_| {
            let graded = |rng: &mut ChaCha8Rng| rng.random_range(0.0..1.0_f64).powi(2);
            let differences: Vec<f64> = (0..10).map(|_| graded(&mut rng) - graded(&mut rng)).collect();
            let (low, high) = spread(&differences, 0.95);
            low <= 0.0 && 0.0 <= high
        });
        let coverage = held.count() as f64 / f64::from(runs);
        assert!((coverage - 0.95).abs() < 0.025, "{coverage}");
    }

    #[test]
    fn a_comparison_of_nothing_says_nothing() {
        let comparison = compare(&[None, Some(1.0)], &[Some(1.0), None], 0.95);
        assert_eq!((comparison.n, comparison.p_value, comparison.test.as_str()), (0, 1.0, "none"));
        assert!(comparison.is_within_noise());
        let estimate = estimate(&[], 0.95);
        assert_eq!((estimate.n, estimate.low, estimate.high), (0, 0.0, 1.0));
    }
}
