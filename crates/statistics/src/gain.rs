//! What candidates are to be expected to gain on examples that nobody has seen.

use std::borrow::Borrow;
use std::f64::consts::TAU;

use statrs::distribution::{Continuous as _, ContinuousCDF as _, Normal};

use crate::{Error, Scores};

/// How far candidates may lie from what is usual among them: standard deviations, in units of that of the scores, and
/// how likely each is before anything is seen.
const SPREADS: [(f64, f64); 7] =
    [(0.02, 0.56), (0.05, 0.09), (0.1, 0.09), (0.2, 0.09), (0.4, 0.09), (0.8, 0.04), (1.6, 0.04)];
/// Besides, so many of the candidates may stand out, spread so wide, which is so likely.
const OUTLIERS: (f64, f64, f64) = (0.12, 0.6, 0.5);
/// The baseline is one of them. Or it is far off: so wide, and so likely.
const FAR_OFF: (f64, f64) = (0.8, 0.05);
/// How noisy the differences of one candidate are, the others say as well, like so many of its own: few examples say
/// little of it. So do all scores, so that one that moved every example alike is not known without doubt.
const NOISE_OF_OTHERS: f64 = 20.0;
const NOISE_OF_SCORES: f64 = 4.0;
/// Of the noise of a difference at most this part is shared.
const MOST_SHARED: f64 = 0.9;
/// Points at which what is usual is looked at, in a range that is narrowed so many times.
const POINTS: usize = 25;
const NARROWED: usize = 3;
/// How often levels of candidates and of examples are fitted to each other, where scores are missing.
const PASSES: usize = 5;

/// What a candidate is expected to gain over the baseline on examples that it was not chosen by: a normal distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Gain {
    /// The mean difference on the examples that were seen.
    pub seen: f64,
    /// How many these are: examples that both have a score for.
    pub examples: usize,
    /// The gain to be expected on other examples.
    pub mean: f64,
    /// The standard deviation of what is not known of it.
    pub deviation: f64,
    /// Variance of the difference on one example.
    noise: f64,
}

impl Gain {
    /// The expected gain where it gains, less `caution` times the expected loss where it loses: at 1 the expected gain.
    pub fn utility(&self, caution: f64) -> f64 {
        self.mean - (caution - 1.0) * self.expected_loss()
    }

    /// The mean of what is lost, where what gains counts as no loss.
    fn expected_loss(&self) -> f64 {
        if self.deviation <= 0.0 {
            return (-self.mean).max(0.0);
        }
        let (normal, z) = (Normal::standard(), self.mean / self.deviation);
        (self.deviation * normal.pdf(z) - self.mean * normal.cdf(-z)).max(0.0)
    }

    /// What is to be expected after both were scored on further examples.
    ///
    /// # Errors
    ///
    /// [`Error::Lengths`] where the two do not have as many examples.
    pub fn confirmed(&self, baseline: &Scores, candidate: &Scores) -> Result<Self, Error> {
        let Differences { n, mean, squares, .. } = Differences::of(baseline, candidate)?;
        if n == 0.0 || self.deviation <= 0.0 {
            return Ok(*self);
        }
        // As many examples as were seen before say how noisy one is.
        let before = self.examples as f64;
        let noise = (squares + before * self.noise) / (n + before).max(1.0);
        let (known, new) = (self.deviation.powi(-2), n / noise);
        let total = known + new;
        Ok(Self { mean: (self.mean * known + mean * new) / total, deviation: total.powf(-0.5), ..*self })
    }
}

/// Differences of a candidate from the baseline.
struct Differences {
    /// How many, their mean, and the sum of the squares of their distances from it.
    n: f64,
    mean: f64,
    squares: f64,
}

impl Differences {
    fn of(baseline: &Scores, candidate: &Scores) -> Result<Self, Error> {
        if baseline.len() != candidate.len() {
            return Err(Error::Lengths { first: baseline.len(), second: candidate.len() });
        }
        let (mut n, mut sum) = (0.0, 0.0);
        for (_, difference) in pairs(baseline, candidate) {
            n += 1.0;
            sum += difference;
        }
        let mean = if n > 0.0 { sum / n } else { 0.0 };
        let squares = pairs(baseline, candidate).map(|(_, difference)| (difference - mean).powi(2)).sum();
        Ok(Self { n, mean, squares })
    }
}

/// Candidate minus baseline on every example that both have a score for, with the index of the example.
fn pairs(baseline: &Scores, candidate: &Scores) -> impl Iterator<Item = (usize, f64)> {
    let pairs = baseline.as_slice().iter().zip(candidate.as_slice()).enumerate();
    pairs.filter_map(|(index, (first, second))| Some((index, (*second)? - (*first)?)))
}

/// What each candidate is to be expected to gain over the baseline on other examples, in their order. Scores may be
/// missing, as those of a candidate that was given up early. The candidates are gone over several times, so an iterator
/// that makes the scores of each anew needs no room for all of them.
///
/// # Method
///
/// Shrinkage of many estimates towards each other (Efron and Morris 1975), with mixtures of normals over a grid of
/// spreads (Stephens 2017):
///
/// - Levels of programs and examples are taken apart, so it does not matter that some programs saw the easy examples.
/// - The difference of a candidate from the baseline is its true gain and two kinds of noise: its own, and that which
///   all differences share, above all the baseline's. The shared part is the mean covariance of two candidates'
///   differences. So a baseline that had bad luck is not taken for as many good candidates.
/// - True gains scatter around what is usual among the candidates: little or much, with or without a few that stand
///   out. The baseline is one of them, or else far off. All these are weighed by how well they explain what was seen, and
///   averaged. So the best of many that do nothing is drawn all the way to them, and one good among them is not.
///
/// All is relative to the standard deviation of the scores, so their unit does not matter.
///
/// # Errors
///
/// [`Error::Lengths`] where a candidate does not have as many examples as the baseline.
pub fn expected_gains(
    baseline: &Scores,
    candidates: impl IntoIterator<Item: Borrow<Scores>> + Clone,
) -> Result<Vec<Gain>, Error> {
    let table = Table::of(baseline, candidates)?;
    let comparable = baseline.as_slice().iter().any(Option::is_some);
    if !comparable || table.scale <= 0.0 || !table.scale.is_finite() {
        return Ok(table.seen.iter().map(|one| table.unknown(one)).collect());
    }
    let fit = Fit::of(&table);
    Ok(table.seen.iter().map(|one| fit.gain(one, &table)).collect())
}

/// What the scores say of one candidate.
struct Seen {
    /// The differences from the baseline as they stand.
    plain: Differences,
    /// Their mean, had both been scored on all examples.
    mean: f64,
    /// Variance of one difference, and that of the candidate's own noise in the mean.
    noise: f64,
    own: f64,
}

/// What the scores say of all.
struct Table {
    seen: Vec<Seen>,
    /// Standard deviation of a score.
    scale: f64,
    /// Variance of the noise that all means share.
    shared: f64,
}

impl Table {
    fn of(
        baseline: &Scores,
        candidates: impl IntoIterator<Item: Borrow<Scores>> + Clone,
    ) -> Result<Self, Error> {
        let all = || candidates.clone().into_iter();
        let mut scores = Moments::default();
        baseline.as_slice().iter().flatten().for_each(|score| scores.add(*score));
        // Of every example: how many differences there are, their sum, and the sum of their squares.
        let mut rows = vec![(0.0, 0.0, 0.0); baseline.len()];
        let mut found = Vec::new();
        for candidate in all() {
            let candidate = candidate.borrow();
            let differences = Differences::of(baseline, candidate)?;
            candidate.as_slice().iter().flatten().for_each(|score| scores.add(*score));
            for (row, difference) in pairs(baseline, candidate) {
                let rest = difference - differences.mean;
                if let Some((count, sum, squares)) = rows.get_mut(row) {
                    *count += 1.0;
                    *sum += rest;
                    *squares += rest * rest;
                }
            }
            found.push(differences);
        }
        let variance = scores.variance();
        let of_all = |value: fn(&Differences) -> f64| found.iter().map(value).sum::<f64>();
        let others = of_all(|one| one.squares) / of_all(|one| (one.n - 1.0).max(0.0)).max(1.0);
        let before = NOISE_OF_OTHERS * others + NOISE_OF_SCORES * variance;
        let noise = |one: &Differences| {
            (one.squares + before) / ((one.n - 1.0).max(0.0) + NOISE_OF_OTHERS + NOISE_OF_SCORES)
        };
        let usual = found.iter().map(|one| one.n * noise(one)).sum::<f64>() / of_all(|one| one.n).max(1.0);
        let n = rows.iter().filter(|(count, ..)| *count > 0.0).count() as f64;
        let two: f64 = rows.iter().map(|(count, ..)| count * (count - 1.0)).sum();
        let together: f64 = rows.iter().map(|(_, sum, squares)| sum * sum - squares).sum();
        // Of one candidate's differences half is the baseline's noise, as far as anybody knows.
        let covariance = if two > 0.0 { together / two * n / (n - 1.0).max(1.0) } else { usual / 2.0 };
        let part = if usual > 0.0 { (covariance / usual).clamp(0.0, MOST_SHARED) } else { 0.0 };
        let levels = levels(baseline, all);
        let level = levels.first().map_or(0.0, |(_, level)| *level);
        let seen = found.into_iter().zip(levels.into_iter().skip(1)).map(|(plain, (n, own))| {
            let noise = noise(&plain);
            // Nothing is known of one without a score.
            let n: f64 = if n > 0.0 { n } else { 1e-6 };
            let mean = if n < 1.0 { 0.0 } else { own - level };
            Seen { mean, noise, own: noise * (1.0 - part) / n, plain }
        });
        Ok(Self { seen: seen.collect(), scale: variance.sqrt(), shared: usual * part / n.max(1.0) })
    }

    /// A candidate whose scores say nothing.
    fn unknown(&self, one: &Seen) -> Gain {
        let Differences { n, mean, .. } = one.plain;
        Gain { seen: mean, examples: n as usize, mean: 0.0, deviation: self.scale, noise: one.noise }
    }
}

/// The levels of baseline and candidates, each with how many scores it has: what its mean would be on all examples, if
/// programs and examples differed in their level alone. The mean itself where no score is missing.
fn levels<C: Iterator<Item: Borrow<Scores>>>(
    baseline: &Scores,
    candidates: impl Fn() -> C,
) -> Vec<(f64, f64)> {
    let mut rows = vec![0.0; baseline.len()];
    let mut levels = Vec::new();
    for _ in 0..PASSES {
        levels.clear();
        let mut rests = vec![(0.0, 0.0); rows.len()];
        let mut add = |scores: &Scores| {
            let known = || {
                let all = scores.as_slice().iter().enumerate().zip(&rows);
                all.filter_map(|((at, score), row)| Some((at, (*score)?, *row)))
            };
            let n = known().count() as f64;
            let level = known().map(|(_, score, row)| score - row).sum::<f64>() / n.max(1.0);
            for (at, score, _) in known() {
                if let Some((count, sum)) = rests.get_mut(at) {
                    *count += 1.0;
                    *sum += score - level;
                }
            }
            levels.push((n, level));
        };
        add(baseline);
        candidates().for_each(|candidate| add(candidate.borrow()));
        rows = rests.iter().map(|(count, sum)| sum / f64::max(*count, 1.0)).collect();
    }
    levels
}

/// Mean and spread of values that come one after the other (Welford 1962).
#[derive(Default)]
struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        let from = value - self.mean;
        self.mean += from / self.n;
        self.squares += from * (value - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / (self.n - 1.0).max(1.0)
    }
}

/// One way in which true gains may scatter, as probable as it is after all that was seen.
struct Belief {
    /// Variances of a mixture, with the weight of each.
    spreads: [(f64, f64); 2],
    /// The same for the place of what is usual.
    shifts: [(f64, f64); 3],
    /// Points at which what is usual may lie.
    places: Vec<Place>,
}

/// What is usual among the candidates as they were seen, which includes the noise that all share.
#[derive(Clone, Copy)]
struct Place {
    seen: f64,
    /// The logarithm of its likelihood; then its probability.
    weight: f64,
    /// Mean and variance of what is truly usual.
    mean: f64,
    variance: f64,
}

/// All ways in which true gains may scatter.
struct Fit(Vec<Belief>);

impl Fit {
    fn of(table: &Table) -> Self {
        let scale = table.scale * table.scale;
        let mut beliefs = Vec::new();
        for (spread, before) in SPREADS {
            let ((part, wide, has), (far, is_far)) = (OUTLIERS, FAR_OFF);
            for (part, likely) in [(0.0, 1.0 - has), (part, has)] {
                let spreads = [(spread * spread * scale, 1.0 - part), (wide * wide * scale, part)];
                let [one, other] = spreads.map(|(spread, weight)| (spread, weight * (1.0 - is_far)));
                let shifts = [one, other, (far * far * scale, is_far)];
                let mut belief = Belief { spreads, shifts, places: Vec::new() };
                belief.place(table, before * likely);
                beliefs.push(belief);
            }
        }
        let places = || beliefs.iter().flat_map(|belief| &belief.places);
        let highest = places().map(|place| place.weight).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = places().map(|place| (place.weight - highest).exp()).sum();
        for place in beliefs.iter_mut().flat_map(|belief| &mut belief.places) {
            place.weight = (place.weight - highest).exp() / total;
        }
        Self(beliefs)
    }

    /// What a candidate is to be expected to gain.
    fn gain(&self, one: &Seen, table: &Table) -> Gain {
        let (mut mean, mut square) = (0.0, 0.0);
        for belief in &self.0 {
            for place in belief.places.iter().filter(|place| place.weight > 1e-12) {
                let (shares, total) = belief.shares(one, place);
                for ((spread, _), share) in belief.spreads.iter().zip(shares) {
                    let weight = place.weight * share / total;
                    // What is the candidate's own of its distance from what is usual.
                    let part = spread / (spread + one.own);
                    let gain = place.mean + part * (one.mean - place.seen);
                    mean += weight * gain;
                    square += weight * (gain * gain + part * one.own + place.variance);
                }
            }
        }
        let deviation = (square - mean * mean).max(0.0).sqrt();
        Gain { mean, deviation, ..table.unknown(one) }
    }
}

impl Belief {
    /// Looks where what is usual may lie, and how likely all that was seen is with it there.
    fn place(&mut self, table: &Table, before: f64) {
        let means = || table.seen.iter().map(|one| one.mean);
        let far = 4.0 * (table.shared.sqrt() + table.scale);
        let (mut low, mut high) = (means().fold(0.0, f64::min) - far, means().fold(0.0, f64::max) + far);
        for narrowed in 0..=NARROWED {
            let step = (high - low) / (POINTS - 1) as f64;
            let places = (0..POINTS).map(|at| {
                let place = self.truly(low + step * at as f64, table);
                let likelihood: f64 = table.seen.iter().map(|one| self.shares(one, &place).1.ln()).sum();
                Place { weight: place.weight.ln() + likelihood + (before * step).ln(), ..place }
            });
            self.places = places.collect();
            if narrowed == NARROWED {
                break;
            }
            let highest = self.places.iter().map(|place| place.weight).fold(f64::NEG_INFINITY, f64::max);
            let (mut total, mut mean, mut square) = (0.0, 0.0, 0.0);
            for place in &self.places {
                let weight = (place.weight - highest).exp();
                total += weight;
                mean += weight * place.seen;
                square += weight * place.seen * place.seen;
            }
            mean /= total;
            let wide = 4.0 * (square / total - mean * mean).max(step * step / 4.0).sqrt();
            (low, high) = (mean - wide, mean + wide);
        }
    }

    /// How likely a candidate would be seen as it was, for each part of the mixture, and for all.
    fn shares(&self, one: &Seen, place: &Place) -> ([f64; 2], f64) {
        let share = |(spread, weight): (f64, f64)| weight * density(one.mean - place.seen, spread + one.own);
        let shares = self.spreads.map(share);
        (shares, shares.iter().sum::<f64>() + f64::MIN_POSITIVE)
    }

    /// What is truly usual where a point was seen, and how likely it is that one was seen there.
    fn truly(&self, seen: f64, table: &Table) -> Place {
        let (mut weight, mut mean, mut square) = (f64::MIN_POSITIVE, 0.0, 0.0);
        for (shift, before) in self.shifts {
            let share = before * density(seen, shift + table.shared);
            let part = shift / (shift + table.shared);
            weight += share;
            mean += share * part * seen;
            square += share * ((part * seen).powi(2) + part * table.shared);
        }
        (mean, square) = (mean / weight, square / weight);
        Place { seen, weight, mean, variance: (square - mean * mean).max(0.0) }
    }
}

/// The density of a normal distribution with mean 0.
fn density(value: f64, variance: f64) -> f64 {
    (-value * value / (2.0 * variance)).exp() / (TAU * variance).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(ones: usize, of: usize) -> Scores {
        Scores::of((0..of).map(|at| f64::from(u8::from(at < ones)))).unwrap()
    }

    fn gains(baseline: &Scores, candidates: &[Scores]) -> Vec<Gain> {
        expected_gains(baseline, candidates).unwrap()
    }

    #[test]
    fn a_gain_on_every_example_is_believed_and_one_on_a_few_is_not() {
        let baseline = scores(0, 40);
        let [all, few] = gains(&baseline, &[scores(40, 40), scores(2, 40)]).try_into().unwrap();
        assert!(all.mean > 0.8 && all.utility(10.0) > 0.0, "{all:?}");
        assert!((all.seen, all.examples) == (1.0, 40) && few.seen == 0.05);
        let other = Scores::of((0..40).map(|at| f64::from(u8::from((4..36).contains(&at))))).unwrap();
        let [few] = gains(&scores(30, 40), &[other]).try_into().unwrap();
        assert!(few.mean > 0.0 && few.mean < 0.02 && few.utility(3.0) < 0.0, "{few:?}");
    }

    #[test]
    fn scores_that_are_all_alike_or_missing_say_nothing() {
        let same = gains(&scores(5, 5), &[scores(5, 5)]);
        assert_eq!((same[0].mean, same[0].utility(1.0)), (0.0, 0.0));
        let baseline = scores(3, 5);
        let none = Scores::lossy([None; 5]);
        let found = gains(&baseline, &[none.clone(), scores(4, 5)]);
        assert_eq!((found[0].examples, found[0].seen), (0, 0.0));
        assert!(found.iter().all(|one| one.mean.is_finite() && one.deviation > 0.0), "{found:?}");
        let unknown = gains(&none, &[scores(4, 5)]);
        assert!(unknown[0].mean.is_finite() && unknown[0].utility(3.0) <= 0.0, "{unknown:?}");
        assert!(gains(&baseline, &[]).is_empty());
        let error = Error::Lengths { first: 5, second: 4 };
        assert_eq!(expected_gains(&baseline, &[scores(1, 4)]), Err(error));
    }

    #[test]
    fn further_examples_speak_for_a_candidate_or_against_it() {
        let [gain] = gains(&scores(20, 40), &[scores(28, 40)]).try_into().unwrap();
        let after = |baseline: usize, candidate: usize| {
            gain.confirmed(&scores(baseline, 20), &scores(candidate, 20)).unwrap()
        };
        let (for_it, against) = (after(10, 15), after(12, 2));
        assert!(for_it.mean > gain.mean && gain.mean > against.mean, "{for_it:?} {gain:?} {against:?}");
        assert!(for_it.deviation < gain.deviation && against.utility(1.0) < 0.0);
        assert_eq!(gain.confirmed(&Scores::default(), &Scores::default()).unwrap(), gain);
    }

    #[test]
    fn caution_weighs_what_may_be_lost() {
        let gain = Gain { seen: 0.1, examples: 40, mean: 0.02, deviation: 0.04, noise: 0.2 };
        assert_eq!(gain.utility(1.0), 0.02);
        // The mean of the negative part of a normal distribution with mean 0.5 and standard deviation 1 is 0.1978.
        assert!((gain.utility(2.0) - (0.02 - 0.04 * 0.1978)).abs() < 1e-5, "{}", gain.utility(2.0));
        assert!(gain.utility(0.0) > gain.utility(1.0) && gain.utility(5.0) < 0.0);
    }
}
