//! Why no traces or demos could be made.

/// Why no traces or demos could be made. Failures of single rollouts are traces, not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The score threshold is not a number.
    #[error("the metric threshold is {0}; give a finite number, or none to take every score above 0")]
    Threshold(f64),
}

impl From<Error> for promptopt_run::Halt {
    fn from(error: Error) -> Self {
        promptopt_run::Error::stage("trace generation", error).into()
    }
}
