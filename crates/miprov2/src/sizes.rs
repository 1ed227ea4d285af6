//! Sizes of a run that nobody gave.

/// A budget of no more than so many evaluations of the selection set is small: then no candidate is
/// evaluated in full before the end.
const SMALL_BUDGET: u64 = 12;

/// What a run is sized by where options leave it open. Under a budget of calls there are more
/// candidates and trials than without, because the budget ends the run and instructions cost little
/// beside trials; and they are written in more rounds, each of which builds on the scores of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) candidates: usize,
    pub(crate) trials: usize,
    pub(crate) full_eval_steps: usize,
    pub(crate) proposal_rounds: usize,
}

impl Sizes {
    pub(crate) fn of(calls: Option<u64>, selection: usize) -> Self {
        let Some(calls) = calls else {
            return Self { candidates: 10, trials: 20, full_eval_steps: 5, proposal_rounds: 2 };
        };
        let small = calls <= SMALL_BUDGET * selection as u64;
        Self {
            candidates: 20,
            trials: 30,
            full_eval_steps: if small { usize::MAX } else { 5 },
            proposal_rounds: 5,
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
    }
}
