//! Sizes of a run that nobody gave.

/// A budget of no more than so many evaluations of the selection set is small: then no candidate is
/// evaluated in full before the end.
const SMALL_BUDGET: u64 = 12;
/// And up to so many the minibatches are small.
const TINY_BUDGET: u64 = 8;

/// What a run is sized by where options leave it open. Under a budget of calls there are more
/// candidates and trials than without, because the budget ends the run and instructions cost little
/// beside trials; and they are written in more rounds, each of which builds on the scores of the last.
/// Under a small one trials are on few examples, and what that leaves goes into the play-off at the end.
///
/// Chosen on the simulated landscapes, seeds 100 to 139.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) candidates: usize,
    pub(crate) trials: usize,
    pub(crate) minibatch_size: usize,
    pub(crate) full_eval_steps: usize,
    pub(crate) finalists: usize,
    pub(crate) proposal_rounds: usize,
}

impl Sizes {
    /// The sizes under a budget of calls, if there is one, where an evaluation of the selection set takes
    /// `evaluation` calls at least.
    pub(crate) fn of(calls: Option<u64>, evaluation: u64) -> Self {
        let up_to = |evaluations: u64| calls.is_some_and(|calls| calls <= evaluations * evaluation);
        Self {
            candidates: if calls.is_some() { 20 } else { 10 },
            trials: if calls.is_some() { 30 } else { 20 },
            minibatch_size: if up_to(TINY_BUDGET) { 10 } else { 25 },
            full_eval_steps: if up_to(SMALL_BUDGET) { usize::MAX } else { 5 },
            finalists: if calls.is_some() { 8 } else { 1 },
            proposal_rounds: if calls.is_some() { 5 } else { 2 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_budget_leaves_full_evaluations_to_the_end() {
        let steps = |calls| Sizes::of(calls, 100).full_eval_steps;
        assert_eq!((steps(None), steps(Some(1200)), steps(Some(1201))), (5, usize::MAX, 5));
        let minibatch = |calls| Sizes::of(calls, 100).minibatch_size;
        assert_eq!((minibatch(None), minibatch(Some(800)), minibatch(Some(801))), (25, 10, 25));
    }
}
