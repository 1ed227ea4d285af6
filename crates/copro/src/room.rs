//! What one turn may take: the budget shared out among the turns that are left.

use promptopt_core::program::{Evaluator, Predictor};
use promptopt_evaluator::RaceOptions;
use promptopt_run::{RolloutCost, Run};

use crate::COPRO;

/// The most rollouts that one look for mistakes takes.
const MISTAKE_ROLLOUTS: u64 = 20;
/// Of what a turn may take, at most this part goes into looking for mistakes.
const MISTAKE_SHARE: u64 = 10;
/// Selection examples before the first look of a race.
const FIRST_CHUNK: usize = 10;
/// Rollouts of a changed program that whoever writes for the follower is shown.
pub(crate) const FOLLOWED_RUNS: usize = 3;
/// A turn that cannot evaluate so many candidates on the first chunk takes from later ones.
const MIN_CONTENDERS: u64 = 4;

/// One turn of the ascent.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'p> {
    pub(crate) depth: usize,
    pub(crate) predictor: &'p dyn Predictor,
    /// A predictor that follows each change of the first one with a change of its own.
    pub(crate) follower: Option<&'p dyn Predictor>,
}

/// What one predictor may take at one depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// New instructions.
    pub(crate) contenders: usize,
    /// Rollouts on training examples, to see mistakes.
    pub(crate) mistakes: usize,
    /// Rollouts of the race; `None` without a limit.
    pub(crate) rollouts: Option<u64>,
}

impl Room {
    /// What the next of `turns` turns may take: an equal share of what the budget has left, but
    /// enough for one candidate to be evaluated on the whole selection set; `None` where there is
    /// not even that. `writing` is what the instructions cost in calls.
    pub(crate) fn of(
        options: &COPRO,
        run: &Run<'_>,
        turn: &Turn<'_>,
        turns: usize,
        writing: u64,
    ) -> Option<Self> {
        let cost = RolloutCost::of(run.runner());
        let selection = run.board().examples().len();
        let all = selection as u64;
        let first = options
            .race(run, turn.follower.is_some(), None)
            .looks(selection)
            .first()
            .map_or(all, |n| *n as u64);
        let rest = all - first;
        let mistakes = options.mistakes(run);
        let wanted = options.wanted(turn.depth) as u64;
        // Of each contender, what comes before the race.
        let first = first + if turn.follower.is_some() { FOLLOWED_RUNS as u64 + 1 } else { 0 };

        let calls = run.runner().remaining_calls().map(|calls| calls.saturating_sub(writing));
        let count = run.ledger().remaining_rollouts();
        if calls.is_some_and(|calls| calls < full_evaluation(run)) || count.is_some_and(|count| count < all) {
            return None;
        }
        let Some(total) = calls.map(|calls| cost.rollouts(calls)).into_iter().chain(count).min() else {
            return Some(Self { contenders: wanted as usize, mistakes: mistakes as usize, rollouts: None });
        };
        let share = (total / turns.max(1) as u64).max((all + MIN_CONTENDERS * first).min(total));
        let mistakes = mistakes.min(share / MISTAKE_SHARE).min(total.saturating_sub(all));
        let race = share - mistakes;
        let free = |calls: u64| calls.saturating_sub(cost.kept_back(rest as usize));
        let calls = calls.map(|calls| cost.rollouts(free(calls)).saturating_sub(mistakes));
        let affordable =
            calls.into_iter().chain([race.saturating_sub(rest)]).min().unwrap_or_default() / first;
        let contenders = wanted.min(affordable).max(1) as usize;
        Some(Self { contenders, mistakes: mistakes as usize, rollouts: Some(race) })
    }
}

/// The calls to keep back for the evaluation of one candidate on the whole selection set.
pub(crate) fn full_evaluation(run: &Run<'_>) -> u64 {
    RolloutCost::of(run.runner()).kept_back(run.board().examples().len())
}

impl COPRO {
    /// Depth by depth all predictors: two at a time, of which one leads and the other follows, and an odd one alone.
    /// At every other depth the other one leads.
    pub(crate) fn turns<'p>(&self, program: &'p dyn Evaluator) -> Vec<Turn<'p>> {
        let predictors = program.predictors();
        let mut turns = Vec::new();
        for depth in 0..self.depth {
            let is_odd = depth % 2 == 1;
            let shift = usize::from(is_odd && predictors.len() > 2);
            let (alone, pairs) = predictors.split_at(shift);
            for group in [alone].into_iter().chain(pairs.chunks(2)) {
                let (leader, follower) = match group {
                    [one, other] if is_odd => (*other, Some(*one)),
                    [one, other] => (*one, Some(*other)),
                    [one] => (*one, None),
                    _ => continue,
                };
                turns.push(Turn { depth, predictor: leader, follower });
            }
        }
        turns
    }

    /// New instructions that a depth is to bring; at the first the present one is among the attempts.
    pub(crate) fn wanted(&self, depth: usize) -> usize {
        if depth == 0 { self.breadth - 1 } else { self.breadth }
    }

    /// How a turn races. All candidates of a run see the selection examples in the same order. A contender of two
    /// predictors has cost more by then, and gets more examples.
    pub(crate) fn race(&self, run: &Run<'_>, is_joint: bool, max_rollouts: Option<u64>) -> RaceOptions {
        let defaults = RaceOptions::default();
        let chunk = if is_joint { 2 * FIRST_CHUNK } else { FIRST_CHUNK };
        let first_chunk = if self.racing { chunk } else { run.board().examples().len() };
        defaults.with_first_chunk(first_chunk).with_max_rollouts(max_rollouts).with_seed(run.options().seed)
    }

    /// Rollouts on training examples at each depth, where nothing limits them.
    pub(crate) fn mistakes(&self, run: &Run<'_>) -> u64 {
        if self.show_mistakes { MISTAKE_ROLLOUTS.min(run.train().len() as u64) } else { 0 }
    }
}
