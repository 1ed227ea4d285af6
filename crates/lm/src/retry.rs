//! When to try again, and when to give up. Pure: neither sends nor waits.

use std::time::Duration;

use promptopt_core::lm::LmError;
use rand::{Rng, RngExt};

/// How often and how fast a failed request is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Attempts after the first.
    pub(crate) max_retries: u32,
    /// Longest wait before the first retry; it doubles with each.
    pub(crate) backoff_base: Duration,
    /// Longest wait of the backoff's own.
    pub(crate) backoff_max: Duration,
    /// Longest wait that a provider may ask for.
    pub(crate) max_retry_after: Duration,
}

/// What to do about a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Try again after this wait.
    Retry(Duration),
    /// The error is final; the note says why, where the error alone does not.
    GiveUp(Option<String>),
}

impl RetryPolicy {
    /// Decides about `error`, the failure of attempt number `attempt` (counted from 1).
    ///
    /// The backoff has full jitter (uniform between nothing and the exponential bound), so that requests
    /// that failed together do not come back together. A wait that the provider asked for is kept in
    /// full, and spread by at most `backoff_base` beyond it for the same reason.
    pub(crate) fn decide<R: Rng + ?Sized>(&self, error: &LmError, attempt: u32, rng: &mut R) -> Decision {
        if !error.is_retryable() {
            return Decision::GiveUp(None);
        }
        if attempt > self.max_retries {
            return Decision::GiveUp((attempt > 1).then(|| format!("gave up after {attempt} attempts")));
        }
        let jitter = rng.random::<f64>();
        match error.retry_after() {
            Some(asked) if asked > self.max_retry_after => Decision::GiveUp(Some(format!(
                "it asks to wait {}, longer than the {} that `max_retry_after` allows",
                in_words(asked),
                in_words(self.max_retry_after)
            ))),
            Some(asked) => Decision::Retry(asked.saturating_add(scaled(self.backoff_base, jitter))),
            None => {
                let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
                let bound = self.backoff_base.saturating_mul(doubled).min(self.backoff_max);
                Decision::Retry(scaled(bound, jitter))
            }
        }
    }
}

/// Adds a note to the message of an error that a retry could have helped.
pub(crate) fn annotate(mut error: LmError, note: &str) -> LmError {
    if let LmError::RateLimited { message, .. }
    | LmError::Server { message, .. }
    | LmError::Connection { message }
    | LmError::Timeout { message, .. }
    | LmError::MalformedReply { message } = &mut error
    {
        *message = format!("{message} ({note})");
    }
    error
}

fn scaled(bound: Duration, share: f64) -> Duration {
    Duration::try_from_secs_f64(bound.as_secs_f64() * share).unwrap_or(bound).min(bound)
}

fn in_words(duration: Duration) -> String {
    if duration == Duration::MAX { "for ever".to_owned() } else { format!("{} s", duration.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            max_retries: 3,
            backoff_base: Duration::from_secs(1),
            backoff_max: Duration::from_secs(3),
            max_retry_after: Duration::from_secs(60),
        }
    }

    fn limited(seconds: u64) -> LmError {
        LmError::RateLimited { message: "slow".into(), retry_after: Some(Duration::from_secs(seconds)) }
    }

    fn decide(error: &LmError, attempt: u32, seed: u64) -> Decision {
        policy().decide(error, attempt, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn what_can_not_pass_by_itself_is_not_tried_again() {
        let error = LmError::Unauthorized { status: 401, message: String::new() };
        assert_eq!(decide(&error, 1, 0), Decision::GiveUp(None));
    }

    #[test]
    fn a_wait_beyond_the_bound_is_final_and_said() {
        let Decision::GiveUp(Some(note)) = decide(&limited(3600), 1, 0) else { panic!("not given up") };
        assert!(note.contains("3600 s") && note.contains("60 s"), "{note}");
    }

    #[test]
    fn retries_are_counted() {
        let error = LmError::Connection { message: "cut".into() };
        assert!(matches!(decide(&error, 3, 0), Decision::Retry(_)));
        assert_eq!(decide(&error, 4, 0), Decision::GiveUp(Some("gave up after 4 attempts".into())));
        let annotated = annotate(error, "gave up after 4 attempts").to_string();
        assert_eq!(annotated, "no connection to the model: cut (gave up after 4 attempts)");
    }

    proptest! {
        #[test]
        fn no_wait_is_shorter_than_asked(asked in 0_u64..=60, attempt in 1_u32..=3, seed: u64) {
            let Decision::Retry(wait) = decide(&limited(asked), attempt, seed) else { panic!("given up") };
            prop_assert!(wait >= Duration::from_secs(asked));
            prop_assert!(wait <= Duration::from_secs(asked + 1));
        }

        #[test]
        fn the_backoff_doubles_up_to_its_bound(attempt in 1_u32..=3, seed: u64) {
            let error = LmError::Connection { message: String::new() };
            let Decision::Retry(wait) = decide(&error, attempt, seed) else { panic!("given up") };
            let bound = [1, 2, 3][attempt as usize - 1];
            prop_assert!(wait <= Duration::from_secs(bound));
        }

        #[test]
        fn extreme_settings_do_not_panic(attempt: u32, seed: u64) {
            let policy = RetryPolicy {
                max_retries: u32::MAX,
                backoff_base: Duration::MAX,
                backoff_max: Duration::MAX,
                max_retry_after: Duration::MAX,
            };
            let error = LmError::RateLimited { message: String::new(), retry_after: Some(Duration::MAX) };
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            policy.decide(&error, attempt, &mut rng);
            policy.decide(&LmError::Connection { message: String::new() }, attempt, &mut rng);
        }
    }
}
