//! How much a step may take, so that a small budget bears more steps.

use promptopt_evaluator::PartialSelection;
use promptopt_run::Run;

use crate::SIMBA;

/// A step over fewer examples is not worth its runs.
pub(crate) const SMALLEST_MINIBATCH: usize = 4;
/// Runs of an example, and new candidates of a step, where the calls are not enough for all steps as they are set: what
/// steps bring adds up. Chosen on the simulated landscapes, seeds 100 to 119.
const SMALL_WIDTH: usize = 3;
/// Winners whose evaluation on a part of the selection set is kept back. A race drops most of the others early.
const KEPT_WINNERS: usize = 4;

/// How a run goes, by its options and what the budget has room for.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Runs of an example, and new candidates of a step.
    pub(crate) width: usize,
    /// The part of the selection set that winners are seen on before they play off.
    pub(crate) part: Option<PartialSelection>,
    /// Whether the steps share the budget, because it is not enough for all of them as they are set.
    shares: bool,
    /// Winners whose evaluation is kept back at most.
    kept_winners: usize,
}

impl Pace {
    /// The pace of a run whose minibatches are to have `size` examples.
    pub(crate) fn of(options: &SIMBA, run: &Run<'_>, size: usize) -> Self {
        let wanted = options.max_steps * size * runs(options.num_candidates);
        let left = run.spare(0).filter(|_| run.runner().remaining_calls().is_some());
        let left = left.filter(|left| *left < wanted as u64);
        let part = left.and_then(|left| PartialSelection::of(run, left));
        let small = if left.is_some() { SMALL_WIDTH } else { usize::MAX };
        let kept_winners = if part.is_some() { KEPT_WINNERS } else { options.num_candidates };
        Self { width: options.num_candidates.min(small), part, shares: left.is_some(), kept_winners }
    }

    /// Examples of the next of `steps` minibatches, of at most `size`: an even share of what the budget has left beside
    /// the evaluation of the winners.
    pub(crate) fn minibatch(&self, run: &Run<'_>, size: usize, steps: usize, winners: usize) -> usize {
        let rows = self.part.map_or(run.board().examples().len(), |part| part.rows);
        let end = self.part.map_or(0, |part| part.rollouts_of_the_end(run, winners));
        let Some(left) = run.spare(rows * winners.min(self.kept_winners) + end) else { return size };
        let (left, runs) = (left as usize, runs(self.width));
        let most = size.min(left / runs);
        // Each later step has a winner to evaluate as well.
        let even = left.saturating_sub(rows * (steps - 1)) / (runs * steps);
        if self.shares { most.min(even.max(SMALLEST_MINIBATCH)) } else { most }
    }
}

/// How often every example of a step is run at most: to sample, and once under each new candidate.
fn runs(width: usize) -> usize {
    2 * width + 1
}
