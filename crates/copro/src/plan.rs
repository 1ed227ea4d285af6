//! What a run works with: options checked, data divided, models chosen, budget shared out.

use std::sync::Arc;

use promptopt_core::{Error, Evaluator, Example, Predictor, RolloutRunner, check_program};
use promptopt_evaluator::session::{Division, Session, check_budget, divide};
use promptopt_evaluator::{RaceOptions, RolloutCost};

use crate::COPRO;

/// The most rollouts that one look for mistakes takes.
const MISTAKE_ROLLOUTS: u64 = 20;
/// Of what a turn may take, at most this part goes into looking for mistakes.
const MISTAKE_SHARE: u64 = 10;
/// A turn that cannot evaluate so many candidates on the first chunk takes from later ones.
const MIN_CONTENDERS: u64 = 4;

pub(crate) struct Plan<'a> {
    pub(crate) options: &'a COPRO,
    pub(crate) train: Vec<Arc<Example>>,
    pub(crate) selection: Vec<Arc<Example>>,
    pub(crate) session: Session,
    pub(crate) notes: Vec<String>,
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

impl<'a> Plan<'a> {
    pub(crate) fn new(
        options: &'a COPRO,
        program: &dyn Evaluator,
        trainset: Vec<Example>,
    ) -> Result<Self, Error> {
        check_program(program)?;
        check_options(options)?;
        let mut session = Session::of(program, options.task_model.as_ref())?;
        if let Some(model) = &options.prompt_model {
            session.prompt_model = Arc::clone(model);
        }
        if let Some(store) = &options.store {
            session.store = Arc::clone(store);
        }
        if let Some(observer) = &options.observer {
            session.observer = Arc::clone(observer);
        }
        let budget = options.budget();
        session.limit(program, budget, options.prices.as_ref(), None, &[])?;
        session.concurrency = options.concurrency;
        session.max_errors = Some(options.max_errors);
        session.cancellation = options.cancellation.clone();
        let Division { train, selection } = divide(trainset, options.valset.as_deref(), options.seed)?;
        check_budget("max_calls", budget.calls, selection.len())?;
        check_budget("max_metric_calls", options.max_metric_calls, selection.len())?;
        let mut notes = Vec::new();
        if options.show_mistakes && train.is_empty() {
            notes.push("there are no training examples left, so no mistakes are shown".to_owned());
        }
        Ok(Self { options, train, selection, session, notes })
    }

    pub(crate) fn runner<'p>(&self, program: &'p dyn Evaluator) -> RolloutRunner<'p> {
        self.session.runner(program).max_rollouts(self.options.max_metric_calls)
    }

    /// Depth by depth every predictor in turn, with how many turns there are from here on.
    pub(crate) fn turns<'p>(&self, program: &'p dyn Evaluator) -> Vec<(usize, &'p dyn Predictor, usize)> {
        let predictors = program.predictors();
        let all = self.options.depth * predictors.len();
        let turns = (0..self.options.depth)
            .flat_map(|depth| predictors.iter().map(move |predictor| (depth, *predictor)));
        turns.enumerate().map(|(turn, (depth, predictor))| (depth, predictor, all - turn)).collect()
    }

    /// New instructions that a depth is to bring; at the first the present one is among the attempts.
    pub(crate) fn wanted(&self, depth: usize) -> usize {
        if depth == 0 { self.options.breadth - 1 } else { self.options.breadth }
    }

    /// All candidates of a run see the selection examples in the same order.
    pub(crate) fn race_options(&self, max_rollouts: Option<u64>) -> RaceOptions {
        let defaults = RaceOptions::default();
        let first_chunk = if self.options.racing { defaults.first_chunk } else { self.selection.len() };
        RaceOptions { first_chunk, max_rollouts, seed: self.options.seed, ..defaults }
    }

    /// Rollouts on training examples at each depth, where nothing limits them.
    pub(crate) fn mistakes(&self) -> u64 {
        if self.options.show_mistakes { MISTAKE_ROLLOUTS.min(self.train.len() as u64) } else { 0 }
    }

    /// The calls to keep back for the evaluation of one candidate on the whole selection set.
    pub(crate) fn full_evaluation(&self, runner: &RolloutRunner<'_>) -> u64 {
        RolloutCost::of(runner).kept_back(self.selection.len())
    }

    /// What the next of `turns` turns may take: an equal share of what the budget has left, but
    /// enough for one candidate to be evaluated on the whole selection set; `None` where there is
    /// not even that. `writing` is what the instructions cost in calls.
    pub(crate) fn room(
        &self,
        runner: &RolloutRunner<'_>,
        depth: usize,
        turns: usize,
        writing: u64,
    ) -> Option<Room> {
        let (cost, made) = (RolloutCost::of(runner), runner.totals().made);
        let all = self.selection.len() as u64;
        let first = self.race_options(None).looks(self.selection.len()).first().map_or(all, |n| *n as u64);
        let rest = all - first;
        let mistakes = self.mistakes();
        let wanted = self.wanted(depth) as u64;

        let calls = runner.remaining_calls().map(|calls| calls.saturating_sub(writing));
        let count = self.options.max_metric_calls.map(|most| most.saturating_sub(made));
        if calls.is_some_and(|calls| calls < self.full_evaluation(runner))
            || count.is_some_and(|count| count < all)
        {
            return None;
        }
        let Some(total) = calls.map(|calls| cost.rollouts(calls)).into_iter().chain(count).min() else {
            return Some(Room { contenders: wanted as usize, mistakes: mistakes as usize, rollouts: None });
        };
        let share = (total / turns.max(1) as u64).max((all + MIN_CONTENDERS * first).min(total));
        let mistakes = mistakes.min(share / MISTAKE_SHARE).min(total.saturating_sub(all));
        let race = share - mistakes;
        let free = |calls: u64| calls.saturating_sub(cost.kept_back(rest as usize));
        let calls = calls.map(|calls| cost.rollouts(free(calls)).saturating_sub(mistakes));
        let affordable =
            calls.into_iter().chain([race.saturating_sub(rest)]).min().unwrap_or_default() / first;
        let contenders = wanted.min(affordable).max(1) as usize;
        Some(Room { contenders, mistakes: mistakes as usize, rollouts: Some(race) })
    }
}

fn check_options(options: &COPRO) -> Result<(), Error> {
    if options.breadth < 2 {
        return Err(Error::option("breadth", "must be at least 2, because the present instruction is one"));
    }
    for (name, value) in [("depth", options.depth), ("concurrency", options.concurrency)] {
        if value == 0 {
            return Err(Error::option(name, "must be at least 1"));
        }
    }
    if !(0.0..=2.0).contains(&options.init_temperature) {
        let reason = format!("is {}, but must be from 0 to 2", options.init_temperature);
        return Err(Error::option("init_temperature", reason));
    }
    Ok(())
}
