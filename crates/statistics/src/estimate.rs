//! A mean score with its confidence interval, as a value.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::basics::percent;

/// A mean score with its confidence interval, as [`estimate`](crate::estimate()) returns it.
///
/// Written out it reads `0.62 (95 % interval 0.53 to 0.70, n = 100)`; `{:.3}` shows three places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Mean over `n` examples; an example on which the program failed counts as 0.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Confidence level of the interval, in (0, 1).
    pub level: f64,
    /// Examples in the mean.
    pub n: usize,
    /// How many of them failed and count as 0. Scores do not tell, so whoever knows sets it.
    pub failed: usize,
    /// Examples without a score, which the mean leaves out.
    pub missing: usize,
}

impl Estimate {
    /// An estimate at the 95 % level, with nothing failed or missing.
    pub fn new(mean: f64, low: f64, high: f64, n: usize) -> Self {
        Self { mean, low, high, level: 0.95, n, failed: 0, missing: 0 }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(2);
        let Self { mean, low, high, n, .. } = self;
        let level = percent(self.level);
        write!(f, "{mean:.places$} ({level} % interval {low:.places$} to {high:.places$}, n = {n}")?;
        for (count, what) in [(self.failed, "failed"), (self.missing, "missing")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_written_in_one_line() {
        let mut estimate = Estimate::new(0.617, 0.526, 0.7, 100);
        assert_eq!(estimate.to_string(), "0.62 (95 % interval 0.53 to 0.70, n = 100)");
        assert_eq!(format!("{estimate:.3}"), "0.617 (95 % interval 0.526 to 0.700, n = 100)");
        (estimate.level, estimate.failed, estimate.missing) = (0.999, 2, 1);
        assert!(estimate.to_string().ends_with("n = 100, 2 failed, 1 missing)"));
        assert!(estimate.to_string().contains("99.9 % interval"));
    }

    #[test]
    fn stored_estimates_keep_their_form() {
        let stored = r#"{"mean":0.5,"low":0.4,"high":0.6,"level":0.95,"n":9,"failed":0,"missing":0}"#;
        assert_eq!(serde_json::to_string(&Estimate::new(0.5, 0.4, 0.6, 9)).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Estimate>(stored).unwrap(), Estimate::new(0.5, 0.4, 0.6, 9));
    }
}
