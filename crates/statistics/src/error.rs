//! What can be wrong with the input.

/// What can be wrong with the input of a function.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A score is NaN or infinite.
    #[error(
        "reading scores: the score of example {index} is {score}; \
         give a finite number, or `None` where there is no score"
    )]
    NotFinite {
        /// The index of the example.
        index: usize,
        /// Its score.
        score: f64,
    },
    /// Two programs do not have equally many examples.
    #[error(
        "comparing scores on the same examples: {first} examples against {second}; \
         give `None` where there is no score"
    )]
    Lengths {
        /// Examples of the first program.
        first: usize,
        /// Examples of the second program.
        second: usize,
    },
    /// There is no such candidate.
    #[error("judging a winner: there is no candidate {candidate} among {candidates}; indices start at 0")]
    NoCandidate {
        /// The index that was asked for; 0 where there is nothing to choose from.
        candidate: usize,
        /// How many candidates there are.
        candidates: usize,
    },
}
