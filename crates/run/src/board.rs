//! The board: what is known of every candidate on every example.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example};
use promptopt_core::prompt::{PromptCandidate, Prompts};
use promptopt_core::trace::Trace;
use promptopt_statistics::{Estimate, Gain, Scores, Winner, estimate, expected_gains, judge_winner};

use crate::evaluate::counts_as_zero;
use crate::evidence::{Evidence, Row};
use crate::{CandidateScores, RolloutJob};

/// So many candidates are weighed against each other at the end of a run. It takes about a second.
const MOST_WEIGHED: usize = 4_000;

/// What a row of evidence comes to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    /// Examples that were tried.
    tried: usize,
    /// Examples with a score.
    scored: usize,
    /// The mean of the scores.
    mean: Option<f64>,
}

impl Sum {
    fn of(row: &Row) -> Self {
        let (mut tried, mut scored, mut sum) = (0, 0, 0.0);
        for (_, evidence) in row.iter() {
            tried += 1;
            if let Some(score) = evidence.score {
                scored += 1;
                sum += score;
            }
        }
        Self { tried, scored, mean: (scored > 0).then(|| sum / scored as f64) }
    }
}

/// Keeps what is known of every (candidate, example) pair of a selection set. A [`Run`](crate::Run) fills it and
/// buys each pair once.
#[derive(Default)]
pub struct Board {
    examples: Vec<Arc<Example>>,
    candidates: Vec<PromptCandidate>,
    rows: Vec<Row>,
    /// What follows from each row, which is asked for far more often than rows change.
    sums: Vec<Sum>,
    /// What is known of each candidate in each objective.
    objectives: Vec<BTreeMap<String, Row>>,
    /// Calls and rollouts when each candidate was entered.
    discovered: Vec<(u64, u64)>,
    by_content: HashMap<ContentHash, usize>,
    /// The formats in which predictors ask, by their paths, where these are not their own.
    formats: BTreeMap<String, String>,
    /// The candidate with the highest score; of equals the first.
    best: Option<usize>,
    /// The names of all objectives that any score has come with.
    objective_names: BTreeSet<String>,
    failure: Option<String>,
}

impl Board {
    /// An empty board over a selection set.
    pub fn new(examples: Vec<Arc<Example>>) -> Self {
        Self { examples, ..Self::default() }
    }

    /// The selection set.
    pub fn examples(&self) -> &[Arc<Example>] {
        &self.examples
    }

    /// The candidates, in the order in which they came.
    pub fn candidates(&self) -> &[PromptCandidate] {
        &self.candidates
    }

    /// Enters a candidate, with the calls and rollouts made by then. One with the same prompts is the same
    /// candidate.
    pub(crate) fn enter(&mut self, mut candidate: PromptCandidate, discovered: (u64, u64)) -> usize {
        candidate.prompts = candidate.prompts.in_formats(&self.formats);
        let next = self.candidates.len();
        let index = *self.by_content.entry(candidate.content_hash()).or_insert(next);
        if index == next {
            self.candidates.push(candidate);
            self.rows.push(Row::default());
            self.sums.push(Sum::default());
            self.objectives.push(BTreeMap::new());
            self.discovered.push(discovered);
        }
        index
    }

    /// The candidate with these prompts, if it was entered.
    pub fn find(&self, candidate: &PromptCandidate) -> Option<usize> {
        let prompts = candidate.prompts.clone().in_formats(&self.formats);
        self.by_content.get(&prompts.content_hash()).copied()
    }

    /// Lets all candidates ask in these formats from now on. What is known of them stays.
    pub(crate) fn ask_in(&mut self, formats: BTreeMap<String, String>) {
        self.formats.extend(formats);
        self.by_content.clear();
        for (index, candidate) in self.candidates.iter_mut().enumerate() {
            candidate.prompts = std::mem::take(&mut candidate.prompts).in_formats(&self.formats);
            self.by_content.insert(candidate.content_hash(), index);
        }
    }

    /// The pairs of these that are not known yet, each once.
    pub(crate) fn unknown(&self, wanted: &[(usize, Vec<usize>)]) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        let mut seen: HashMap<usize, Vec<bool>> = HashMap::new();
        for (candidate, examples) in wanted.iter().filter(|(candidate, _)| *candidate < self.candidates.len())
        {
            let seen = seen.entry(*candidate).or_insert_with(|| vec![false; self.examples.len()]);
            for example in examples {
                let Some(seen) = seen.get_mut(*example) else { continue };
                if !std::mem::replace(seen, true) && self.evidence(*candidate, *example).is_none() {
                    pairs.push((*candidate, *example));
                }
            }
        }
        pairs
    }

    /// The jobs that make some pairs.
    pub(crate) fn jobs(&self, pairs: &[(usize, usize)]) -> Vec<RolloutJob> {
        let mut prompts: HashMap<usize, Arc<Prompts>> = HashMap::new();
        let job = |(candidate, example): &(usize, usize)| {
            let known = self.candidates.get(*candidate)?;
            let prompts = prompts.entry(*candidate).or_insert_with(|| Arc::new(known.prompts.clone()));
            Some(RolloutJob::new(Arc::clone(prompts), Arc::clone(self.examples.get(*example)?)))
        };
        pairs.iter().filter_map(job).collect()
    }

    /// Notes what came of some pairs.
    pub(crate) fn record(&mut self, pairs: &[(usize, usize)], traces: &[Option<Arc<Trace>>]) {
        let all = self.examples.len();
        for ((candidate, example), trace) in pairs.iter().copied().zip(traces) {
            let (Some(row), Some(trace)) = (self.rows.get_mut(candidate), trace) else { continue };
            if let (None, Some(failure)) = (trace.evidence(), &trace.error) {
                self.failure.get_or_insert_with(|| failure.message.clone());
            }
            if let (Some(named), Some(score)) = (self.objectives.get_mut(candidate), &trace.score) {
                for (name, value) in &score.objectives {
                    if !self.objective_names.contains(name) {
                        self.objective_names.insert(name.clone());
                    }
                    let row = match named.get_mut(name) {
                        Some(row) => row,
                        None => named.entry(name.clone()).or_default(),
                    };
                    row.set(example, Evidence::scored(*value), all);
                }
            }
            let evidence = match trace.evidence() {
                Some(score) if trace.error.is_none() => Evidence::scored(score),
                _ => Evidence::failed(counts_as_zero(trace)),
            };
            row.set(example, evidence, all);
        }
    }

    /// Adds up what is known of some candidates.
    pub(crate) fn add_up(&mut self, candidates: impl Iterator<Item = usize> + Clone) {
        for candidate in candidates.clone() {
            if let (Some(sum), Some(row)) = (self.sums.get_mut(candidate), self.rows.get(candidate)) {
                *sum = Sum::of(row);
            }
        }
        for candidate in candidates {
            self.update_score(candidate);
        }
    }

    fn update_score(&mut self, candidate: usize) {
        // One that failures of provider or metric left without most of its scores cannot be compared.
        let comparable = self.is_full(candidate) && self.count(candidate) * 2 >= self.count(0);
        let score = comparable.then(|| self.mean(candidate)).flatten();
        if let Some(known) = self.candidates.get_mut(candidate) {
            known.score = score;
        }
        let rank = |score: Option<f64>, candidate: usize| {
            score.filter(|score| !score.is_nan()).map(|score| (score, Reverse(candidate)))
        };
        let leader = self.best.and_then(|best| rank(self.candidates.get(best)?.score, best));
        if rank(score, candidate) > leader {
            self.best = Some(candidate);
        }
    }

    /// The candidate with the highest score, as [`PromptCandidate::best`] has it; `None` when none was
    /// tried on the whole selection set.
    pub fn best(&self) -> Option<usize> {
        self.best
    }

    /// What the first failure of provider or metric said, if there was one.
    pub fn first_failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// What is known of a pair.
    pub fn evidence(&self, candidate: usize, example: usize) -> Option<Evidence> {
        self.rows.get(candidate)?.get(example)
    }

    /// The examples that a candidate has a score on, in ascending order, with the score.
    pub(crate) fn known(&self, candidate: usize) -> impl Iterator<Item = (usize, f64)> {
        let row = self.rows.get(candidate).into_iter().flat_map(Row::iter);
        row.filter_map(|(example, evidence)| Some((example, evidence.score?)))
    }

    /// The scores of a candidate, example by example.
    pub fn scores(&self, candidate: usize) -> Scores {
        Scores::lossy(self.spread(candidate, |evidence| evidence.score))
    }

    /// The names of all objectives that any score has come with.
    pub fn objective_names(&self) -> &BTreeSet<String> {
        &self.objective_names
    }

    /// The scores of a candidate in an objective, example by example. A failure that counts as 0
    /// counts as 0 in every objective.
    pub fn objective_scores(&self, candidate: usize, objective: &str) -> Vec<Option<f64>> {
        let mut scores = self.spread(candidate, |evidence| evidence.zero.then_some(0.0));
        let named = self.objectives.get(candidate).and_then(|named| named.get(objective));
        for (example, evidence) in named.iter().flat_map(|row| row.iter()) {
            if let Some(place) = scores.get_mut(example) {
                *place = evidence.score;
            }
        }
        scores
    }

    /// A place for each example of the selection set.
    fn spread(&self, candidate: usize, value: impl Fn(Evidence) -> Option<f64>) -> Vec<Option<f64>> {
        let all = self.examples.len();
        self.rows.get(candidate).map_or_else(Vec::new, |row| row.spread(all, value))
    }

    /// Calls and rollouts when a candidate was entered.
    pub(crate) fn discovery(&self, candidate: usize) -> (u64, u64) {
        self.discovered.get(candidate).copied().unwrap_or_default()
    }

    /// All that is known of a candidate.
    pub fn details(&self, candidate: usize) -> CandidateScores {
        let (calls_at_discovery, rollouts_at_discovery) = self.discovery(candidate);
        CandidateScores {
            examples: self.scores(candidate).as_slice().to_vec(),
            objectives: self
                .objective_names
                .iter()
                .map(|name| (name.clone(), self.objective_scores(candidate, name)))
                .collect(),
            calls_at_discovery,
            rollouts_at_discovery,
        }
    }

    /// The examples (by index) that a candidate has not been tried on.
    pub fn open(&self, candidate: usize) -> Vec<usize> {
        let known = self.spread(candidate, |_| Some(0.0));
        known.iter().enumerate().filter(|(_, known)| known.is_none()).map(|(index, _)| index).collect()
    }

    /// Whether a candidate was tried on the whole selection set.
    pub fn is_full(&self, candidate: usize) -> bool {
        self.sums.get(candidate).is_some_and(|sum| sum.tried == self.examples.len())
    }

    /// How many examples a candidate has a score on.
    pub fn count(&self, candidate: usize) -> usize {
        self.sums.get(candidate).map_or(0, |sum| sum.scored)
    }

    /// The mean score of a candidate over what is known; `None` when nothing is.
    pub fn mean(&self, candidate: usize) -> Option<f64> {
        self.sums.get(candidate)?.mean
    }

    /// What can be said of a candidate that was chosen as the best: against the first one, the original,
    /// with allowance for all that were tried. `None` when nothing is known of it. For the end of a run: it
    /// draws some thousand times.
    pub fn judge(&self, winner: usize, level: f64) -> Option<Winner> {
        let tried = self.tried();
        let place = tried.iter().position(|candidate| *candidate == winner)?;
        let scores = tried.iter().map(|candidate| self.scores(*candidate));
        let mut judged = judge_winner(&self.scores(0), scores, place, level).ok()?;
        judged.candidate = winner;
        Some(judged)
    }

    /// What each candidate but the first one, the original, is to be expected to gain over that on other examples, with
    /// its index. Those that nothing is known of are left out. Of very many, those that most is known of are looked at,
    /// the best first.
    pub fn expected_gains(&self) -> Vec<(usize, Gain)> {
        let mut tried = self.tried();
        if tried.len() > MOST_WEIGHED {
            let mean = |candidate: &usize| self.mean(*candidate).unwrap_or_default();
            tried.sort_by(|one, other| {
                let by_count = self.count(*other).cmp(&self.count(*one));
                by_count.then(mean(other).total_cmp(&mean(one)))
            });
            tried.truncate(MOST_WEIGHED);
            tried.sort_unstable();
        }
        let scores = tried.iter().map(|candidate| self.scores(*candidate));
        let gains = expected_gains(&self.scores(0), scores).unwrap_or_default();
        tried.iter().copied().zip(gains).collect()
    }

    /// The candidates besides the original that something is known of.
    pub(crate) fn tried(&self) -> Vec<usize> {
        (1..self.candidates.len()).filter(|candidate| self.count(*candidate) > 0).collect()
    }

    /// The mean score of a candidate with its interval.
    pub fn estimate(&self, candidate: usize, level: f64) -> Estimate {
        let mut estimate = estimate(&self.scores(candidate), level);
        let known = self.rows.get(candidate).into_iter().flat_map(Row::iter);
        estimate.failed = known.filter(|(_, evidence)| evidence.zero).count();
        estimate
    }
}
