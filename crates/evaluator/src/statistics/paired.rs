//! Two programs on the same examples.

use promptopt_core::Comparison;
use statrs::distribution::{Binomial, DiscreteCDF as _};

use super::basics::{RESAMPLES, is_binary, mean, normal_quantile, seeded, toss_signs};
use super::interval::graded;

/// How likely differences like those seen are where the programs are equally good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PValues {
    /// In either direction.
    pub two_sided: f64,
    /// In favour of the second.
    pub better: f64,
    /// In favour of the first.
    pub worse: f64,
}

impl PValues {
    const NONE: Self = Self { two_sided: 1.0, better: 1.0, worse: 1.0 };
}

/// Compares two programs on the same examples, the second against the first. Examples that either
/// has no score for are left out.
///
/// - All scores 0 or 1: the exact McNemar test (McNemar 1947, with the binomial in place of
///   chi-squared), and the interval of Bonett and Price (2012) for the difference of paired
///   proportions.
/// - Else a sign-flip permutation test (Good 2005, section 3.2) and a paired bootstrap, which is
///   that of [`estimate`](super::estimate) on the differences; both with fixed seeds.
pub fn compare(first: &[Option<f64>], second: &[Option<f64>], level: f64) -> Comparison {
    let pairs = Pairs::of(first, second);
    let (low, high) = pairs.interval(level);
    Comparison {
        n: pairs.differences.len(),
        difference: mean(&pairs.differences),
        low,
        high,
        level,
        wins: pairs.wins,
        losses: pairs.losses,
        p_value: pairs.p_values().two_sided,
        test: pairs.test().to_owned(),
    }
}

/// Compares two programs that ran several times on the same examples: one slice of scores an
/// example. The mean of an example's runs is its score, and examples are what is drawn and flipped,
/// so that many runs of few examples do not pass for many examples. An example that either did not
/// run on is left out.
pub fn compare_clustered(first: &[Vec<f64>], second: &[Vec<f64>], level: f64) -> Comparison {
    let means = |runs: &[Vec<f64>]| -> Vec<Option<f64>> {
        runs.iter().map(|runs| (!runs.is_empty()).then(|| mean(runs))).collect()
    };
    compare(&means(first), &means(second), level)
}

/// The p-values of [`compare`], one-sided ones included. A one-sided one is for a question that was
/// asked before the scores were seen: "is it better", where "it is worse" would change nothing.
///
/// ```
/// use promptopt_evaluator::statistics::p_values;
///
/// let first = vec![Some(0.0); 5];
/// let second = vec![Some(1.0); 5];
/// let p = p_values(&first, &second);
/// assert!((p.better - 1.0 / 32.0).abs() < 1e-9 && (p.two_sided - 1.0 / 16.0).abs() < 1e-9);
/// assert_eq!(p.worse, 1.0);
/// ```
pub fn p_values(first: &[Option<f64>], second: &[Option<f64>]) -> PValues {
    Pairs::of(first, second).p_values()
}

/// What is known of two programs on the same examples.
struct Pairs {
    differences: Vec<f64>,
    wins: usize,
    losses: usize,
    /// All scores are 0 or 1.
    binary: bool,
    /// All scores are from 0 to 1.
    bounded: bool,
}

impl Pairs {
    fn of(first: &[Option<f64>], second: &[Option<f64>]) -> Self {
        let pairs: Vec<(f64, f64)> =
            first.iter().zip(second).filter_map(|(first, second)| Some(((*first)?, (*second)?))).collect();
        let all =
            |holds: fn(f64) -> bool| pairs.iter().all(|(first, second)| holds(*first) && holds(*second));
        let differences: Vec<f64> = pairs.iter().map(|(first, second)| second - first).collect();
        Self {
            wins: differences.iter().filter(|difference| **difference > 0.0).count(),
            losses: differences.iter().filter(|difference| **difference < 0.0).count(),
            binary: all(is_binary),
            bounded: all(|score| (0.0..=1.0).contains(&score)),
            differences,
        }
    }

    fn test(&self) -> &'static str {
        match self.binary {
            _ if self.differences.is_empty() => "none",
            true => "exact McNemar",
            false => "paired permutation",
        }
    }

    fn interval(&self, level: f64) -> (f64, f64) {
        if self.differences.is_empty() {
            return (-1.0, 1.0);
        }
        if self.binary {
            return paired_proportions(self.wins, self.losses, self.differences.len(), level);
        }
        graded(&self.differences, level, self.bounded.then_some((-1.0, 1.0)))
    }

    fn p_values(&self) -> PValues {
        if self.binary { mcnemar(self.wins, self.losses) } else { sign_flip(&self.differences) }
    }
}

/// Bonett and Price (2012): the adjusted Wald interval with half an observation added to each of
/// the two discordant cells.
fn paired_proportions(wins: usize, losses: usize, n: usize, level: f64) -> (f64, f64) {
    let total = n as f64 + 2.0;
    let (up, down) = ((wins as f64 + 1.0) / total, (losses as f64 + 1.0) / total);
    let half = normal_quantile(level) * ((up + down - (up - down).powi(2)) / total).sqrt();
    ((up - down - half).max(-1.0), (up - down + half).min(1.0))
}

/// The exact test: of the examples on which the two differ, either wins half, where neither is
/// better.
fn mcnemar(wins: usize, losses: usize) -> PValues {
    let discordant = (wins + losses) as u64;
    match Binomial::new(0.5, discordant) {
        Ok(binomial) if discordant > 0 => {
            // As many or more of one sort are as few or fewer of the other.
            let (better, worse) = (binomial.cdf(losses as u64), binomial.cdf(wins as u64));
            PValues { two_sided: (2.0 * better.min(worse)).min(1.0), better, worse }
        }
        _ => PValues::NONE,
    }
}

fn sign_flip(differences: &[f64]) -> PValues {
    if differences.is_empty() {
        return PValues::NONE;
    }
    let mut rng = seeded(differences.len());
    let seen = differences.iter().sum::<f64>();
    // A sign changes nothing about 0.
    let moved: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let mut signs = vec![1.0; moved.len()];
    // The data as they are are one of the ways to flip them.
    let (mut extreme, mut above, mut below) = (1_usize, 1_usize, 1_usize);
    for _ in 0..RESAMPLES {
        toss_signs(&mut signs, &mut rng);
        let flipped: f64 = moved.iter().zip(&signs).map(|(difference, sign)| difference * sign).sum();
        // Sums of the same numbers in another order differ in the last digits.
        extreme += usize::from(flipped.abs() >= seen.abs() - 1e-12);
        above += usize::from(flipped >= seen - 1e-12);
        below += usize::from(flipped <= seen + 1e-12);
    }
    let share = |count: usize| count as f64 / (RESAMPLES + 1) as f64;
    PValues { two_sided: share(extreme), better: share(above), worse: share(below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 5e-4, "{left} is not {right}");
    }

    #[test]
    fn mcnemar_agrees_with_the_binomial() {
        let check = |wins, losses, expected: [f64; 3]| {
            let p = mcnemar(wins, losses);
            close(p.two_sided, expected[0]);
            close(p.better, expected[1]);
            close(p.worse, expected[2]);
        };
        check(10, 2, [0.03857, 0.01929, 0.9968]);
        check(2, 10, [0.03857, 0.9968, 0.01929]);
        check(0, 0, [1.0, 1.0, 1.0]);
        check(3, 3, [1.0, 0.65625, 0.65625]);
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
    fn a_clear_difference_is_found() {
        let first: Vec<_> = (0..40).map(|index| Some(f64::from(index % 7) / 10.0)).collect();
        let better: Vec<_> = first.iter().map(|score| score.map(|score| score + 0.2)).collect();
        let comparison = compare(&first, &better, 0.95);
        assert_eq!(comparison.test, "paired permutation");
        assert!(comparison.is_better() && comparison.p_value < 0.01, "{comparison:?}");
        close(comparison.difference, 0.2);
        assert_eq!((comparison.wins, comparison.losses), (40, 0));
        let p = p_values(&first, &better);
        assert!(p.better < 0.01 && p.worse > 0.99, "{p:?}");
    }

    /// The same runs over and over make no result surer.
    #[test]
    fn runs_of_one_example_count_as_one() {
        let first: Vec<Vec<f64>> = (0..8).map(|index| vec![f64::from(index % 2) / 2.0; 30]).collect();
        let second: Vec<Vec<f64>> = (0..8).map(|index| vec![f64::from(index % 3) / 2.0; 30]).collect();
        let once =
            |runs: &[Vec<f64>]| -> Vec<Option<f64>> { runs.iter().map(|runs| Some(runs[0])).collect() };
        let clustered = compare_clustered(&first, &second, 0.95);
        assert_eq!(clustered, compare(&once(&first), &once(&second), 0.95));
        assert_eq!(compare_clustered(&[vec![1.0], Vec::new()], &[vec![1.0], vec![0.0]], 0.95).n, 1);
    }

    #[test]
    fn a_comparison_of_nothing_says_nothing() {
        let comparison = compare(&[None, Some(1.0)], &[Some(1.0), None], 0.95);
        assert_eq!((comparison.n, comparison.p_value, comparison.test.as_str()), (0, 1.0, "none"));
        assert!(comparison.is_within_noise());
        let estimate = super::super::estimate(&[], 0.95);
        assert_eq!((estimate.n, estimate.low, estimate.high), (0, 0.0, 1.0));
    }
}
