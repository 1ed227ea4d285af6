//! Two programs on the same examples.

use statrs::distribution::{Binomial, DiscreteCDF as _};

use crate::basics::{RESAMPLES, is_binary, mean, normal_quantile, seeded, toss_signs};
use crate::interval::graded;
use crate::{Comparison, Error, Scores};

/// How likely a difference at least as large as the one seen is, if the programs are equally good.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
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
///   that of [`estimate`](crate::estimate()) on the differences; both with fixed seeds.
///
/// The level is that of the interval, in (0, 1); below 0.5 and above 0.9999 these are used for it.
///
/// ```
/// use promptopt_statistics::{Scores, compare};
///
/// let before = Scores::of([0.2, 0.4, 0.3, 0.6, 0.1, 0.5, 0.4, 0.2])?;
/// let after = Scores::of([0.5, 0.6, 0.7, 0.9, 0.3, 0.8, 0.5, 0.6])?;
/// let comparison = compare(&before, &after, 0.95)?;
/// assert!(comparison.is_better());
/// assert_eq!(comparison.to_string(), "+0.27 (95 % interval +0.19 to +0.35, p = 0.006, n = 8): better");
/// # Ok::<(), promptopt_statistics::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Lengths`] where the two do not have equally many examples.
pub fn compare(first: &Scores, second: &Scores, level: f64) -> Result<Comparison, Error> {
    Ok(Pairs::of(first, second)?.compare(level))
}

/// The p-values of [`compare`], one-sided ones included. A one-sided one is for a question that was
/// asked before the scores were seen: "is it better", where "it is worse" would change nothing.
///
/// ```
/// use promptopt_statistics::{Scores, p_values};
///
/// let p = p_values(&Scores::of([0.0; 5])?, &Scores::of([1.0; 5])?)?;
/// assert!((p.better - 1.0 / 32.0).abs() < 1e-9 && (p.two_sided - 1.0 / 16.0).abs() < 1e-9);
/// assert_eq!(p.worse, 1.0);
/// # Ok::<(), promptopt_statistics::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Lengths`] where the two do not have equally many examples.
pub fn p_values(first: &Scores, second: &Scores) -> Result<PValues, Error> {
    Ok(Pairs::of(first, second)?.p_values())
}

/// The scores of two programs on the examples that both have a score for.
pub(crate) struct Pairs {
    scores: Vec<(f64, f64)>,
    differences: Vec<f64>,
    wins: usize,
    losses: usize,
    /// All scores are 0 or 1.
    binary: bool,
    /// All scores are from 0 to 1.
    bounded: bool,
}

impl Pairs {
    pub(crate) fn of(first: &Scores, second: &Scores) -> Result<Self, Error> {
        if first.len() != second.len() {
            return Err(Error::Lengths { first: first.len(), second: second.len() });
        }
        let pairs = first.as_slice().iter().zip(second.as_slice());
        let scores: Vec<(f64, f64)> =
            pairs.filter_map(|(first, second)| Some(((*first)?, (*second)?))).collect();
        let all =
            |holds: fn(f64) -> bool| scores.iter().all(|(first, second)| holds(*first) && holds(*second));
        let differences: Vec<f64> = scores.iter().map(|(first, second)| second - first).collect();
        Ok(Self {
            wins: differences.iter().filter(|difference| **difference > 0.0).count(),
            losses: differences.iter().filter(|difference| **difference < 0.0).count(),
            binary: all(is_binary),
            bounded: all(|score| (0.0..=1.0).contains(&score)),
            differences,
            scores,
        })
    }

    pub(crate) fn compare(&self, level: f64) -> Comparison {
        let (low, high) = self.interval(level);
        Comparison {
            n: self.differences.len(),
            difference: mean(&self.differences),
            low,
            high,
            level,
            wins: self.wins,
            losses: self.losses,
            p_value: self.p_values().two_sided,
            test: self.test().to_owned(),
        }
    }

    /// The mean of either program on the examples that both were scored on.
    pub(crate) fn means(&self) -> (f64, f64) {
        let (first, second): (Vec<f64>, Vec<f64>) = self.scores.iter().copied().unzip();
        (mean(&first), mean(&second))
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

/// The exact test: if neither program is better, each wins half of the examples on which they differ.
fn mcnemar(wins: usize, losses: usize) -> PValues {
    let discordant = (wins + losses) as u64;
    match Binomial::new(0.5, discordant) {
        Ok(binomial) if discordant > 0 => {
            // So many wins or more are so many losses or fewer.
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
    // The data as they are count as one of the flips.
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
        let first = Scores::new([Some(0.0), Some(0.0), Some(1.0), None, Some(0.0)]).unwrap();
        let second = Scores::of([1.0, 1.0, 1.0, 1.0, 0.0]).unwrap();
        let comparison = compare(&first, &second, 0.95).unwrap();
        assert_eq!((comparison.n, comparison.wins, comparison.losses), (4, 2, 0));
        close(comparison.difference, 0.5);
        assert!(comparison.is_within_noise());
    }

    #[test]
    fn a_clear_difference_is_found_in_either_direction() {
        let first: Vec<f64> = (0..40).map(|index| f64::from(index % 7) / 10.0).collect();
        let better = Scores::of(first.iter().map(|score| score + 0.2)).unwrap();
        let first = Scores::of(first).unwrap();
        let comparison = compare(&first, &better, 0.95).unwrap();
        assert_eq!(comparison.test, "paired permutation");
        assert!(comparison.is_better() && comparison.p_value < 0.01, "{comparison:?}");
        close(comparison.difference, 0.2);
        assert_eq!((comparison.wins, comparison.losses), (40, 0));
        let p = p_values(&first, &better).unwrap();
        assert!(p.better < 0.01 && p.worse > 0.99, "{p:?}");
        let mirrored = compare(&better, &first, 0.95).unwrap();
        assert!(mirrored.is_worse() && !mirrored.is_better() && !mirrored.is_within_noise(), "{mirrored:?}");
    }

    /// The same runs over and over make no result surer.
    #[test]
    fn runs_of_one_example_count_as_one() {
        let runs = |most: u32| -> Vec<Vec<f64>> {
            (0..8).map(|index| vec![f64::from(index % most) / 2.0; 30]).collect()
        };
        let clustered = |runs: &[Vec<f64>]| Scores::of_runs(runs).unwrap();
        let once = |runs: &[Vec<f64>]| Scores::of(runs.iter().map(|runs| runs[0])).unwrap();
        let (first, second) = (runs(2), runs(3));
        assert_eq!(
            compare(&clustered(&first), &clustered(&second), 0.95).unwrap(),
            compare(&once(&first), &once(&second), 0.95).unwrap()
        );
        let (first, second) = (clustered(&[vec![1.0], Vec::new()]), clustered(&[vec![1.0], vec![0.0]]));
        assert_eq!(compare(&first, &second, 0.95).unwrap().n, 1);
    }

    #[test]
    fn a_comparison_of_nothing_says_nothing() {
        let (first, second) = (Scores::lossy([None, Some(1.0)]), Scores::lossy([Some(1.0), None]));
        let comparison = compare(&first, &second, 0.95).unwrap();
        assert_eq!((comparison.n, comparison.p_value, comparison.test.as_str()), (0, 1.0, "none"));
        assert!(comparison.is_within_noise());
        assert_eq!(comparison, Comparison::default());
    }

    #[test]
    fn programs_with_other_examples_are_not_compared() {
        let (first, second) = (Scores::of([1.0; 3]).unwrap(), Scores::of([1.0; 2]).unwrap());
        let error = Error::Lengths { first: 3, second: 2 };
        assert_eq!(compare(&first, &second, 0.95), Err(error));
        assert_eq!(p_values(&first, &second), Err(error));
    }
}
