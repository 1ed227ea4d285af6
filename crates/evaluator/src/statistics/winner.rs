//! What can be said of the best of several candidates.

use promptopt_core::Comparison;
use statrs::distribution::{ContinuousCDF as _, Normal};

use super::basics::{RESAMPLES, at, draw, mean, seeded, toss_signs};
use super::paired::{compare, p_values};

/// Draws of the correction for having been chosen.
const DRAWS: usize = 500;

/// The best of several candidates against the baseline, with allowance for the choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Winner {
    /// Its index among the candidates.
    pub candidate: usize,
    /// How many candidates there were to choose from.
    pub candidates: usize,
    /// The winner against the baseline. The p-value is the probability that the best of so many
    /// candidates looks that different where none is; the interval is simultaneous: the
    /// probability that those of all candidates hold their true differences is the level.
    pub comparison: Comparison,
    /// The p-value as if it had been the only candidate.
    pub unadjusted: f64,
    /// The p-value by Holm's method (1979), which asks nothing of how the candidates hang together and
    /// is larger for that: a cross-check.
    pub holm: f64,
    /// Its mean on the examples that it was chosen on, which leans upward.
    pub mean: f64,
    /// What to expect of it on other examples.
    pub corrected_mean: f64,
    /// What it is expected to gain on other examples.
    pub corrected_gain: f64,
}

impl Winner {
    /// What the correction comes to, in words.
    pub fn expectation(&self) -> String {
        format!(
            "a score leans upward where it was chosen by: {:.3} there, about {:.3} to be expected on other examples",
            self.mean, self.corrected_mean
        )
    }
}

/// Chooses the candidate with the highest mean difference from the baseline, the earliest of equals,
/// and says how sure it is that it is better. `None` when there is no candidate. Scores are in the order of
/// the same examples; one that is missing counts for nothing.
///
/// ```
/// use promptopt_evaluator::statistics::choose_winner;
///
/// // Twenty candidates that toss coins, as the baseline does.
/// let tosses = |program: u64| -> Vec<Option<f64>> {
///     let bits = promptopt_core::ContentHash::of(&program).as_u64();
///     (0..40).map(|index| Some((bits >> index & 1) as f64)).collect()
/// };
/// let candidates: Vec<_> = (1..21).map(tosses).collect();
/// let winner = choose_winner(&tosses(0), &candidates, 0.95).unwrap();
/// assert!(winner.mean > 0.55, "the best of twenty looks good");
/// assert!(winner.comparison.is_within_noise(), "but is not");
/// assert!(winner.corrected_mean < winner.mean);
/// ```
pub fn choose_winner(
    baseline: &[Option<f64>],
    candidates: &[Vec<Option<f64>>],
    level: f64,
) -> Option<Winner> {
    let mut best: Option<(usize, f64)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let mean = mean(&differences(baseline, candidate));
        if best.is_none_or(|(_, highest)| mean > highest) {
            best = Some((index, mean));
        }
    }
    judge_winner(baseline, candidates, best?.0, level)
}

/// What [`choose_winner`] says, of a candidate that was chosen already as the one with the highest mean.
/// Candidates that were given up after a part of the examples should be among `candidates`, because they
/// might have won. `None` when there is no such candidate.
///
/// # Methods
///
/// - p-value: the differences of all candidates from the baseline are flipped in sign together, example
///   by example, so that candidates that score alike count as little more than one; the largest
///   standardised sum of every flip makes the distribution (the maximum test of Westfall and Young
///   1993, section 2.6). It is never below the unadjusted p-value.
/// - interval: that of [`compare`] at the level that the quantile of this distribution stands for, which lies between
///   the nominal one and Bonferroni's.
/// - correction: the bootstrap bias-corrected cross-validation of Tsamardinos, Greasidou and Borboudakis
///   (2018, section 3): the winner among baseline and candidates is chosen on examples drawn with
///   replacement and scored on those that were not drawn, 500 times. It speaks of the choice rather than of the
///   one that was chosen, and leans a little downward, because each draw knows but two thirds of the
///   examples.
pub fn judge_winner(
    baseline: &[Option<f64>],
    candidates: &[Vec<Option<f64>>],
    winner: usize,
    level: f64,
) -> Option<Winner> {
    let chosen = candidates.get(winner)?;
    let known: Vec<f64> = chosen.iter().copied().flatten().collect();
    let plain = compare(baseline, chosen, level);
    let unadjusted = plain.p_value;
    let count = candidates.len();
    let (comparison, holm) = if count < 2 {
        (plain, unadjusted)
    } else {
        let family: Vec<Standardised> =
            candidates.iter().map(|candidate| Standardised::of(baseline, candidate)).collect();
        let largest = largest_by_chance(&family, baseline.len());
        let seen = family.get(winner).map_or(0.0, Standardised::sum);
        let as_large = largest.iter().filter(|chance| **chance >= seen.abs() - 1e-9).count();
        let p_value = (as_large + 1) as f64 / (RESAMPLES + 1) as f64;
        let wide = compare(baseline, chosen, adjusted_level(&largest, level, count));
        let adjusted = Comparison {
            level,
            p_value: p_value.max(unadjusted),
            test: format!("{}, adjusted for the best of {count}", plain.test),
            ..wide
        };
        (adjusted, holm(baseline, candidates, winner))
    };
    // What was given up early has too few scores to be chosen by its mean.
    let complete = |candidate: &&Vec<Option<f64>>| candidate.iter().flatten().count() * 10 >= known.len() * 9;
    let finishers: Vec<&[Option<f64>]> = candidates.iter().filter(complete).map(Vec::as_slice).collect();
    let (corrected_mean, corrected_gain) = corrected(baseline, &finishers);
    Some(Winner {
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

fn differences(baseline: &[Option<f64>], candidate: &[Option<f64>]) -> Vec<f64> {
    baseline.iter().zip(candidate).filter_map(|(first, second)| Some((*second)? - (*first)?)).collect()
}

/// The differences of a candidate that are not 0, with their examples, divided by the root of the sum of
/// their squares.
struct Standardised(Vec<(usize, f64)>);

impl Standardised {
    fn of(baseline: &[Option<f64>], candidate: &[Option<f64>]) -> Self {
        let pairs = baseline.iter().zip(candidate).enumerate();
        let difference = |(index, (first, second)): (usize, (&Option<f64>, &Option<f64>))| {
            Some((index, (*second)? - (*first)?)).filter(|(_, difference)| *difference != 0.0)
        };
        let mut values: Vec<(usize, f64)> = pairs.filter_map(difference).collect();
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
fn holm(baseline: &[Option<f64>], candidates: &[Vec<Option<f64>>], winner: usize) -> f64 {
    let mut p_values: Vec<(usize, f64)> =
        candidates.iter().map(|candidate| p_values(baseline, candidate).two_sided).enumerate().collect();
    p_values.sort_by(|left, right| left.1.total_cmp(&right.1));
    let mut highest: f64 = 0.0;
    for (rank, (candidate, p_value)) in p_values.iter().enumerate() {
        highest = highest.max(p_value * (candidates.len() - rank) as f64);
        if *candidate == winner {
            break;
        }
    }
    highest.min(1.0)
}

/// Mean and gain of whatever is chosen on one part of the examples, on the other part.
fn corrected(baseline: &[Option<f64>], candidates: &[&[Option<f64>]]) -> (f64, f64) {
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

/// The mean of the scores that are known; `None` where none is.
fn weighted_mean(scores: &[Option<f64>], weights: &[f64]) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (score, times) in scores.iter().zip(weights) {
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

    fn scores(bits: &[u8]) -> Vec<Option<f64>> {
        bits.iter().map(|bit| Some(f64::from(*bit))).collect()
    }

    #[test]
    fn one_candidate_is_compared_as_it_is() {
        let (baseline, candidate) = (scores(&[0; 12]), scores(&[1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]));
        let winner = choose_winner(&baseline, std::slice::from_ref(&candidate), 0.95).unwrap();
        assert_eq!(winner.comparison, compare(&baseline, &candidate, 0.95));
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
    fn nothing_to_choose_from_is_none() {
        assert_eq!(choose_winner(&[Some(1.0)], &[], 0.95), None);
        let nothing = choose_winner(&[None], &[vec![Some(1.0)], vec![None]], 0.95).unwrap();
        assert!(nothing.comparison.is_within_noise() && nothing.comparison.p_value == 1.0, "{nothing:?}");
    }

    #[test]
    fn holm_multiplies_the_smallest_by_their_number() {
        let baseline = scores(&[0; 10]);
        let strong = scores(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        let weak = scores(&[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
        let candidates = [weak, strong];
        let p = compare(&baseline, &candidates[1], 0.95).p_value;
        assert_eq!(holm(&baseline, &candidates, 1), 2.0 * p);
        assert!((holm(&baseline, &candidates, 0) - 0.25).abs() < 1e-12);
    }
}
