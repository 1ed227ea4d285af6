//! The search for the best combination of instructions and demo sets.

mod play_off;
mod points;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use promptopt_core::{
    CandidateScores, Comparison, Estimate, Event, Example, NoObserver, Observer, Origin, PromptCandidate,
    RolloutRunner, StopReason, Trial, TrialKind,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Choice, Densities, Error, MinibatchSampler, RolloutCost, Scoreboard, Space, statistics};

/// How to search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

/// A mean of few examples is pulled towards the mean of all candidates with this weight.
const PRIOR_WEIGHT: f64 = 5.0;
/// Nothing is dropped on the evidence of fewer examples: their spread says little.
const MIN_RACED: usize = 10;
/// A leader is dropped from its full evaluation when it is this unlikely to be the best.
const RACING_LEVEL: f64 = 0.99;

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The candidates that were tried; the original is the first.
    pub candidates: Vec<PromptCandidate>,
    /// Index of the winner.
    pub best: usize,
    /// The original on the selection set.
    pub baseline: Estimate,
    /// The winner on the selection set.
    pub selected: Estimate,
    /// Winner against original, with allowance for the choice among all that were tried
    /// ([`Scoreboard::judge`]); `None` when the original won.
    pub comparison: Option<Comparison>,
    /// How the winner was chosen.
    pub choice: String,
    /// Every evaluation, in logical order.
    pub trials: Vec<Trial>,
    /// What is known of every candidate, example by example.
    pub scores: Vec<CandidateScores>,
    /// Why it ended before its time.
    pub stop: Option<StopReason>,
}

/// A search in progress. The original goes in first; trials may be run in several portions, with
/// instructions added to the space in between.
pub struct Search<'r, 'p> {
    board: Scoreboard<'r, 'p>,
    space: Space,
    options: SearchOptions,
    points: BTreeMap<Choice, usize>,
    /// For each dimension, the options that some point has.
    seen: Vec<BTreeSet<usize>>,
    /// What TPE goes by, and how much had happened when it was made.
    densities: Option<(usize, Densities)>,
    sampler: MinibatchSampler,
    rng: ChaCha8Rng,
    observer: Arc<dyn Observer>,
    trials: Vec<Trial>,
    trials_since_full: usize,
    dropped: BTreeSet<usize>,
    /// How many leaders the play-off has room for, once trials have begun.
    finalists: Option<usize>,
    stop: Option<StopReason>,
    /// Whether `stop` came from what is kept back for the leader's full evaluation.
    kept_back: bool,
}

impl<'r, 'p> Search<'r, 'p> {
    /// Begins a search: evaluates the original candidate on the whole selection set.
    ///
    /// # Errors
    ///
    /// When there is nothing to choose from or to select on, or the rollout store fails.
    pub async fn begin(
        runner: &'r RolloutRunner<'p>,
        original: PromptCandidate,
        selection: Vec<Arc<Example>>,
        options: SearchOptions,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let mut board = Scoreboard::new(runner, selection)?;
        let sampler = MinibatchSampler::new(board.examples().len(), ChaCha8Rng::seed_from_u64(rng.random()));
        let original = board.enter(PromptCandidate { origin: Origin::Original, ..original });
        let mut search = Self {
            board,
            space: Space::default(),
            options,
            points: BTreeMap::new(),
            seen: Vec::new(),
            densities: None,
            sampler,
            rng,
            observer: observer.unwrap_or_else(|| Arc::new(NoObserver)),
            trials: Vec::new(),
            trials_since_full: 0,
            dropped: BTreeSet::new(),
            finalists: None,
            stop: None,
            kept_back: false,
        };
        let everything = search.board.open(original);
        search.stop = search.board.roll_out(&[(original, everything.clone())]).await?;
        search.note_trial(TrialKind::Baseline, original, &everything);
        Ok(search)
    }

    /// Whether the original was evaluated on the whole selection set, without which nothing can
    /// be compared.
    pub fn has_baseline(&self) -> bool {
        self.board.is_full(0) && self.board.mean(0).is_some()
    }

    /// What the first failure of provider or metric said, if there was one.
    pub fn first_failure(&self) -> Option<&str> {
        self.board.first_failure()
    }

    /// Why the search has to end, if it has.
    pub fn stop(&self) -> Option<&StopReason> {
        self.stop.as_ref()
    }

    /// Ends the search before its time: nothing more is rolled out.
    pub fn halt(&mut self, reason: StopReason) {
        self.stop.get_or_insert(reason);
    }

    /// Sets or widens the space. Points that were tried keep their evidence, because options are
    /// only ever added at the end.
    ///
    /// # Errors
    ///
    /// [`Error::EmptySpace`] when a predictor has nothing to choose from.
    pub fn widen(&mut self, space: Space) -> Result<(), Error> {
        space.check()?;
        self.seen.resize(space.options().len(), BTreeSet::new());
        self.space = space;
        // The original is a point of the space like any other, and known already.
        let first = Choice(vec![(0, 0); self.space.predictors.len()]);
        if let Some(original) = self.board.find(&self.space.candidate(&first)) {
            self.note_point(first, original);
        }
        Ok(())
    }

    /// For every instruction of a predictor that was tried, the best mean of any point it was tried
    /// in, pulled towards the mean of all where it rests on few examples.
    pub fn instruction_scores(&self, predictor: usize) -> Vec<(String, f64)> {
        let Some(space) = self.space.predictors.get(predictor) else { return Vec::new() };
        let (mut scored, prior) = (Vec::new(), self.prior());
        for (index, instruction) in space.instructions.iter().enumerate() {
            let points = self
                .points
                .iter()
                .filter(|(point, _)| point.0.get(predictor).is_some_and(|at| at.0 == index));
            let best = points.map(|(_, candidate)| self.shrunk(*candidate, prior)).max_by(f64::total_cmp);
            scored.extend(best.map(|best| (instruction.clone(), best)));
        }
        scored
    }

    /// Runs up to `trials` trials, in groups of `parallel_trials`.
    ///
    /// # Errors
    ///
    /// [`Error::Rollouts`] when the rollout store fails. A budget or a cancellation that ends the
    /// search early is [`Search::stop`].
    pub async fn run(&mut self, trials: usize) -> Result<(), Error> {
        let mut left = trials;
        let finalists = self.room_for_finalists();
        self.finalists.get_or_insert(finalists);
        while left > 0 && self.stop.is_none() {
            let most = left.min(self.options.parallel_trials.max(1));
            let minibatch = self.minibatch();
            let affordable = (1..=most).rev().find(|group| self.can_afford(*group, minibatch.len()));
            let Some(group) = affordable else {
                self.stop = Some(StopReason::Budget);
                self.kept_back = true;
                break;
            };
            let chosen = self.choose(group, &minibatch);
            if chosen.is_empty() {
                break;
            }
            left = left.saturating_sub(chosen.len());
            self.stop = self.board.roll_out(&chosen).await?;
            for (candidate, examples) in &chosen {
                let kind = if self.options.minibatch { TrialKind::Minibatch } else { TrialKind::Full };
                self.note_trial(kind, *candidate, examples);
                self.trials_since_full += 1;
                if self.options.minibatch
                    && self.trials_since_full >= self.options.full_eval_steps.max(1)
                    && self.stop.is_none()
                {
                    self.trials_since_full = 0;
                    self.evaluate_leader().await?;
                }
            }
        }
        Ok(())
    }

    /// Ends the search: evaluates the leader in full, if it is not yet, and chooses the winner.
    ///
    /// # Errors
    ///
    /// [`Error::Rollouts`] when the rollout store fails.
    pub async fn finish(mut self) -> Result<Found, Error> {
        let short = if self.kept_back { self.stop.take() } else { None };
        if self.stop.is_none() && self.options.minibatch {
            match self.play_off().await? {
                Some(winner) => self.evaluate_in_full(winner).await?,
                None => self.evaluate_leader().await?,
            }
        }
        self.stop = self.stop.or(short);
        // Only those that were evaluated on the whole selection set have a score.
        let full = self.board.candidates().iter().filter(|candidate| candidate.score.is_some()).count();
        let (leader, _) = self.best_full();
        let level = self.options.level;
        let comparison = statistics::compare(&self.board.scores(0), &self.board.scores(leader), level);
        let best = if comparison.difference > 0.0 { leader } else { 0 };
        let judged = (best != 0).then(|| self.board.judge(best, level)).flatten();
        let mut choice = format!(
            "the highest mean over all {} examples of the selection set, among {} candidates that were evaluated on \
             all of them; a tie keeps the original",
            self.board.examples().len(),
            full
        );
        if let Some(judged) = &judged {
            choice = format!("{choice}; {}", judged.expectation());
        }
        Ok(Found {
            best,
            baseline: self.board.estimate(0, level),
            selected: self.board.estimate(best, level),
            comparison: judged.map(|judged| judged.comparison),
            choice,
            candidates: self.board.candidates().to_vec(),
            scores: (0..self.board.candidates().len()).map(|index| self.board.details(index)).collect(),
            trials: self.trials,
            stop: self.stop,
        })
    }

    fn minibatch(&mut self) -> Vec<usize> {
        let all = self.board.examples().len();
        if self.options.minibatch {
            self.sampler.next(self.options.minibatch_size.clamp(1, all))
        } else {
            (0..all).collect()
        }
    }

    /// Whether a group of trials leaves enough for the play-off and to evaluate its winner in full. A
    /// search that ends with nothing but minibatches has nothing to install.
    fn can_afford(&self, group: usize, minibatch: usize) -> bool {
        let Some(remaining) = self.board.runner().remaining_calls() else { return true };
        let later = if self.options.minibatch { self.rollouts_of_the_end(group, minibatch) } else { 0 };
        let cost = RolloutCost::of(self.board.runner());
        let kept = cost.kept_back(later).max(cost.most());
        remaining >= kept.saturating_add(cost.expected(group * minibatch))
    }

    /// The mean of all means, which is known before anything is known of a candidate.
    fn prior(&self) -> f64 {
        let means = self.points.values().filter_map(|candidate| self.board.mean(*candidate));
        let (sum, count) = means.fold((0.0, 0.0_f64), |(sum, count), mean| (sum + mean, count + 1.0));
        sum / count.max(1.0)
    }

    /// The mean of a candidate, pulled towards the mean of all where it rests on few examples.
    fn shrunk(&self, candidate: usize, prior: f64) -> f64 {
        let n = self.board.count(candidate) as f64;
        let sum = self.board.mean(candidate).unwrap_or(prior) * n;
        (sum + PRIOR_WEIGHT * prior) / (n + PRIOR_WEIGHT)
    }

    /// The most promising candidate that was tried but not on the whole selection set.
    fn leader(&self, except: &[usize], prior: f64) -> Option<usize> {
        let contenders = (1..self.board.candidates().len()).filter(|candidate| {
            self.board.count(*candidate) > 0
                && !self.board.is_full(*candidate)
                && !except.contains(candidate)
                && !self.dropped.contains(candidate)
        });
        let mut best: Option<(usize, f64)> = None;
        for candidate in contenders {
            let score = self.shrunk(candidate, prior);
            if best.is_none_or(|(_, leader)| score > leader) {
                best = Some((candidate, score));
            }
        }
        best.map(|(candidate, _)| candidate)
    }

    /// The best mean on the full selection set.
    fn best_full(&self) -> (usize, f64) {
        let best = self.board.best().unwrap_or(0);
        (best, self.board.mean(best).unwrap_or(f64::NEG_INFINITY))
    }

    /// Evaluates the leader in full, if there is one that can win.
    async fn evaluate_leader(&mut self) -> Result<(), Error> {
        match self.best_of_open(1).first() {
            Some(leader) => self.evaluate_in_full(*leader).await,
            None => Ok(()),
        }
    }

    /// The leaders, the best first, without those that cannot win by what is known already, which are not
    /// worth more rollouts.
    fn best_of_open(&mut self, most: usize) -> Vec<usize> {
        let (mut best, prior) = (Vec::new(), self.prior());
        while best.len() < most {
            let Some(leader) = self.leader(&best, prior) else { break };
            if self.options.racing && self.is_hopeless(leader) {
                self.dropped.insert(leader);
            } else {
                best.push(leader);
            }
        }
        best
    }

    /// Evaluates a candidate on the rest of the selection set, in portions, and drops it when it cannot win
    /// any more.
    async fn evaluate_in_full(&mut self, leader: usize) -> Result<(), Error> {
        while self.stop.is_none() && !self.board.is_full(leader) {
            if self.options.racing && self.is_hopeless(leader) {
                self.dropped.insert(leader);
                break;
            }
            let portion: Vec<usize> =
                self.board.open(leader).into_iter().take(self.options.minibatch_size.max(1)).collect();
            self.stop = self.board.roll_out(&[(leader, portion)]).await?;
        }
        // The trial is about all that is known of the leader, minibatches of before included.
        let everything: Vec<usize> = (0..self.board.examples().len()).collect();
        self.note_trial(TrialKind::Full, leader, &everything);
        Ok(())
    }

    /// Whether even the upper bound of what is known of a candidate stays below the best.
    fn is_hopeless(&self, candidate: usize) -> bool {
        let (best, mean) = self.best_full();
        let upper = self.board.estimate(candidate, RACING_LEVEL).high;
        let paired =
            statistics::compare(&self.board.scores(best), &self.board.scores(candidate), RACING_LEVEL);
        self.board.count(candidate) >= MIN_RACED && (upper < mean || paired.high < 0.0)
    }

    fn note_trial(&mut self, kind: TrialKind, candidate: usize, examples: &[usize]) {
        let known: Vec<_> =
            examples.iter().filter_map(|example| self.board.evidence(candidate, *example)).collect();
        let scores: Vec<f64> = known.iter().filter_map(|evidence| evidence.score).collect();
        let trial = Trial {
            kind,
            candidate,
            examples: known.len(),
            score: (!scores.is_empty()).then(|| statistics::mean(&scores)),
            failures: known.iter().filter(|evidence| evidence.failed).count(),
            calls_so_far: self.board.runner().spent_calls(),
            best_so_far: self.best_full().1.max(0.0),
        };
        tracing::debug!(?kind, candidate, score = trial.score, "trial");
        self.observer.observe(&Event::Trial(trial.clone()));
        self.trials.push(trial);
    }
}
