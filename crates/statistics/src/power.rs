//! What a number of examples can show.

use statrs::distribution::{Binomial, ContinuousCDF as _, Discrete as _, DiscreteCDF as _, Normal};

use crate::{Comparison, basics::student_quantile};

/// Up to this many examples the power of the exact McNemar test is summed up, beyond it is
/// approximated.
const EXACT: usize = 400;
/// The most examples that are ever asked for.
const MOST: usize = 10_000_000;
/// Halvings of the range in which a gain is searched.
const HALVINGS: usize = 24;
/// The error rate and the power that the notes assume.
const ALPHA: f64 = 0.05;
const POWER: f64 = 0.8;
/// How much two prompts' scores correlate, if nothing is known about them: they would differ on one
/// example in five.
const CORRELATION: f64 = 0.6;
/// The gain that a test set should be able to show.
const WANTED: f64 = 0.1;

/// How much the scores of two programs on the same examples differ by chance: what the
/// power of a paired comparison depends on besides the gain.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum PairedSpread {
    /// Scores of 0 and 1.
    Binary {
        /// The share of examples on which the two would differ if they were equally good.
        discordance: f64,
        /// The mean score of the first program; a gain can be at most 1 minus this.
        baseline: f64,
    },
    /// Graded scores.
    Graded {
        /// The standard deviation of the difference on one example.
        deviation: f64,
    },
}

impl PairedSpread {
    /// 0/1 scores of two programs that both have the mean `baseline`, with this correlation between their
    /// scores. They differ on the share `2 p (1 - p) (1 - correlation)` of the examples. A correlation of 0.6
    /// is a fair guess for two prompts of one program.
    pub fn binary(baseline: f64, correlation: f64) -> Self {
        let baseline = baseline.clamp(0.0, 1.0);
        let discordance = 2.0 * baseline * (1.0 - baseline) * (1.0 - correlation.clamp(-1.0, 1.0));
        Self::Binary { discordance, baseline }
    }

    /// Graded scores of two programs that both have this standard deviation, with this correlation between
    /// their scores.
    pub fn graded(deviation: f64, correlation: f64) -> Self {
        let variance = 2.0 * deviation * deviation * (1.0 - correlation.clamp(-1.0, 1.0));
        Self::Graded { deviation: variance.sqrt() }
    }

    /// The largest gain there can be.
    fn ceiling(self) -> f64 {
        match self {
            Self::Binary { baseline, .. } => 1.0 - baseline,
            Self::Graded { .. } => f64::INFINITY,
        }
    }
}

/// The probability that `n` examples show a gain: that a two-sided test with the error rate `alpha` finds
/// a second program better which is better by `gain`.
///
/// For 0/1 scores it is that of the exact McNemar test (summed over the number of examples on which
/// the programs differ; beyond 400 examples by the formula of Connor 1987, with Miettinen's
/// 1968 variance). For graded ones that of a paired t-test, which a paired permutation test has as well.
pub fn power(n: usize, gain: f64, spread: PairedSpread, alpha: f64) -> f64 {
    match spread {
        PairedSpread::Binary { discordance, .. } if n <= EXACT => mcnemar_power(n, gain, discordance, alpha),
        PairedSpread::Binary { discordance, .. } => {
            // Half of the discordant examples are won where nothing is gained.
            let discordant = (discordance + gain).min(1.0);
            let (null, other) = (discordant.sqrt(), (discordant - gain * gain).max(1e-12).sqrt());
            // The exact test moves in whole examples, which costs about one example of the gain.
            let shown = (gain * (n as f64) - 1.0).max(0.0) / (n as f64).sqrt();
            let quantile = Normal::standard().inverse_cdf(1.0 - alpha.clamp(1e-9, 1.0) / 2.0);
            Normal::standard().cdf((shown - quantile * null) / other)
        }
        PairedSpread::Graded { deviation } if n >= 2 => {
            let shift = gain * (n as f64).sqrt() / deviation.max(1e-12);
            Normal::standard().cdf(shift - student_quantile(n, 1.0 - alpha))
        }
        PairedSpread::Graded { .. } => 0.0,
    }
}

/// The smallest gain that `n` examples show with a probability of `power`, at a two-sided error rate of
/// `alpha`; `None` when they cannot show any that is possible.
///
/// ```
/// use promptopt_statistics::{PairedSpread, examples_needed, minimum_detectable_gain};
///
/// // A program that is right half of the time, and one much like it.
/// let spread = PairedSpread::binary(0.5, 0.6);
/// let gain = minimum_detectable_gain(100, spread, 0.05, 0.8).unwrap();
/// assert!((0.14..0.18).contains(&gain), "{gain}");
/// let needed = examples_needed(0.1, spread, 0.05, 0.8).unwrap();
/// assert!((220..280).contains(&needed), "{needed}");
/// assert_eq!(minimum_detectable_gain(5, spread, 0.05, 0.8), None);
/// ```
pub fn minimum_detectable_gain(n: usize, spread: PairedSpread, alpha: f64, power: f64) -> Option<f64> {
    let shows = |gain: f64| self::power(n, gain, spread, alpha) >= power;
    let mut high = spread.ceiling();
    if let PairedSpread::Graded { deviation } = spread {
        // Twenty standard errors show at any level that is asked for.
        high = 20.0 * deviation.max(1e-12) * student_quantile(n, 1.0 - alpha).max(1.0)
            / (n.max(1) as f64).sqrt();
    }
    if n < 2 || !shows(high) {
        return None;
    }
    let mut low = 0.0;
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if shows(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// How many examples show a gain of this size with a probability of `power`, at a two-sided error rate of
/// `alpha`; `None` when the gain is 0 or more than there can be, or when ten million examples are not enough.
pub fn examples_needed(gain: f64, spread: PairedSpread, alpha: f64, power: f64) -> Option<usize> {
    let shows = |n: usize| self::power(n, gain, spread, alpha) >= power;
    if !(gain > 0.0 && gain <= spread.ceiling()) {
        return None;
    }
    let mut high = 2;
    while !shows(high) {
        high *= 2;
        if high > MOST {
            return None;
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if shows(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The gain that examples like these show in four of five cases. Report it beside a result that is
/// within noise, so that readers know how large a gain could have been missed. It depends on how much
/// the two programs differ by chance, not on the difference that was seen. `None` where the examples
/// cannot show any gain.
///
/// ```
/// use promptopt_statistics::{Scores, compare, detectable_gain};
///
/// let first = Scores::of((0..50).map(|example| f64::from(example % 2)))?;
/// let second = Scores::of((0..50).map(|example| f64::from(example % 3 % 2)))?;
/// let comparison = compare(&first, &second, 0.95)?;
/// assert!(comparison.is_within_noise());
/// assert!(detectable_gain(&comparison).is_some_and(|gain| gain > 0.2));
/// # Ok::<(), promptopt_statistics::Error>(())
/// ```
pub fn detectable_gain(comparison: &Comparison) -> Option<f64> {
    let alpha = 1.0 - comparison.level;
    if comparison.test.starts_with("exact McNemar") {
        let both = comparison.wins.min(comparison.losses) as f64 + 0.5;
        let discordance = (2.0 * both / (comparison.n as f64 + 1.0)).min(1.0);
        let spread = PairedSpread::Binary { discordance, baseline: 0.0 };
        return minimum_detectable_gain(comparison.n, spread, alpha, POWER);
    }
    let half = (comparison.high - comparison.low) / 2.0;
    let quantile = student_quantile(comparison.n, comparison.level);
    let known = comparison.n > 1 && half > 0.0 && half.is_finite();
    known.then(|| half * (1.0 + Normal::standard().inverse_cdf(POWER) / quantile))
}

/// A warning about a test set that is too small: one line that says which gain `n` test rows can show and
/// how many rows would show a gain of 10 points. `None` when `n` rows are enough for that.
///
/// It assumes 0/1 scores, a program that is right half of the time (which is where scores spread most),
/// and that two equally good prompts differ on one example in five.
///
/// ```
/// use promptopt_statistics::sensitivity_note;
///
/// let note = sensitivity_note(40).unwrap();
/// assert!(note.starts_with("40 test rows can show a gain only if it is larger than about 3"), "{note}");
/// assert_eq!(sensitivity_note(1000), None);
/// ```
pub fn sensitivity_note(n: usize) -> Option<String> {
    let spread = PairedSpread::binary(0.5, CORRELATION);
    let gain = minimum_detectable_gain(n, spread, ALPHA, POWER);
    if gain.is_some_and(|gain| gain <= WANTED) {
        return None;
    }
    // Nobody counts rows to the last one.
    let needed = examples_needed(WANTED, spread, ALPHA, POWER)?.div_ceil(10) * 10;
    if n >= needed {
        return None;
    }
    let rows = if n == 1 { "row" } else { "rows" };
    let shown = match gain {
        Some(gain) => format!("can show a gain only if it is larger than about {:.0} points", gain * 100.0),
        None => format!("{} only very large gains", if n == 1 { "shows" } else { "show" }),
    };
    Some(format!("{n} test {rows} {shown}; {needed} rows would show {:.0} points", WANTED * 100.0))
}

/// The power of the exact McNemar test. It sums over every number of examples on which the programs can
/// differ: how likely this number is, times how likely enough of them are won for the test to see it.
fn mcnemar_power(n: usize, gain: f64, discordance: f64, alpha: f64) -> f64 {
    let discordant = (discordance + gain).min(1.0);
    if gain <= 0.0 || discordant <= 0.0 {
        return 0.0;
    }
    let won = ((discordant + gain) / (2.0 * discordant)).min(1.0);
    let Ok(count) = Binomial::new(discordant, n as u64) else { return 0.0 };
    let mut power = 0.0;
    let mut asked = 0;
    for differing in 1..=n as u64 {
        asked = wins_asked(differing, asked, alpha);
        let chance = count.pmf(differing);
        if asked <= differing && chance > 1e-9 {
            let enough = Binomial::new(won, differing).map(|wins| wins.sf(asked.saturating_sub(1)));
            power += chance * enough.unwrap_or_default();
        }
    }
    power
}

/// How many of `differing` examples must be won. It is never fewer than with one differing example less.
fn wins_asked(differing: u64, before: u64, alpha: f64) -> u64 {
    let Ok(even) = Binomial::new(0.5, differing) else { return u64::MAX };
    let mut asked = before.max(differing / 2 + 1);
    while asked <= differing && 2.0 * even.sf(asked - 1) > alpha {
        asked += 1;
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_and_gains_are_inverse() {
        let check = |gain, spread| {
            let needed = examples_needed(gain, spread, 0.05, 0.8).unwrap();
            let shown = minimum_detectable_gain(needed, spread, 0.05, 0.8).unwrap();
            assert!((shown / gain - 1.0).abs() < 0.05, "{needed} for {gain}, which show {shown}");
        };
        check(0.2, PairedSpread::binary(0.5, 0.6));
        check(0.1, PairedSpread::binary(0.7, 0.3));
        check(0.03, PairedSpread::binary(0.5, 0.6));
        check(0.05, PairedSpread::graded(0.3, 0.5));
        check(0.5, PairedSpread::graded(0.3, 0.5));
    }

    /// By Connor (1987) without correction; the exact test needs a little more.
    #[test]
    fn the_number_of_pairs_is_near_the_formula() {
        let (up, down): (f64, f64) = (0.3, 0.1);
        let (psi, gain) = (up + down, up - down);
        let formula = (1.960 * psi.sqrt() + 1.2816 * (psi - gain * gain).sqrt()).powi(2) / (gain * gain);
        let spread = PairedSpread::Binary { discordance: 2.0 * down, baseline: 0.5 };
        let exact = examples_needed(gain, spread, 0.05, 0.9).unwrap() as f64;
        assert!(exact > formula && exact < formula * 1.15, "{exact} against {formula}");
    }

    #[test]
    fn the_approximation_goes_on_where_the_sum_ends() {
        let spread = PairedSpread::binary(0.5, 0.6);
        for gain in [0.04, 0.07, 0.1] {
            let (exact, near) = (power(EXACT, gain, spread, 0.05), power(EXACT + 1, gain, spread, 0.05));
            assert!((exact - near).abs() < 0.02, "{exact} and {near} at {gain}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_none() {
        let spread = PairedSpread::binary(0.95, 0.5);
        assert_eq!(minimum_detectable_gain(10, spread, 0.05, 0.8), None);
        assert_eq!(minimum_detectable_gain(0, PairedSpread::graded(0.2, 0.5), 0.05, 0.8), None);
        assert_eq!(examples_needed(0.1, spread, 0.05, 0.8), None);
        assert_eq!(examples_needed(0.0, PairedSpread::graded(0.2, 0.5), 0.05, 0.8), None);
    }

    #[test]
    fn the_note_says_what_the_rows_can_show() {
        assert_eq!(
            sensitivity_note(9).unwrap(),
            "9 test rows show only very large gains; 250 rows would show 10 points"
        );
        assert!(sensitivity_note(1).unwrap().starts_with("1 test row shows only"));
        assert!(sensitivity_note(200).unwrap().contains("larger than about 11 points"));
        assert_eq!(sensitivity_note(250), None);
    }
}
