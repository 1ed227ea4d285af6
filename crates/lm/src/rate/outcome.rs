//! What the end of an attempt says to rate control.

use std::time::Duration;

use promptopt_core::lm::{LmError, LmReply};

use super::adaptive::Feedback;

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) feedback: Feedback,
    /// How long the provider asked to be left alone.
    pub(crate) asked_wait: Option<Duration>,
    /// Tokens read and written, where the reply says so.
    pub(crate) tokens: Option<u64>,
}

impl Outcome {
    /// The end of an attempt that tells nothing.
    pub(crate) fn neutral() -> Self {
        Self { feedback: Feedback::Neutral, asked_wait: None, tokens: None }
    }

    /// The end of an attempt that was answered.
    pub(crate) fn of_reply(reply: &LmReply) -> Self {
        let tokens = Some(reply.usage.total_tokens()).filter(|tokens| *tokens > 0);
        Self { feedback: Feedback::Success, asked_wait: None, tokens }
    }

    /// The end of an attempt that failed.
    pub(crate) fn of_error(error: &LmError) -> Self {
        let feedback = match error {
            LmError::RateLimited { .. } => Feedback::Limited,
            LmError::Server { .. } | LmError::Timeout { .. } | LmError::Connection { .. } => {
                Feedback::Trouble
            }
            _ => Feedback::Neutral,
        };
        Self { feedback, asked_wait: error.retry_after(), tokens: None }
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::money::Usage;

    use super::*;

    fn check(error: LmError, feedback: Feedback, asked_wait: Option<Duration>) {
        assert_eq!(Outcome::of_error(&error), Outcome { feedback, asked_wait, tokens: None }, "{error}");
    }

    #[test]
    fn only_429_cuts_and_only_trouble_pauses() {
        let wait = Some(Duration::from_secs(3));
        let message = String::new;
        let limited = LmError::RateLimited { message: message(), retry_after: wait };
        check(limited, Feedback::Limited, wait);
        let server = LmError::Server { status: 503, message: message(), retry_after: wait };
        check(server, Feedback::Trouble, wait);
        check(LmError::Timeout { after: Duration::ZERO, message: message() }, Feedback::Trouble, None);
        check(LmError::Connection { message: message() }, Feedback::Trouble, None);
        check(LmError::InvalidRequest { status: 429, message: message() }, Feedback::Neutral, None);
        check(LmError::MalformedReply { message: message() }, Feedback::Neutral, None);
        check(LmError::TooLarge { limit: 1 }, Feedback::Neutral, None);
    }

    #[test]
    fn a_reply_without_a_count_has_none() {
        let tokens = |usage| Outcome::of_reply(&LmReply::text("x", usage)).tokens;
        assert_eq!(tokens(Usage::call(3, 4)), Some(7));
        assert_eq!(tokens(Usage::call(0, 0)), None);
    }
}
