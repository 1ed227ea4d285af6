//! The evolution in progress: what is known of every candidate, and how a step is decided on.

mod compare;
mod conceive;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use promptopt_core::prompt::Prompts;
use promptopt_core::trace::Trace;
use promptopt_evaluator::{MinibatchSampler, PartialSelection};
use promptopt_run::proposal::Judge;
use promptopt_run::{CandidateScores, Error, Halt, RolloutJob, Run};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::gate::{Gate, GateOptions};
use crate::merge::{self, Merge};
use crate::{ComponentChoice, Frontier, FrontierType, GEPA};

/// A step that was decided on: a parent, and what is to become of it.
pub(crate) struct Draft {
    /// The parent; of a merge the better one.
    parent: usize,
    minibatch: Vec<usize>,
    kind: Kind,
}

enum Kind {
    Reflection {
        components: Vec<String>,
        anew: bool,
    },
    /// A child of the parent that was dropped, and another component that is to fit what it changed.
    Follow {
        child: usize,
        changed: String,
        component: String,
    },
    Merge {
        merge: Merge,
        prompts: Prompts,
    },
}

impl Draft {
    /// The candidate whose runs are shown, and whose prompts are changed.
    fn base(&self) -> usize {
        match self.kind {
            Kind::Follow { child, .. } => child,
            _ => self.parent,
        }
    }
}

/// A new candidate on its way to the frontier.
pub(crate) struct Child {
    candidate: usize,
    parent: usize,
    minibatch: Vec<usize>,
    /// The only component that has changed, where there is another one that may follow.
    changed: Option<String>,
}

pub(crate) struct Evolution<'a> {
    options: &'a GEPA,
    /// Paths of the predictors that may change.
    components: Vec<String>,
    gate: Gate,
    sampler: MinibatchSampler,
    rng: ChaCha8Rng,
    /// Runs on training examples, by candidate and example.
    traces: BTreeMap<(usize, usize), Arc<Trace>>,
    frontier: Frontier,
    /// How many objectives had been named when the frontier was made.
    objectives_named: usize,
    /// The selection examples that a child is run on before it enters the frontier: all, or a part under a small budget.
    rows: Vec<usize>,
    /// That part.
    part: Option<PartialSelection>,
    /// Whether the search ended because the rest of the budget is kept for its end.
    kept_back: bool,
    /// The candidates that have entered the frontier, with their means on those examples.
    means: BTreeMap<usize, f64>,
    /// Parents without a run from which there is something to learn.
    exhausted: BTreeSet<usize>,
    visits: BTreeMap<usize, usize>,
    /// Components for which an instruction was written from the records alone.
    begun_anew: BTreeSet<String>,
    /// Children that were dropped, which another component may still follow.
    dropped: Vec<Child>,
    merges_due: usize,
    merges_made: usize,
    merges_tried: HashSet<Merge>,
    iteration: usize,
    failed_proposals: usize,
    /// Why the last of them failed.
    last_failure: Option<String>,
    /// Requests for instructions so far, and what judges the replies, by predictor.
    requests: u64,
    judges: BTreeMap<String, Judge>,
}

impl<'a> Evolution<'a> {
    /// Begins with every candidate that is evaluated on the whole selection set: the original, and what a strategy
    /// before this one found.
    pub(crate) fn new(options: &'a GEPA, run: &Run<'_>) -> Result<Self, Error> {
        let train = run.train().len();
        let mut rng = ChaCha8Rng::seed_from_u64(run.options().seed);
        let mut evolution = Self {
            options,
            components: options.changeable(run.program())?,
            gate: Gate::default(),
            sampler: MinibatchSampler::new(train, ChaCha8Rng::seed_from_u64(rng.random())),
            rng,
            traces: BTreeMap::new(),
            frontier: Frontier::default(),
            objectives_named: 0,
            rows: Vec::new(),
            part: None,
            kept_back: false,
            means: BTreeMap::new(),
            exhausted: BTreeSet::new(),
            visits: BTreeMap::new(),
            begun_anew: BTreeSet::new(),
            dropped: Vec::new(),
            merges_due: 0,
            merges_made: 0,
            merges_tried: HashSet::new(),
            iteration: 0,
            failed_proposals: 0,
            last_failure: None,
            requests: 0,
            judges: BTreeMap::new(),
        };
        evolution.divide_selection(run);
        for candidate in 0..run.board().candidates().len() {
            evolution.settle(run, candidate);
        }
        let most_training = options.most_training(evolution.part.is_some()).min(train);
        // One chance for the score and one for each objective, all together within the level.
        evolution.gate = Gate::new(&GateOptions {
            level: options.gate_level / evolution.measures(run).len() as f64,
            minibatch_size: options.minibatch_size,
            max_training: most_training,
            selection: evolution.rows.len(),
            portions: options.selection_portions,
        });
        Ok(evolution)
    }

    /// Chooses the selection examples that children are run on before they enter the frontier, so that a small budget
    /// bears many children, and keeps room for a play-off on the others.
    fn divide_selection(&mut self, run: &Run<'_>) {
        self.rows = (0..run.board().examples().len()).collect();
        let left = self.affordable(run).filter(|_| run.runner().remaining_calls().is_some());
        self.part = left.and_then(|left| PartialSelection::of(run, left));
        if let Some(part) = self.part {
            self.rows.shuffle(&mut self.rng);
            self.rows.truncate(part.rows);
        }
    }

    /// Rollouts that are kept for the end of the search.
    fn rollouts_of_the_end(&self, run: &Run<'_>) -> u64 {
        self.part.map_or(0, |part| part.rollouts_of_the_end(run, self.means.len()) as u64)
    }

    /// Whether there is anything to learn at all. Where there is not, a note says so.
    pub(crate) fn has_something_to_learn(&self, run: &mut Run<'_>) -> bool {
        let (best, mean) = run.best();
        if run.train().is_empty() {
            run.note("there are no training examples to reflect on");
        } else if mean >= self.perfect_score(run) {
            let best = if best == 0 { "original" } else { "best candidate" };
            run.note(format!(
                "the {best} has a perfect score on the selection set, so there is nothing to gain"
            ));
        } else {
            return true;
        }
        false
    }

    /// In what candidates are compared: the score (`None`), and the objectives where the frontier looks at them.
    fn measures(&self, run: &Run<'_>) -> Vec<Option<String>> {
        let named = run.board().objective_names().iter().cloned().map(Some);
        let looks_at_them = self.options.frontier != FrontierType::Example;
        std::iter::once(None).chain(named.filter(|_| looks_at_them)).collect()
    }

    /// The score from which on there is nothing to learn: as given, else 1, unless the metric has given the original
    /// more than that.
    fn perfect_score(&self, run: &Run<'_>) -> f64 {
        let beyond = || run.board().scores(0).as_slice().iter().flatten().any(|score| *score > 1.0);
        self.options.perfect_score.unwrap_or_else(|| if beyond() { f64::INFINITY } else { 1.0 })
    }

    /// Ends the search because the rest of the budget is kept for its end.
    pub(crate) fn keep_back(&mut self) -> Halt {
        self.kept_back = true;
        Halt::budget()
    }

    /// Ends the search, of which `ended` is what it came to: where the frontier is over a part of the selection set, the
    /// leaders play off, and the best is evaluated on all of it.
    pub(crate) async fn finish(&mut self, run: &mut Run<'_>, ended: Result<(), Halt>) -> Result<(), Halt> {
        let goes_on = ended.as_ref().err().is_none_or(|halt| self.kept_back || halt.leaves_room());
        if let Some(part) = self.part.filter(|_| goes_on) {
            part.play_off(run).await?;
        }
        ended
    }

    /// The rollouts that the search may still make, at what they have cost so far; `None` without a limit on calls or
    /// rollouts.
    fn affordable(&self, run: &Run<'_>) -> Option<u64> {
        let totals = run.runner().totals();
        let cost = (totals.usage.calls as f64 / totals.made.max(1) as f64).max(1.0);
        let end = self.rollouts_of_the_end(run);
        let rollouts = |calls: u64| ((calls as f64 / cost) as u64).saturating_sub(run.kept_back() + end);
        let by_calls = run.runner().remaining_calls().map(rollouts);
        let by_number = run.ledger().remaining_rollouts().map(|left| left.saturating_sub(end));
        by_calls.into_iter().chain(by_number).min()
    }

    /// How many proposals there may be at once; `None` where the budget does not suffice for one.
    pub(crate) fn affordable_proposals(&self, run: &Run<'_>) -> Option<usize> {
        let (left, selection) = (self.affordable(run).unwrap_or(u64::MAX), self.rows.len());
        let affords = |count: &usize| left >= self.options.rollouts_of_a_step(*count, selection);
        (1..=self.options.parallel_proposals).rev().find(affords)
    }

    /// The mean of a candidate that has entered the frontier.
    fn mean(&self, candidate: usize) -> f64 {
        self.means.get(&candidate).copied().unwrap_or(0.0)
    }

    /// The members of the Pareto frontier with their shares.
    pub(crate) fn members(&self) -> BTreeMap<usize, usize> {
        self.frontier.members(|candidate| self.mean(candidate))
    }

    /// Decides on the next steps, all from the state as it is: merges that are due first, then reflections on parents
    /// drawn from the frontier. `None` when no parent is left, which a note says.
    pub(crate) fn draft(&mut self, run: &mut Run<'_>, count: usize) -> Result<Option<Vec<Draft>>, Error> {
        let mut members = self.members();
        let mut drafts = self.follow_ups(count);
        let all: Vec<usize> = members.keys().copied().collect();
        while drafts.len() < count && self.merges_due > 0 {
            self.merges_due -= 1;
            let means = &self.means;
            let mean = |candidate: usize| means.get(&candidate).copied().unwrap_or(0.0);
            let candidates = run.board().candidates();
            let found = merge::find(candidates, &all, mean, &self.merges_tried, &mut self.rng);
            let Some((merge, prompts)) = found else { break };
            let (first, second) = merge.parents;
            let parent = if mean(second) > mean(first) { second } else { first };
            self.merges_made += 1;
            self.merges_tried.insert(merge);
            let minibatch = self.sampler.next(self.options.minibatch_size);
            drafts.push(Draft { parent, minibatch, kind: Kind::Merge { merge, prompts } });
        }
        members.retain(|candidate, _| !self.exhausted.contains(candidate));
        let mut means = self.means.clone();
        means.retain(|candidate, _| !self.exhausted.contains(candidate));
        while drafts.len() < count {
            let (selector, k, epsilon) =
                (self.options.candidate_selector, self.options.k(), self.options.epsilon());
            let Some(parent) = selector.select(&members, &means, k, epsilon, &mut self.rng) else { break };
            let components = self.choose_components(parent)?;
            let minibatch = self.sampler.next(self.options.minibatch_size);
            // The first instruction of each component is written from the records alone.
            let anew = !components.iter().any(|path| self.begun_anew.contains(path));
            self.begun_anew.extend(components.iter().cloned());
            drafts.push(Draft { parent, minibatch, kind: Kind::Reflection { components, anew } });
        }
        if drafts.is_empty() {
            run.note("no parent has a training example left from which there is something to learn");
            return Ok(None);
        }
        Ok(Some(drafts))
    }

    /// Drafts in which another component follows a change that was no gain by itself.
    fn follow_ups(&mut self, most: usize) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for child in std::mem::take(&mut self.dropped) {
            let place = self.components.iter().position(|path| child.changed.as_ref() == Some(path));
            let next =
                place.and_then(|at| self.components.get(at + 1).or(self.components.get(at.wrapping_sub(1))));
            match (child.changed, next) {
                (Some(changed), Some(next)) if drafts.len() < most => {
                    let kind = Kind::Follow { child: child.candidate, changed, component: next.clone() };
                    drafts.push(Draft { parent: child.parent, minibatch: child.minibatch, kind });
                }
                _ => self.forget_training_runs(child.candidate),
            }
        }
        drafts
    }

    /// Drops a child. What its runs tell is kept where another component may follow its change.
    fn drop_child(&mut self, child: Child) {
        if child.changed.is_some() {
            self.dropped.push(child);
        } else {
            self.forget_training_runs(child.candidate);
        }
    }

    fn choose_components(&mut self, parent: usize) -> Result<Vec<String>, Error> {
        let visit = self.visits.entry(parent).or_default();
        let components = self.components.clone();
        let choice = ComponentChoice { parent, components, visit: *visit, iteration: self.iteration + 1 };
        *visit += 1;
        let chosen = self.options.component_selector.select(&choice);
        chosen.map_err(|reason| Error::option("component_selector", reason))
    }

    fn training_runs(&self, candidate: usize) -> impl Iterator<Item = (usize, &Arc<Trace>)> {
        self.traces
            .range((candidate, 0)..=(candidate, usize::MAX))
            .map(|((_, example), trace)| (*example, trace))
    }

    /// Forgets the runs of a candidate that was rejected: it becomes no parent, and is not tried again.
    fn forget_training_runs(&mut self, candidate: usize) {
        let examples: Vec<usize> = self.training_runs(candidate).map(|(example, _)| example).collect();
        for example in examples {
            self.traces.remove(&(candidate, example));
        }
    }

    /// Runs candidates on training examples (by index). What was made before the run ended is kept.
    async fn run_training(
        &mut self,
        run: &mut Run<'_>,
        wanted: Vec<(usize, Vec<usize>)>,
    ) -> Result<(), Halt> {
        let mut places = Vec::new();
        let mut jobs = Vec::new();
        for (candidate, examples) in wanted {
            let Some(known) = run.board().candidates().get(candidate) else { continue };
            let prompts = Arc::new(known.prompts.clone());
            for example in examples {
                let Some(row) = run.train().get(example) else { continue };
                if !self.traces.contains_key(&(candidate, example)) {
                    places.push((candidate, example));
                    jobs.push(RolloutJob::new(Arc::clone(&prompts), Arc::clone(row)));
                }
            }
        }
        let mut traces = Vec::with_capacity(jobs.len());
        let ended = run.rollouts_into(&jobs, &mut traces).await;
        self.traces.extend(places.into_iter().zip(traces).filter_map(|(place, trace)| Some((place, trace?))));
        ended
    }

    /// Enters a candidate in the frontier if it is evaluated on all examples that this takes, and says whether it is.
    fn settle(&mut self, run: &Run<'_>, candidate: usize) -> bool {
        let board = run.board();
        let known: Option<Vec<_>> = self.rows.iter().map(|row| board.evidence(candidate, *row)).collect();
        let Some(known) = known else { return false };
        let scores: Vec<f64> = known.iter().filter_map(|evidence| evidence.score).collect();
        // One that failures of provider or metric left without most of its scores cannot be compared.
        let scored = |row: &&usize| board.evidence(0, **row).is_some_and(|evidence| evidence.score.is_some());
        if scores.is_empty() || scores.len() * 2 < self.rows.iter().filter(scored).count() {
            return false;
        }
        self.means.insert(candidate, scores.iter().sum::<f64>() / scores.len() as f64);
        let named = board.objective_names().len();
        if self.means.len() > 1 && named == self.objectives_named {
            self.frontier.enter(candidate, &self.details(run, candidate));
        } else {
            let details: Vec<_> =
                self.means.keys().map(|known| (*known, self.details(run, *known))).collect();
            let known = details.iter().map(|(candidate, scores)| (*candidate, scores));
            self.frontier = Frontier::of(self.options.frontier, known);
            self.objectives_named = named;
        }
        true
    }

    /// What is known of a candidate on the examples that the frontier is over.
    fn details(&self, run: &Run<'_>, candidate: usize) -> CandidateScores {
        let mut details = run.board().details(candidate);
        if self.part.is_none() {
            return details;
        }
        let rows: BTreeSet<usize> = self.rows.iter().copied().collect();
        for scores in std::iter::once(&mut details.examples).chain(details.objectives.values_mut()) {
            let others = scores.iter_mut().enumerate().filter(|(row, _)| !rows.contains(row));
            others.for_each(|(_, score)| *score = None);
        }
        details
    }

    /// The candidate with the highest mean of those that have entered the frontier; of equals the first.
    fn leader(&self) -> usize {
        let means = self.means.iter().rev();
        means.max_by(|one, other| one.1.total_cmp(other.1)).map_or(0, |(candidate, _)| *candidate)
    }

    /// Makes a merge due, where there are to be more.
    fn note_new_member(&mut self) {
        let merges = self.options.use_merge && self.components.len() > 1;
        if merges && self.merges_made + self.merges_due < self.options.max_merge_invocations {
            self.merges_due += 1;
        }
    }
}
