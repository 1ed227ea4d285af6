//! Why an evaluation or a search could not be done.

/// Why an evaluation or a search could not be done. Failures of single rollouts are evidence, not
/// errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The rollouts could not be run.
    #[error("the candidates could not be run over the selection set")]
    Rollouts(#[source] promptopt_core::Error),
    /// There is nothing to select on.
    #[error("the selection set is empty; give at least one example to select candidates on")]
    EmptySelection,
    /// The space has no predictor, or a predictor without an instruction or a demo set.
    #[error(
        "predictor `{0}` has nothing to choose from; it needs an instruction and a demo set, which may be empty"
    )]
    EmptySpace(String),
}
