//! The search for the best combination of instructions and demo sets.

mod points;

use std::collections::{BTreeMap, BTreeSet};

use promptopt_run::{Halt, RolloutCost, Run, TrialKind};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::minibatch::MinibatchSampler;
use crate::play_off::{
    evaluate_in_full, halve, is_hopeless, play_off_rollouts, prior, room_for_finalists, shrunk_mean,
};
use crate::tpe::Densities;
use crate::{Choice, Error, Space};

/// How to search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SearchOptions {
    /// Evaluate trials on minibatches, and only leaders on the full selection set. Default: true.
    pub minibatch: bool,
    /// Examples of a minibatch. Default: 25.
    pub minibatch_size: usize,
    /// After how many minibatch trials the leader is evaluated in full. Default: 5.
    pub full_eval_steps: usize,
    /// How many trials are chosen and run at once. Part of the algorithm: it does not depend on
    /// how many rollouts may be under way. Default: 5.
    pub parallel_trials: usize,
    /// How many leaders meet in a play-off before the last full evaluation, as far as a budget of calls has room
    /// for it; without a budget there is none. Default: 1, which is no play-off.
    pub finalists: usize,
    /// Drop a leader during its full evaluation once its upper bound cannot win. Default: true.
    pub racing: bool,
    /// Confidence level of intervals, in (0.5, 1). Default: 0.95.
    pub level: f64,
    /// Seed of every choice. Default: 0.
    pub seed: u64,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            minibatch: true,
            minibatch_size: 25,
            full_eval_steps: 5,
            parallel_trials: 5,
            finalists: 1,
            racing: true,
            level: 0.95,
            seed: 0,
        }
    }
}

impl SearchOptions {
    /// With or without minibatches.
    #[must_use]
    pub fn with_minibatch(mut self, minibatch: bool) -> Self {
        self.minibatch = minibatch;
        self
    }

    /// With minibatches of so many examples.
    #[must_use]
    pub fn with_minibatch_size(mut self, minibatch_size: usize) -> Self {
        self.minibatch_size = minibatch_size;
        self
    }

    /// With a full evaluation after so many trials.
    #[must_use]
    pub fn with_full_eval_steps(mut self, full_eval_steps: usize) -> Self {
        self.full_eval_steps = full_eval_steps;
        self
    }

    /// With so many trials at once.
    #[must_use]
    pub fn with_parallel_trials(mut self, parallel_trials: usize) -> Self {
        self.parallel_trials = parallel_trials;
        self
    }

    /// With so many leaders in a play-off.
    #[must_use]
    pub fn with_finalists(mut self, finalists: usize) -> Self {
        self.finalists = finalists;
        self
    }

    /// With or without racing.
    #[must_use]
    pub fn with_racing(mut self, racing: bool) -> Self {
        self.racing = racing;
        self
    }

    /// With a seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// A search in progress over the candidates of a run. Trials may be run in several portions, with instructions added
/// to the space in between.
pub struct Search {
    space: Space,
    options: SearchOptions,
    points: BTreeMap<Choice, usize>,
    /// For each dimension, the options that some point has.
    seen: Vec<BTreeSet<usize>>,
    /// What TPE goes by, and how much had happened when it was made.
    densities: Option<(usize, Densities)>,
    /// How many points and trials there were so far.
    happened: usize,
    sampler: MinibatchSampler,
    rng: ChaCha8Rng,
    trials_since_full: usize,
    dropped: BTreeSet<usize>,
    /// How many leaders the play-off has room for, once trials have begun.
    finalists: Option<usize>,
    /// Whether trials ended because the rest of the budget is kept for the end.
    kept_back: bool,
}

impl Search {
    /// Begins a search over the selection set of a run.
    pub fn new(run: &Run<'_>, options: SearchOptions) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let selection = run.board().examples().len();
        let sampler = MinibatchSampler::new(selection, ChaCha8Rng::seed_from_u64(rng.random()));
        Self {
            space: Space::default(),
            options,
            points: BTreeMap::new(),
            seen: Vec::new(),
            densities: None,
            happened: 1,
            sampler,
            rng,
            trials_since_full: 0,
            dropped: BTreeSet::new(),
            finalists: None,
            kept_back: false,
        }
    }

    /// Sets or widens the space. Points that were tried keep their evidence, because options are
    /// only ever added at the end.
    ///
    /// # Errors
    ///
    /// [`Error::EmptySpace`] when a predictor has nothing to choose from.
    pub fn widen(&mut self, run: &Run<'_>, space: Space) -> Result<(), Error> {
        space.check()?;
        self.seen.resize(space.options().len(), BTreeSet::new());
        self.space = space;
        // What the search began with is a point of the space like any other, and known already.
        let first = Choice(vec![(0, 0); self.space.predictors.len()]);
        if let Some(known) = run.board().find(&self.space.candidate(&first)) {
            self.note_point(first, known);
        }
        Ok(())
    }

    /// For every instruction of a predictor that was tried, the best mean of any point it was tried
    /// in, pulled towards the mean of all where it rests on few examples.
    pub fn instruction_scores(&self, run: &Run<'_>, predictor: usize) -> Vec<(String, f64)> {
        let Some(space) = self.space.predictors.get(predictor) else { return Vec::new() };
        let (mut scored, prior) = (Vec::new(), self.prior(run));
        for (index, instruction) in space.instructions.iter().enumerate() {
            let points = self
                .points
                .iter()
                .filter(|(point, _)| point.0.get(predictor).is_some_and(|at| at.0 == index));
            let best =
                points.map(|(_, candidate)| shrunk_mean(run, *candidate, prior)).max_by(f64::total_cmp);
            scored.extend(best.map(|best| (instruction.clone(), best)));
        }
        scored
    }

    /// Runs up to `trials` trials, in groups of `parallel_trials`.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before all of them.
    pub async fn trials(&mut self, run: &mut Run<'_>, trials: usize) -> Result<(), Halt> {
        let mut left = trials;
        let finalists = room_for_finalists(run, self.options.finalists, self.options.minibatch_size);
        self.finalists.get_or_insert(finalists);
        while left > 0 {
            run.check()?;
            let most = left.min(self.options.parallel_trials.max(1));
            let minibatch = self.minibatch(run);
            let affordable = (1..=most).rev().find(|group| self.can_afford(run, *group, minibatch.len()));
            self.kept_back = affordable.is_none();
            let group = affordable.ok_or_else(Halt::budget)?;
            let chosen = self.choose(run, group, &minibatch);
            if chosen.is_empty() {
                break;
            }
            left = left.saturating_sub(chosen.len());
            let kind = if self.options.minibatch { TrialKind::MINIBATCH } else { TrialKind::FULL };
            let mut ended = run.score(&chosen).await;
            for (candidate, examples) in &chosen {
                run.note_trial(kind.clone(), *candidate, examples);
                self.happened += 1;
                self.trials_since_full += 1;
                if ended.is_ok()
                    && self.options.minibatch
                    && self.trials_since_full >= self.options.full_eval_steps.max(1)
                {
                    self.trials_since_full = 0;
                    ended = self.evaluate_leader(run).await;
                    ended = ended.and_then(|()| run.step());
                }
            }
            ended?;
            if !self.options.minibatch {
                run.step()?;
            }
        }
        Ok(())
    }

    /// Ends the search, of which `ended` is what it came to: the leaders play off where the budget has room for that,
    /// and the best is evaluated in full. Nothing more is done where the run ended with nothing left.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before that, and otherwise what the search came to.
    pub async fn finish(&mut self, run: &mut Run<'_>, ended: Result<(), Halt>) -> Result<(), Halt> {
        let goes_on = ended.as_ref().err().is_none_or(|halt| self.kept_back || halt.leaves_room());
        if goes_on && self.options.minibatch {
            let field = self.best_of_open(run, self.finalists.unwrap_or(1));
            let among: Vec<usize> = self.points.values().copied().collect();
            match halve(run, field, &among).await? {
                Some(winner) => self.evaluate_in_full(run, winner).await?,
                None => self.evaluate_leader(run).await?,
            }
        }
        ended
    }

    fn minibatch(&mut self, run: &Run<'_>) -> Vec<usize> {
        let all = run.board().examples().len();
        if self.options.minibatch {
            self.sampler.next(self.options.minibatch_size.clamp(1, all))
        } else {
            (0..all).collect()
        }
    }

    /// Whether a group of trials leaves enough for the play-off and to evaluate its winner in full. A
    /// search that ends with nothing but minibatches has nothing to install.
    fn can_afford(&self, run: &Run<'_>, group: usize, minibatch: usize) -> bool {
        let later = if self.options.minibatch { self.rollouts_of_the_end(run, group, minibatch) } else { 0 };
        let wanted = group * minibatch;
        let by_number = run.ledger().remaining_rollouts();
        if by_number.is_some_and(|rollouts| rollouts < (later + wanted) as u64) {
            return false;
        }
        let Some(remaining) = run.runner().remaining_calls() else { return true };
        let cost = RolloutCost::of(run.runner());
        let kept = cost.kept_back(later).max(cost.most());
        remaining >= kept.saturating_add(cost.expected(wanted))
    }

    /// The mean of all means, which is known before anything is known of a candidate.
    fn prior(&self, run: &Run<'_>) -> f64 {
        prior(run, self.points.values().copied())
    }

    /// Rollouts that are wanted when trials are over, if `group` more of them on `minibatch` examples come
    /// first.
    fn rollouts_of_the_end(&self, run: &Run<'_>, group: usize, minibatch: usize) -> usize {
        let tried = run.board().candidates().len() - 1 + group;
        let field = self.finalists.unwrap_or(1).min(tried).max(1);
        play_off_rollouts(field, minibatch, run.board().examples().len())
    }

    /// The most promising candidate that was tried but not on the whole selection set.
    fn leader(&self, run: &Run<'_>, except: &[usize], prior: f64) -> Option<usize> {
        let board = run.board();
        let contenders = (1..board.candidates().len()).filter(|candidate| {
            board.count(*candidate) > 0
                && !board.is_full(*candidate)
                && !except.contains(candidate)
                && !self.dropped.contains(candidate)
        });
        let mut best: Option<(usize, f64)> = None;
        for candidate in contenders {
            let score = shrunk_mean(run, candidate, prior);
            if best.is_none_or(|(_, leader)| score > leader) {
                best = Some((candidate, score));
            }
        }
        best.map(|(candidate, _)| candidate)
    }

    /// Evaluates the leader in full, if there is one that can win.
    async fn evaluate_leader(&mut self, run: &mut Run<'_>) -> Result<(), Halt> {
        match self.best_of_open(run, 1).first() {
            Some(leader) => self.evaluate_in_full(run, *leader).await,
            None => Ok(()),
        }
    }

    /// The leaders, the best first, without those that cannot win by what is known already, which are not
    /// worth more rollouts.
    fn best_of_open(&mut self, run: &Run<'_>, most: usize) -> Vec<usize> {
        let (mut best, prior) = (Vec::new(), self.prior(run));
        while best.len() < most {
            let Some(leader) = self.leader(run, &best, prior) else { break };
            if self.options.racing && is_hopeless(run, leader) {
                self.dropped.insert(leader);
            } else {
                best.push(leader);
            }
        }
        best
    }

    /// Evaluates a candidate on the rest of the selection set, in portions, and drops it when it cannot win
    /// any more.
    async fn evaluate_in_full(&mut self, run: &mut Run<'_>, leader: usize) -> Result<(), Halt> {
        let (portion, racing) = (self.options.minibatch_size, self.options.racing);
        self.happened += 1;
        evaluate_in_full(run, leader, portion, &mut self.dropped, racing).await
    }
}
