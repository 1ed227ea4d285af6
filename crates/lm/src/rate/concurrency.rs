//! The settings for how many requests may be under way at once.

use std::time::Duration;

use crate::ConfigError;

/// How many requests an endpoint gets at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Concurrency {
    /// As many as the endpoint takes, found out from its replies.
    Adaptive(AdaptiveConcurrency),
    /// Never more than this many, and always this many. At least 1.
    Fixed(usize),
}

impl Default for Concurrency {
    fn default() -> Self {
        Self::Adaptive(AdaptiveConcurrency::default())
    }
}

/// Where the adaptive limit starts, and what it stays within.
///
/// Successes raise the limit, and only while it is in full use: by one for each success at first, and by
/// one for each round of requests once the provider has said "too many" (HTTP 429). Every 429 that answers
/// a request sent since the last cut lowers it, by 15 %, or by 30 % when the last cut did not suffice.
/// Just below the number of requests that the provider refused last, the limit rises eight times as
/// slowly, so that few requests are spent on asking again. HTTP 5xx, timeouts and broken connections pause
/// the growth, and so does a 429. Everything else, such as a rejected request, tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdaptiveConcurrency {
    /// The limit to begin with. Default 8.
    pub initial: usize,
    /// The limit never falls below this. At least 1. Default 1.
    pub min: usize,
    /// The limit never rises above this. Default 64.
    pub max: usize,
    /// How long the limit does not grow after a 429, a 5xx, a timeout or a broken connection. Default 1 s.
    pub cool_down: Duration,
}

impl Default for AdaptiveConcurrency {
    fn default() -> Self {
        Self { initial: 8, min: 1, max: 64, cool_down: Duration::from_secs(1) }
    }
}

impl AdaptiveConcurrency {
    /// With a limit to begin with.
    #[must_use]
    pub fn with_initial(mut self, initial: usize) -> Self {
        self.initial = initial;
        self
    }

    /// With a time without growth.
    #[must_use]
    pub fn with_cool_down(mut self, cool_down: Duration) -> Self {
        self.cool_down = cool_down;
        self
    }
}

impl Concurrency {
    /// The same as an adaptive limit, which has no room to move when it is fixed.
    pub(crate) fn checked(self) -> Result<AdaptiveConcurrency, ConfigError> {
        let adaptive = match self {
            Self::Adaptive(adaptive) => adaptive,
            Self::Fixed(limit) => {
                AdaptiveConcurrency { initial: limit, min: limit, max: limit, cool_down: Duration::ZERO }
            }
        };
        let AdaptiveConcurrency { initial, min, max, .. } = adaptive;
        let reason = if min == 0 {
            "it allows no request at all".to_owned()
        } else if !(min..=max).contains(&initial) {
            format!("it starts at {initial}, which is not between {min} and {max}")
        } else {
            return Ok(adaptive);
        };
        Err(ConfigError::option("concurrency", reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(concurrency: Concurrency, reason: Option<&str>) {
        let error = concurrency.checked().err().map(|error| error.to_string());
        assert_eq!(error.is_some(), reason.is_some(), "{error:?}");
        assert!(error.unwrap_or_default().contains(reason.unwrap_or_default()));
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        let adaptive = |initial, min, max| {
            Concurrency::Adaptive(AdaptiveConcurrency { initial, min, max, ..Default::default() })
        };
        check(Concurrency::default(), None);
        check(Concurrency::Fixed(1), None);
        check(Concurrency::Fixed(0), Some("no request at all"));
        check(adaptive(1, 0, 2), Some("no request at all"));
        check(adaptive(3, 1, 2), Some("starts at 3, which is not between 1 and 2"));
        check(adaptive(3, 4, 2), Some("not between 4 and 2"));
    }
}
