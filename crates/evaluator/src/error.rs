//! Why a search could not be done.

/// Why a search could not be done. Failures of single rollouts are evidence, not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The space has no predictor, or a predictor without an instruction or a demo set.
    #[error(
        "predictor `{0}` has nothing to choose from; it needs an instruction and a demo set, which may be empty"
    )]
    EmptySpace(String),
}

impl From<Error> for promptopt_run::Halt {
    fn from(error: Error) -> Self {
        promptopt_run::Error::stage("search", error).into()
    }
}
