//! A comparison of two programs, as a value.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::basics::percent;

/// Two programs compared on the same examples, as [`compare`](crate::compare) returns it.
///
/// Exactly one of [`is_better`](Self::is_better), [`is_worse`](Self::is_worse) and
/// [`is_within_noise`](Self::is_within_noise) holds. Written out it reads
/// `+0.08 (95 % interval +0.01 to +0.15, p = 0.021, n = 100): better`; `{:.3}` shows three places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Examples that both were scored on.
    pub n: usize,
    /// Mean of the differences, second minus first.
    pub difference: f64,
    /// Lower end of the interval of the difference.
    pub low: f64,
    /// Upper end of the interval of the difference.
    pub high: f64,
    /// Confidence level of the interval, in (0, 1).
    pub level: f64,
    /// Examples on which the second scored higher.
    pub wins: usize,
    /// Examples on which the second scored lower.
    pub losses: usize,
    /// Two-sided p-value of no difference.
    pub p_value: f64,
    /// Name of the test.
    pub test: String,
}

impl Comparison {
    /// A comparison at the 95 % level. Wins and losses are 0 and the test is `none`; the fields are
    /// public, to set them where they matter.
    pub fn new(n: usize, difference: f64, low: f64, high: f64, p_value: f64) -> Self {
        Self { n, difference, low, high, p_value, ..Self::default() }
    }

    /// Whether interval and test both say that the second is better.
    pub fn is_better(&self) -> bool {
        self.low > 0.0 && self.is_significant()
    }

    /// Whether interval and test both say that the second is worse.
    pub fn is_worse(&self) -> bool {
        self.high < 0.0 && self.is_significant()
    }

    /// Whether interval or test leave it open which of the two is better.
    pub fn is_within_noise(&self) -> bool {
        (self.low <= 0.0 && self.high >= 0.0) || !self.is_significant()
    }

    fn is_significant(&self) -> bool {
        self.p_value <= 1.0 - self.level
    }
}

/// The comparison of two programs of which nothing is known.
impl Default for Comparison {
    fn default() -> Self {
        Self {
            n: 0,
            difference: 0.0,
            low: -1.0,
            high: 1.0,
            level: 0.95,
            wins: 0,
            losses: 0,
            p_value: 1.0,
            test: "none".to_owned(),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(2);
        let Self { n, difference, low, high, p_value, .. } = self;
        let level = percent(self.level);
        write!(f, "{difference:+.places$} ({level} % interval {low:+.places$} to {high:+.places$}, ")?;
        if *p_value < 0.001 {
            f.write_str("p < 0.001")?
        } else {
            write!(f, "p = {p_value:.3}")?
        }
        let verdict = match self {
            _ if self.is_better() => "better",
            _ if self.is_worse() => "worse",
            _ => "within noise",
        };
        write!(f, ", n = {n}): {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_and_test_must_agree() {
        let check = |low, high, p_value, expected: [bool; 3]| {
            let one = Comparison::new(50, (low + high) / 2.0, low, high, p_value);
            assert_eq!([one.is_better(), one.is_worse(), one.is_within_noise()], expected, "{one:?}");
        };
        check(0.1, 0.3, 0.01, [true, false, false]);
        check(0.1, 0.3, 0.06, [false, false, true]);
        check(-0.1, 0.3, 0.01, [false, false, true]);
        check(-0.3, -0.1, 0.01, [false, true, false]);
        check(-0.3, -0.1, 0.06, [false, false, true]);
        check(-0.3, 0.0, 0.01, [false, false, true]);
    }

    #[test]
    fn a_comparison_is_written_in_one_line() {
        let check = |one: Comparison, expected: &str| assert_eq!(one.to_string(), expected);
        check(
            Comparison::new(100, 0.08, 0.01, 0.15, 0.0214),
            "+0.08 (95 % interval +0.01 to +0.15, p = 0.021, n = 100): better",
        );
        check(
            Comparison::new(100, -0.3, -0.4, -0.2, 0.00002),
            "-0.30 (95 % interval -0.40 to -0.20, p < 0.001, n = 100): worse",
        );
        check(Comparison::default(), "+0.00 (95 % interval -1.00 to +1.00, p = 1.000, n = 0): within noise");
    }

    #[test]
    fn stored_comparisons_keep_their_form() {
        let stored = concat!(
            r#"{"n":9,"difference":0.5,"low":0.4,"high":0.6,"level":0.95,"#,
            r#""wins":0,"losses":0,"p_value":0.25,"test":"none"}"#
        );
        let comparison = Comparison::new(9, 0.5, 0.4, 0.6, 0.25);
        assert_eq!(serde_json::to_string(&comparison).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Comparison>(stored).unwrap(), comparison);
    }
}
