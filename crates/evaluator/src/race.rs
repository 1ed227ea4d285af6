//! Racing: candidates on the same examples, chunk by chunk, those that fall behind dropped on the
//! way (Maron and Moore 1994; with paired tests as in Birattari et al. 2002).

use promptopt_run::{Halt, RolloutCost, Run, StopReason, TrialKind};
use promptopt_statistics::{Scores, p_values};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How to race.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RaceOptions {
    /// The highest probability with which, in the whole race, the test may drop the contender that
    /// is truly best, in (0, 1). Default: 0.05.
    pub level: f64,
    /// Examples before the first look. Default: 20.
    pub first_chunk: usize,
    /// Every chunk has this many times the examples of the one before, at least 1. Default: 1.5.
    pub growth: f64,
    /// About how many rollouts the race may take. Where that is too few for all contenders, those
    /// behind are dropped without a test, so that at least one finishes; the budget of the runner is
    /// a hard limit besides. Default: no limit.
    pub max_rollouts: Option<u64>,
    /// Race over so many examples of the selection set, the first in the race's order. Default: all.
    pub examples: Option<usize>,
    /// Seed of the order of the examples, which is the same for all contenders. Default: 0.
    pub seed: u64,
}

impl Default for RaceOptions {
    fn default() -> Self {
        Self { level: 0.05, first_chunk: 20, growth: 1.5, max_rollouts: None, examples: None, seed: 0 }
    }
}

impl RaceOptions {
    /// With so many examples before the first look.
    #[must_use]
    pub fn with_first_chunk(mut self, first_chunk: usize) -> Self {
        self.first_chunk = first_chunk;
        self
    }

    /// With chunks that grow by a factor.
    #[must_use]
    pub fn with_growth(mut self, growth: f64) -> Self {
        self.growth = growth;
        self
    }

    /// With a bound on rollouts.
    #[must_use]
    pub fn with_max_rollouts(mut self, max_rollouts: Option<u64>) -> Self {
        self.max_rollouts = max_rollouts;
        self
    }

    /// Over a part of the selection set.
    #[must_use]
    pub fn with_examples(mut self, examples: Option<usize>) -> Self {
        self.examples = examples;
        self
    }

    /// With a seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// After how many examples of a selection set of this size the race looks, the whole set last.
    /// A last chunk that would be less than half as long as the one before is part of it.
    pub fn looks(&self, examples: usize) -> Vec<usize> {
        let mut looks = Vec::new();
        let mut chunk = self.first_chunk.max(1);
        let mut end = chunk;
        while end < examples && (examples - end) * 2 >= chunk {
            looks.push(end);
            chunk = ((chunk as f64 * self.growth.max(1.0)) as usize).max(chunk);
            end = end.saturating_add(chunk);
        }
        looks.push(examples);
        looks
    }
}

/// How a contender's race ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RaceEnd {
    /// It was evaluated on all examples of the race.
    Finished,
    /// The test says that it is worse than the leader.
    Worse,
    /// It was behind, and what the race may take was too little to go on with it.
    Unaffordable,
    /// The whole race ended.
    Stopped,
}

/// One contender after a race.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contender {
    /// Index on the board.
    pub candidate: usize,
    /// How its race ended.
    pub end: RaceEnd,
    /// Examples of the selection set that it has been tried on.
    pub examples: usize,
    /// Language-model calls spent on the ledger when its race ended.
    pub calls_so_far: u64,
}

/// Races contenders (indices on the board) over the selection set.
///
/// All get the same examples in the same order. After every chunk but the last, a contender whose
/// scores are significantly lower than those of the current leader on the same examples is dropped
/// ([`p_values`], one-sided). Pairs that the board knows are not bought again, so a
/// candidate that was evaluated before may take part and costs nothing.
///
/// # What the level means
///
/// The truly best contender is dropped only if, at one of `k` looks, one of the `m - 1` others is
/// significantly better than it. Of any one that is not better, at any one look, the test says so
/// with a probability of at most its own level. With `level / (k (m - 1))` for each test, the
/// probability that it happens anywhere is at most `level` (Bonferroni), whichever of the others
/// happens to lead. Contenders that share the best mean count as one that may be lost. What the
/// budget drops ([`RaceEnd::Unaffordable`]) is not covered: that is a choice of where to spend, made by
/// the mean as in sequential halving (Karnin et al. 2013).
///
/// The permutation test for scores other than 0 and 1 cannot give a p-value below 1/2001, so with
/// more than about 30 contenders it drops none at the default level.
///
/// Gives the contenders in the order in which their races ended. Each that was not evaluated in full before is noted
/// as a trial.
///
/// # Errors
///
/// [`Halt`] when the run ends before the race does. Where it was the budget, the best contender that can still finish
/// does so first.
pub async fn race(
    run: &mut Run<'_>,
    contenders: &[usize],
    options: &RaceOptions,
) -> Result<Vec<Contender>, Halt> {
    let mut ended = Vec::new();
    race_into(run, contenders, options, &mut ended).await?;
    Ok(ended)
}

/// [`race`] into a list of the caller's, which holds the contenders so far when the run ends.
///
/// # Errors
///
/// As [`race`].
pub async fn race_into(
    run: &mut Run<'_>,
    contenders: &[usize],
    options: &RaceOptions,
    ended: &mut Vec<Contender>,
) -> Result<(), Halt> {
    let mut order: Vec<usize> = (0..run.board().examples().len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(options.seed));
    order.truncate(options.examples.unwrap_or(usize::MAX));
    let looks = options.looks(order.len());
    let mut racing: Vec<usize> = Vec::new();
    for contender in contenders {
        if !racing.contains(contender) {
            racing.push(*contender);
        }
    }
    let tests = looks.len().saturating_sub(1) * racing.len().saturating_sub(1);
    let made = run.runner().totals().made;
    let is_known =
        |contender: &usize| order.iter().all(|row| run.board().evidence(*contender, *row).is_some());
    let known = racing.iter().copied().filter(is_known).collect();
    let level = options.level / tests.max(1) as f64;
    let mut race = Race { run, options, order, level, made, known, racing, ended };
    let mut begin = 0;
    for (look, end) in looks.iter().copied().enumerate() {
        if let Err(halt) = race.run.check() {
            return race.halted(halt).await;
        }
        race.drop_unaffordable(begin, end, looks.len() - look);
        if let Err(halt) = race.advance(begin, end).await {
            return race.halted(halt).await;
        }
        if end < race.order.len() {
            race.drop_worse(end);
        }
        begin = end;
    }
    race.end(RaceEnd::Finished, |_| true);
    Ok(())
}

struct Race<'a, 'p> {
    run: &'a mut Run<'p>,
    options: &'a RaceOptions,
    /// The examples in the order of the race.
    order: Vec<usize>,
    /// The level of a single test.
    level: f64,
    /// Rollouts made before the race.
    made: u64,
    /// Those that were evaluated on all of its examples before the race.
    known: Vec<usize>,
    racing: Vec<usize>,
    ended: &'a mut Vec<Contender>,
}

impl Race<'_, '_> {
    /// Those still racing, by their mean on the first `seen` examples, the best first.
    fn ranked(&self, seen: usize) -> Vec<usize> {
        let mut ranked: Vec<(usize, f64)> =
            self.racing.iter().map(|contender| (*contender, self.mean(*contender, seen))).collect();
        // The sort is stable, so of equals the first stays first.
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        ranked.into_iter().map(|(contender, _)| contender).collect()
    }

    fn mean(&self, contender: usize, seen: usize) -> f64 {
        self.scores(contender, seen).mean().unwrap_or(0.0)
    }

    fn scores(&self, contender: usize, seen: usize) -> Scores {
        let first = self.order.iter().take(seen);
        let board = self.run.board();
        Scores::lossy(first.map(|example| board.evidence(contender, *example).and_then(|known| known.score)))
    }

    /// Examples of a part of the order that a contender was not tried on.
    fn open(&self, contender: usize, begin: usize, end: usize) -> Vec<usize> {
        let part = self.order.iter().take(end).skip(begin);
        part.copied().filter(|example| self.run.board().evidence(contender, *example).is_none()).collect()
    }

    /// The most that any contender in the race still needs behind an example.
    fn rest(&self, end: usize) -> u64 {
        let open = self.racing.iter().map(|contender| self.open(*contender, end, self.order.len()).len());
        open.max().unwrap_or_default() as u64
    }

    /// Drops those behind for whom the next chunk has no room. One that has something to run always
    /// stays.
    fn drop_unaffordable(&mut self, begin: usize, end: usize, chunks: usize) {
        let Some(most) = self.room(begin, end, chunks) else { return };
        let mut wanted = 0;
        let mut full = false;
        let mut out = Vec::new();
        for contender in self.ranked(begin) {
            let cost = self.open(contender, begin, end).len() as u64;
            full |= wanted > 0 && wanted + cost > most;
            if cost > 0 && full {
                out.push(contender);
            } else {
                wanted += cost;
            }
        }
        self.end(RaceEnd::Unaffordable, |contender| out.contains(&contender));
    }

    /// How many rollouts the next chunk may take, so that one contender can finish. At the first
    /// chunk nothing is known yet, so as many as possible go in; what is left then is spread evenly
    /// over the chunks to come.
    fn room(&self, begin: usize, end: usize, chunks: usize) -> Option<u64> {
        let runner = self.run.runner();
        let (rest, totals) = (self.rest(end), runner.totals());
        let planned = self.options.max_rollouts.map(|most| {
            let left = most.saturating_sub(totals.made - self.made);
            if begin == 0 { left.saturating_sub(rest) } else { left / chunks.max(1) as u64 }
        });
        let affordable = RolloutCost::spare(runner, rest as usize);
        planned.into_iter().chain(affordable).min()
    }

    /// Runs the next chunk, the leaders first, as long as enough is kept back for one contender to
    /// finish.
    async fn advance(&mut self, begin: usize, end: usize) -> Result<(), Halt> {
        let kept_back = self.rest(end);
        loop {
            let spare = RolloutCost::spare(self.run.runner(), kept_back as usize);
            let mut allowed = spare.filter(|_| kept_back > 0).map_or(usize::MAX, |spare| spare as usize);
            let mut wanted = Vec::new();
            let mut complete = true;
            for contender in self.ranked(begin) {
                let mut open = self.open(contender, begin, end);
                complete &= open.len() <= allowed;
                open.truncate(allowed);
                allowed -= open.len();
                if !open.is_empty() {
                    wanted.push((contender, open));
                }
            }
            if wanted.is_empty() {
                return if complete { Ok(()) } else { Err(Halt::budget()) };
            }
            self.run.score(&wanted).await?;
            if complete {
                return Ok(());
            }
        }
    }

    fn drop_worse(&mut self, seen: usize) {
        let Some(leader) = self.ranked(seen).first().copied() else { return };
        let best = self.scores(leader, seen);
        let highest = self.mean(leader, seen);
        let is_worse = |contender: usize| {
            if self.mean(contender, seen) >= highest {
                return false;
            }
            p_values(&best, &self.scores(contender, seen)).is_ok_and(|found| found.worse <= self.level)
        };
        let out: Vec<usize> = self.racing.iter().copied().filter(|contender| is_worse(*contender)).collect();
        self.end(RaceEnd::Worse, |contender| out.contains(&contender));
    }

    /// Ends the race of some.
    fn end(&mut self, end: RaceEnd, whose: impl Fn(usize) -> bool) {
        let (out, racing) = self.racing.iter().copied().partition(|contender| whose(*contender));
        self.racing = racing;
        let everything: Vec<usize> = (0..self.run.board().examples().len()).collect();
        for candidate in Vec::into_iter(out) {
            let examples = everything.len() - self.run.board().open(candidate).len();
            let calls_so_far = self.run.ledger().spent();
            if examples > 0 && !self.known.contains(&candidate) {
                let kind =
                    if self.run.board().is_full(candidate) { TrialKind::FULL } else { TrialKind::RACE };
                self.run.note_trial(kind, candidate, &everything);
            }
            self.ended.push(Contender { candidate, end, examples, calls_so_far });
        }
    }

    /// A race that ended before its time. Where it was the budget, the best that can still finish
    /// does.
    async fn halted(mut self, halt: Halt) -> Result<(), Halt> {
        if halt.stop() == Some(&StopReason::Budget) {
            let all = self.order.len();
            let unfinished = |contender: &usize| {
                let open = self.open(*contender, 0, all).len();
                open > 0 && RolloutCost::is_enough(self.run.runner(), open)
            };
            if let Some(last) = self.ranked(all).into_iter().find(unfinished) {
                let open = self.open(last, 0, all);
                let ended = self.run.score(&[(last, open)]).await;
                if let Err(failed @ Halt::Failed(_)) = ended {
                    return Err(failed);
                }
            }
        }
        let all = self.order.len();
        let is_finished = |contender: &usize| self.open(*contender, 0, all).is_empty();
        let finished: Vec<usize> = self.racing.iter().copied().filter(is_finished).collect();
        self.end(RaceEnd::Finished, |contender| finished.contains(&contender));
        self.end(RaceEnd::Stopped, |_| true);
        Err(halt)
    }
}
