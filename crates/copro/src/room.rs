//! What one turn may take: the budget shared out among the turns that are left.

use promptopt_core::program::{Evaluator, Predictor};
use promptopt_evaluator::{PartialSelection, RaceOptions};
use promptopt_run::{RolloutCost, Run};

use crate::COPRO;

/// The most rollouts that one look for mistakes takes.
const MISTAKE_ROLLOUTS: u64 = 20;
/// Of what a turn may take, at most this part goes into looking for mistakes.
const MISTAKE_SHARE: u64 = 10;
/// Where candidates race on a part of the selection set, a turn takes less in all.
const PARTIAL_MISTAKE_SHARE: u64 = 4;
/// Instructions of a depth, and depths, where nothing is said; and where candidates race on a part of the selection set.
pub(crate) const BREADTH: usize = 10;
const DEPTH: usize = 3;
const PARTIAL_BREADTH: usize = 8;
const PARTIAL_DEPTH: usize = 5;
/// Selection examples before the first look of a race.
const FIRST_CHUNK: usize = 10;
/// Rollouts of a changed program that whoever writes for the follower is shown.
pub(crate) const FOLLOWED_RUNS: usize = 3;
/// A turn that cannot evaluate so many candidates on the first chunk takes from later ones.
const MIN_CONTENDERS: u64 = 4;

/// How a run goes, by its options and what the budget has room for.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Instructions of each depth; at the first the present one is among the attempts.
    breadth: usize,
    depth: usize,
    /// All selection examples.
    all: usize,
    /// The part of them that candidates race on under a small budget.
    pub(crate) part: Option<PartialSelection>,
}

impl Plan {
    pub(crate) fn of(options: &COPRO, run: &Run<'_>) -> Self {
        let calls = run.runner().remaining_calls().filter(|_| options.racing);
        let left = calls.map(|calls| RolloutCost::of(run.runner()).rollouts(calls));
        let part = left.and_then(|left| PartialSelection::of(run, left));
        let (breadth, depth) =
            if part.is_some() { (PARTIAL_BREADTH, PARTIAL_DEPTH) } else { (BREADTH, DEPTH) };
        Self {
            breadth: options.breadth.unwrap_or(breadth),
            depth: options.depth.unwrap_or(depth),
            all: run.board().examples().len(),
            part,
        }
    }

    /// How many selection examples candidates race on.
    fn rows(&self) -> usize {
        self.part.map_or(self.all, |part| part.rows)
    }

    /// The candidate to go on from: the best, by what is believed of those that were seen on a part.
    pub(crate) fn base(&self, run: &Run<'_>) -> usize {
        self.part.map_or_else(|| run.best().0, |part| part.leader(run))
    }

    /// Rollouts that are kept for the end of the search: the evaluation of one candidate on the whole selection set, with
    /// a play-off where candidates race on a part.
    pub(crate) fn rollouts_of_the_end(&self, run: &Run<'_>) -> usize {
        let tried = run.board().candidates().len();
        self.part.map_or(self.all, |part| part.rollouts_of_the_end(run, tried))
    }

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
    pub(crate) fn race(
        &self,
        options: &COPRO,
        run: &Run<'_>,
        is_joint: bool,
        max_rollouts: Option<u64>,
    ) -> RaceOptions {
        let defaults = RaceOptions::default();
        let chunk = if is_joint { 2 * FIRST_CHUNK } else { FIRST_CHUNK };
        let first_chunk = if options.racing { chunk } else { self.all };
        defaults
            .with_first_chunk(first_chunk)
            .with_max_rollouts(max_rollouts)
            .with_examples(self.part.map(|part| part.rows))
            .with_seed(run.options().seed)
    }
}

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
        plan: &Plan,
        run: &Run<'_>,
        turn: &Turn<'_>,
        turns: usize,
        writing: u64,
    ) -> Option<Self> {
        let cost = RolloutCost::of(run.runner());
        let all = plan.rows() as u64;
        let first = plan
            .race(options, run, turn.follower.is_some(), None)
            .looks(plan.rows())
            .first()
            .map_or(all, |n| *n as u64);
        let rest = all - first;
        let mistakes = options.mistakes(run);
        let wanted = plan.wanted(turn.depth) as u64;
        // Of each contender, what comes before the race.
        let first = first + if turn.follower.is_some() { FOLLOWED_RUNS as u64 + 1 } else { 0 };

        // What is kept for the end covers the rest of one evaluation where candidates race on all examples.
        let end = plan.part.map_or(0, |_| plan.rollouts_of_the_end(run));
        let kept = writing + cost.kept_back(end);
        let calls = run.runner().remaining_calls().map(|calls| calls.saturating_sub(kept));
        let count = run.ledger().remaining_rollouts().map(|count| count.saturating_sub(end as u64));
        if calls.is_some_and(|calls| calls < cost.kept_back(plan.rows()))
            || count.is_some_and(|count| count < all)
        {
            return None;
        }
        let Some(total) = calls.map(|calls| cost.rollouts(calls)).into_iter().chain(count).min() else {
            return Some(Self { contenders: wanted as usize, mistakes: mistakes as usize, rollouts: None });
        };
        let share = (total / turns.max(1) as u64).max((all + MIN_CONTENDERS * first).min(total));
        let part = if plan.part.is_some() { PARTIAL_MISTAKE_SHARE } else { MISTAKE_SHARE };
        let mistakes = mistakes.min(share / part).min(total.saturating_sub(all));
        let race = share - mistakes;
        let free = |calls: u64| calls.saturating_sub(cost.kept_back(rest as usize));
        let calls = calls.map(|calls| cost.rollouts(free(calls)).saturating_sub(mistakes));
        let affordable =
            calls.into_iter().chain([race.saturating_sub(rest)]).min().unwrap_or_default() / first;
        let contenders = wanted.min(affordable).max(1) as usize;
        Some(Self { contenders, mistakes: mistakes as usize, rollouts: Some(race) })
    }
}

impl COPRO {
    /// Rollouts on training examples at each depth, where nothing limits them.
    pub(crate) fn mistakes(&self, run: &Run<'_>) -> u64 {
        if self.show_mistakes { MISTAKE_ROLLOUTS.min(run.train().len() as u64) } else { 0 }
    }
}
