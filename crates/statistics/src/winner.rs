//! Whether the best of several candidates is better than the baseline.

use std::borrow::Borrow;

use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::basics::{RESAMPLES, at, draw, mean, seeded, toss_signs};
use crate::{Comparison, Error, PValues, Scores, compare, p_values};

/// Draws of the correction for having been chosen.
const DRAWS: usize = 500;

/// The best of several candidates against the baseline, with allowance for the choice.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Winner {
    /// Its index among the candidates.
    pub candidate: usize,
    /// How many candidates there were to choose from.
    pub candidates: usize,
    /// The winner against the baseline. The p-value is the probability that the best of so many
    /// candidates looks that different if none of them is. The interval is simultaneous: the level is the
    /// probability that the intervals of all candidates hold their true differences.
    pub comparison: Comparison,
    /// The p-value as if it had been the only candidate.
    pub unadjusted: f64,
    /// The p-value by Holm's method (1979), as a cross-check. It ignores how alike the candidates score
    /// and is larger for that.
    pub holm: f64,
    /// Its mean on the examples that it was chosen on. It is too high on average, because of the choice.
    pub mean: f64,
    /// What to expect of it on other examples.
    pub corrected_mean: f64,
    /// What it is expected to gain on other examples.
    pub corrected_gain: f64,
}

impl Winner {
    /// The correction of the mean, as a sentence for a report.
    pub fn expectation(&self) -> String {
        format!(
            "a score leans upward where it was chosen by: {:.3} there, about {:.3} to be expected on other examples",
            self.mean, self.corrected_mean
        )
    }
}

/// Chooses the candidate with the highest mean difference from the baseline, the earliest of equals,
/// and says how sure it is that it is better. An example that a candidate has no score for is left out of
/// its mean.
///
/// ```
/// use promptopt_statistics::{Scores, choose_winner};
///
/// // Twenty candidates that toss coins, as the baseline does.
/// let tosses = |program: u64| {
///     let bits = (program + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
///     Scores::of((0..40).map(|example| (bits >> example & 1) as f64))
/// };
/// let candidates = (1..21).map(tosses).collect::<Result<Vec<_>, _>>()?;
/// let winner = choose_winner(&tosses(0)?, &candidates, 0.95)?;
/// assert!(winner.mean > 0.55, "the best of twenty looks good");
/// assert!(winner.comparison.is_within_noise(), "but is not");
/// assert!(winner.corrected_mean < winner.mean);
/// # Ok::<(), promptopt_statistics::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NoCandidate`] where there is none, [`Error::Lengths`] where one does not have as many examples
/// as the baseline.
pub fn choose_winner(baseline: &Scores, candidates: &[Scores], level: f64) -> Result<Winner, Error> {
    let mut best: Option<(usize, f64)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let mean = mean(&differences(baseline, candidate));
        if best.is_none_or(|(_, highest)| mean > highest) {
            best = Some((index, mean));
        }
    }
    judge_winner(baseline, candidates, best.map_or(0, |(index, _)| index), level)
}

/// The same as [`choose_winner`], for a candidate that was already chosen for its highest mean.
/// Candidates that were given up after a part of the examples should be among `candidates`, because they
/// might have won. They are gone over several times, so an iterator that makes the scores of each anew needs no
/// room for all of them.
///
/// # Methods
///
/// - p-value: the differences of all candidates from the baseline are flipped in sign together, example
///   by example, so that candidates that score alike count as little more than one; the largest
///   standardised sum of every flip makes the distribution (the maximum test of Westfall and Young
///   1993, section 2.6). It is never below the unadjusted p-value.
/// - interval: that of [`compare`] at the level that the quantile of this distribution stands for, which lies
///   between the nominal one and Bonferroni's.
/// - correction: the bootstrap bias-corrected cross-validation of Tsamardinos, Greasidou and Borboudakis
///   (2018, section 3): the winner among baseline and candidates is chosen on examples drawn with replacement
///   and scored on those that were not drawn, 500 times. The correction judges this way of choosing rather
///   than the one candidate, and is a little too low, because each draw chooses with two thirds of the
///   examples only.
///
/// # Errors
///
/// [`Error::NoCandidate`] where the index is none of theirs, [`Error::Lengths`] where one does not have as
/// many examples as the baseline.
pub fn judge_winner(
    baseline: &Scores,
    candidates: impl IntoIterator<Item: Borrow<Scores>> + Clone,
    winner: usize,
    level: f64,
) -> Result<Winner, Error> {
    let all = || candidates.clone().into_iter();
    let missing = || Error::NoCandidate { candidate: winner, candidates: all().count() };
    let chosen = all().nth(winner).ok_or_else(missing)?;
    let chosen = chosen.borrow();
    let known = chosen.known();
    let family: Vec<Standardised> =
        all().map(|candidate| Standardised::of(baseline, candidate.borrow())).collect();
    let count = family.len();
    let plain = compare(baseline, chosen, level)?;
    let unadjusted = plain.p_value;
    let (comparison, holm) = if count < 2 {
        (plain, unadjusted)
    } else {
        let holm = holm(baseline, all(), winner)?;
        let largest = largest_by_chance(&family, baseline.len());
        let seen = family.get(winner).map_or(0.0, Standardised::sum);
        let as_large = largest.iter().filter(|chance| **chance >= seen.abs() - 1e-9).count();
        let p_value = (as_large + 1) as f64 / (RESAMPLES + 1) as f64;
        let wide = compare(baseline, chosen, adjusted_level(&largest, level, count))?;
        let adjusted = Comparison {
            level,
            p_value: p_value.max(unadjusted),
            test: format!("{}, adjusted for the best of {count}", plain.test),
            ..wide
        };
        (adjusted, holm)
    };
    // A candidate that was given up early has too few scores to be chosen by its mean.
    let finishers: Vec<_> =
        all().filter(|candidate| candidate.borrow().known().len() * 10 >= known.len() * 9).collect();
    let finishers: Vec<&Scores> = finishers.iter().map(Borrow::borrow).collect();
    let (corrected_mean, corrected_gain) = corrected(baseline, &finishers);
    Ok(Winner {
        candidate: winner,
        candidates: count,
        comparison,
        unadjusted,
        holm,
        mean: mean(&known),
        corrected_mean,
        corrected_gain,
    })
}

/// Candidate minus baseline on every example that both have a score for, with the index of the example.
fn indexed(baseline: &Scores, candidate: &Scores) -> impl Iterator<Item = (usize, f64)> {
    let pairs = baseline.as_slice().iter().zip(candidate.as_slice()).enumerate();
    pairs.filter_map(|(index, (first, second))| Some((index, (*second)? - (*first)?)))
}

fn differences(baseline: &Scores, candidate: &Scores) -> Vec<f64> {
    indexed(baseline, candidate).map(|(_, difference)| difference).collect()
}

/// The differences of a candidate that are not 0, with their examples, divided by the root of the sum of
/// their squares.
struct Standardised(Vec<(usize, f64)>);

impl Standardised {
    fn of(baseline: &Scores, candidate: &Scores) -> Self {
        let moved = indexed(baseline, candidate).filter(|(_, difference)| *difference != 0.0);
        let mut values: Vec<(usize, f64)> = moved.collect();
        let root = values.iter().map(|(_, value)| value * value).sum::<f64>().sqrt();
        values.iter_mut().for_each(|(_, value)| *value /= root);
        Self(values)
    }

    fn sum(&self) -> f64 {
        self.0.iter().map(|(_, value)| value).sum()
    }

    fn flipped(&self, signs: &[f64]) -> f64 {
        self.0.iter().filter_map(|(index, value)| Some(signs.get(*index)? * value)).sum()
    }
}

/// The largest standardised sum of any candidate, for every flip, in ascending order.
fn largest_by_chance(family: &[Standardised], examples: usize) -> Vec<f64> {
    let mut rng = seeded(examples);
    let mut signs = vec![1.0; examples];
    let mut largest: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            toss_signs(&mut signs, &mut rng);
            family.iter().map(|candidate| candidate.flipped(&signs).abs()).fold(0.0, f64::max)
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    largest
}

/// The level of a single interval at which those of all candidates hold together.
fn adjusted_level(largest: &[f64], level: f64, candidates: usize) -> f64 {
    let single = 2.0 * Normal::standard().cdf(at(largest, level)) - 1.0;
    single.clamp(level, 1.0 - (1.0 - level) / candidates as f64)
}

/// Holm's adjusted p-value of one of several.
fn holm(
    baseline: &Scores,
    candidates: impl IntoIterator<Item: Borrow<Scores>>,
    winner: usize,
) -> Result<f64, Error> {
    let candidates = candidates.into_iter();
    let all: Result<Vec<PValues>, Error> =
        candidates.map(|candidate| p_values(baseline, candidate.borrow())).collect();
    let mut p_values: Vec<(usize, f64)> = all?.iter().map(|p| p.two_sided).enumerate().collect();
    p_values.sort_by(|left, right| left.1.total_cmp(&right.1));
    let mut highest: f64 = 0.0;
    for (rank, (candidate, p_value)) in p_values.iter().enumerate() {
        highest = highest.max(p_value * (p_values.len() - rank) as f64);
        if *candidate == winner {
            break;
        }
    }
    Ok(highest.min(1.0))
}

/// Chooses a program on one part of the examples, again and again; returns its mean and its gain on the
/// other part.
fn corrected(baseline: &Scores, candidates: &[&Scores]) -> (f64, f64) {
    let n = baseline.len();
    let mut rng = seeded(n);
    let mut times = vec![0.0; n];
    let (mut means, mut gains) = (Vec::new(), Vec::new());
    for _ in 0..DRAWS {
        times.fill(0.0);
        for _ in 0..n {
            let drawn = draw(&mut rng, n);
            times.iter_mut().skip(drawn).take(1).for_each(|times| *times += 1.0);
        }
        let mut best = (baseline, weighted_mean(baseline, &times).unwrap_or(f64::NEG_INFINITY));
        for candidate in candidates {
            match weighted_mean(candidate, &times) {
                Some(mean) if mean > best.1 => best = (candidate, mean),
                _ => {}
            }
        }
        let rest: Vec<f64> = times.iter().map(|times| f64::from(u8::from(*times == 0.0))).collect();
        if let (Some(chosen), Some(original)) = (weighted_mean(best.0, &rest), weighted_mean(baseline, &rest))
        {
            means.push(chosen);
            gains.push(chosen - original);
        }
    }
    (mean(&means), mean(&gains))
}

/// The weighted mean of the scores that are not missing; `None` where the weights come to 0.
fn weighted_mean(scores: &Scores, weights: &[f64]) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (score, times) in scores.as_slice().iter().zip(weights) {
        if let Some(score) = score {
            sum += score * times;
            weight += times;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(bits: &[u8]) -> Scores {
        Scores::of(bits.iter().map(|bit| f64::from(*bit))).unwrap()
    }

    #[test]
    fn one_candidate_is_compared_as_it_is() {
        let (baseline, candidate) = (scores(&[0; 12]), scores(&[1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]));
        let winner = choose_winner(&baseline, std::slice::from_ref(&candidate), 0.95).unwrap();
        assert_eq!(winner.comparison, compare(&baseline, &candidate, 0.95).unwrap());
        assert!((winner.unadjusted - 1.0 / 128.0).abs() < 1e-12);
        assert_eq!(winner.holm, winner.unadjusted);
    }

    #[test]
    fn the_same_candidate_over_and_over_is_one_candidate() {
        let (baseline, candidate) = (scores(&[0; 14]), scores(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]));
        let winner = choose_winner(&baseline, &vec![candidate; 20], 0.95).unwrap();
        assert_eq!((winner.candidate, winner.candidates), (0, 20));
        assert!(winner.comparison.p_value < 0.01 && winner.holm > 0.07, "{winner:?}");
        assert!(winner.comparison.test.ends_with("the best of 20"));
    }

    #[test]
    fn nothing_to_choose_from_is_an_error() {
        let one = Scores::of([1.0]).unwrap();
        let error = Error::NoCandidate { candidate: 0, candidates: 0 };
        assert_eq!(choose_winner(&one, &[], 0.95), Err(error));
        let error = Error::NoCandidate { candidate: 1, candidates: 1 };
        assert_eq!(judge_winner(&one, std::slice::from_ref(&one), 1, 0.95), Err(error));
        let error = Error::Lengths { first: 1, second: 2 };
        assert_eq!(choose_winner(&one, &[one.clone(), scores(&[0, 0])], 0.95), Err(error));
    }

    #[test]
    fn candidates_without_a_score_in_common_are_within_noise() {
        let none = Scores::lossy([None]);
        let nothing = choose_winner(&none, &[Scores::of([1.0]).unwrap(), none.clone()], 0.95).unwrap();
        assert!(nothing.comparison.is_within_noise() && nothing.comparison.p_value == 1.0, "{nothing:?}");
    }

    #[test]
    fn holm_multiplies_the_smallest_by_their_number() {
        let baseline = scores(&[0; 10]);
        let strong = scores(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        let weak = scores(&[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
        let candidates = [weak, strong];
        let p = compare(&baseline, &candidates[1], 0.95).unwrap().p_value;
        assert_eq!(holm(&baseline, &candidates, 1).unwrap(), 2.0 * p);
        assert!((holm(&baseline, &candidates, 0).unwrap() - 0.25).abs() < 1e-12);
    }
}
