//! What the command's end says to a script.

use std::fmt;

use promptopt_core::Error as CoreError;
use promptopt_core::lm::LmError;
use promptopt_data::DataError;
use promptopt_lm::ConfigError;
use promptopt_run::{Error as RunError, StopReason};

/// Shown in `--help`; `docs/task-file.md` says the same.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0    done: the prompt is improved, or nothing beat it and it stays
  1    anything that has no code of its own
  2    configuration: command line, task file, data, or a missing key
  3    provider: the language model refused or could not be reached
  4    the budget did not last for one evaluation of the original prompt,
       or for one row of the sealed test
  5    the score is below --fail-under
  130  interrupted; what was learnt until then is written";

/// Why the command ends, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Other = 1,
    Configuration = 2,
    Provider = 3,
    Budget = 4,
    BelowThreshold = 5,
    Interrupted = 130,
}

/// An error that says with which code the command ends. It adds nothing to the text.
#[derive(Debug)]
struct Tagged {
    exit: Exit,
    error: anyhow::Error,
}

impl fmt::Display for Tagged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for Tagged {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl Exit {
    /// The error, ending the command with this code.
    pub(crate) fn with(self, error: anyhow::Error) -> anyhow::Error {
        anyhow::Error::new(Tagged { exit: self, error })
    }

    /// Marks an error as one of configuration, unless it has a code of its own.
    pub(crate) fn configuration(error: anyhow::Error) -> anyhow::Error {
        match Self::of(&error) {
            Self::Other => Self::Configuration.with(error),
            _ => error,
        }
    }

    /// The code of an error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error
            .chain()
            .find_map(|cause| {
                if let Some(tagged) = cause.downcast_ref::<Tagged>() {
                    return Some(tagged.exit);
                }
                if let Some(error) = cause.downcast_ref::<RunError>() {
                    return Self::of_run(error);
                }
                if let Some(error) = cause.downcast_ref::<CoreError>() {
                    return Self::of_core(error);
                }
                if cause.is::<LmError>() {
                    return Some(Self::Provider);
                }
                (cause.is::<DataError>() || cause.is::<ConfigError>()).then_some(Self::Configuration)
            })
            .unwrap_or(Self::Other)
    }

    fn of_run(error: &RunError) -> Option<Self> {
        match error {
            RunError::Option { reason, .. } if reason.contains("budget is too small") => Some(Self::Budget),
            RunError::TooEarly { stop: Some(StopReason::Budget), .. } => Some(Self::Budget),
            RunError::TooEarly { stop: Some(StopReason::Cancelled), .. } => Some(Self::Interrupted),
            // What a predictor says when its model gave no reply.
            RunError::TooEarly { reason, .. } if reason.contains(" got no reply: ") => Some(Self::Provider),
            // A metric that judges nothing at all is not set up rightly.
            RunError::TooEarly { reason, .. } if reason.contains("the metric ") => Some(Self::Configuration),
            RunError::Option { .. } | RunError::Data { .. } | RunError::Program { .. } => {
                Some(Self::Configuration)
            }
            RunError::Core(error) => Self::of_core(error),
            RunError::Model { .. } => Some(Self::Provider),
            _ => None,
        }
    }

    fn of_core(error: &CoreError) -> Option<Self> {
        let known = matches!(error, CoreError::Program { .. } | CoreError::Signature { .. });
        known.then_some(Self::Configuration)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn an_errors_code_is_found_under_its_context() {
        let check = |error: anyhow::Error, exit| assert_eq!(Exit::of(&error), exit, "{error:#}");
        let too_small = RunError::option("max_calls", "the budget is too small for one evaluation");
        check(anyhow::Error::new(too_small).context("optimizing"), Exit::Budget);
        check(anyhow::Error::new(RunError::option("breadth", "must be at least 2")), Exit::Configuration);
        check(RunError::Model { message: "no".into() }.into(), Exit::Provider);
        check(anyhow!("?"), Exit::Other);
        check(Exit::configuration(anyhow!("?")).context("in the task file"), Exit::Configuration);
        let tagged: anyhow::Result<()> = Err(Exit::BelowThreshold.with(anyhow!("low").context("0.1 < 0.5")));
        let error = tagged.context("testing").unwrap_err();
        assert_eq!(format!("{error:#}"), "testing: 0.1 < 0.5: low");
        check(error, Exit::BelowThreshold);
    }
}
