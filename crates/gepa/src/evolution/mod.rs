//! The evolution in progress: what is known of whom, and the parts of a step.

mod compare;
mod conceive;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use promptopt_core::{
    Error, Event, ModuleExt as _, Prompts, RolloutJob, RolloutRunner, StopReason, Trace, Trial, TrialKind,
    Usage,
};
use promptopt_evaluator::{MinibatchSampler, Scoreboard};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::gate::{Gate, GateOptions};
use crate::merge::{self, Merge};
use crate::options::Plan;
use crate::{ComponentChoice, Frontier, FrontierType};

/// Confidence level of intervals.
const LEVEL: f64 = 0.95;

/// A step that was decided on: a parent, and what is to become of it.
pub(crate) struct Draft {
    /// The parent; of a merge the better one.
    parent: usize,
    minibatch: Vec<usize>,
    kind: Kind,
}

enum Kind {
    Reflection { components: Vec<String> },
    Merge { merge: Merge, prompts: Prompts },
}

/// A new candidate on its way to the frontier.
pub(crate) struct Child {
    candidate: usize,
    parent: usize,
    minibatch: Vec<usize>,
}

pub(crate) struct Evolution<'r, 'p, 'a> {
    plan: &'r Plan<'a>,
    runner: &'r RolloutRunner<'p>,
    pub(crate) board: Scoreboard<'r, 'p>,
    gate: Gate,
    sampler: MinibatchSampler,
    rng: ChaCha8Rng,
    /// Runs on training examples, by candidate and example.
    traces: BTreeMap<(usize, usize), Arc<Trace>>,
    frontier: Frontier,
    /// How many objectives had been named when the frontier was made.
    objectives_named: usize,
    /// Candidates that are evaluated on the whole selection set, with their means.
    means: BTreeMap<usize, f64>,
    /// Parents without a run from which there is something to learn.
    exhausted: BTreeSet<usize>,
    visits: BTreeMap<usize, usize>,
    merges_due: usize,
    merges_made: usize,
    merges_tried: HashSet<Merge>,
    iteration: usize,
    steps_without_gain: usize,
    failed_proposals: usize,
    /// Why the last of them failed.
    last_failure: Option<String>,
    /// Requests for instructions so far.
    requests: u64,
    pub(crate) trials: Vec<Trial>,
    pub(crate) prompt_usage: Usage,
    pub(crate) notes: Vec<String>,
    pub(crate) stop: Option<StopReason>,
}

impl<'r, 'p, 'a> Evolution<'r, 'p, 'a> {
    /// Evaluates the original on the whole selection set.
    pub(crate) async fn begin(plan: &'r Plan<'a>, runner: &'r RolloutRunner<'p>) -> Result<Self, Error> {
        let options = plan.options;
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let board = Scoreboard::new(runner, plan.selection.clone()).map_err(evaluation)?;
        let mut evolution = Self {
            plan,
            runner,
            board,
            gate: Gate::default(),
            sampler: MinibatchSampler::new(plan.train.len(), ChaCha8Rng::seed_from_u64(rng.random())),
            rng,
            traces: BTreeMap::new(),
            frontier: Frontier::default(),
            objectives_named: 0,
            means: BTreeMap::new(),
            exhausted: BTreeSet::new(),
            visits: BTreeMap::new(),
            merges_due: 0,
            merges_made: 0,
            merges_tried: HashSet::new(),
            iteration: 0,
            steps_without_gain: 0,
            failed_proposals: 0,
            last_failure: None,
            requests: 0,
            trials: Vec::new(),
            prompt_usage: Usage::default(),
            notes: Vec::new(),
            stop: None,
        };
        let original = evolution.board.enter(runner.program().candidate());
        let everything = evolution.board.open(original);
        evolution.stop = evolution.board.roll_out(&[(original, everything)]).await.map_err(evaluation)?;
        evolution.note_selection(TrialKind::Baseline, original);
        evolution.settle(original);
        // One chance for the score and one for each objective, all together within the level.
        evolution.gate = Gate::new(&GateOptions {
            level: options.gate_level / evolution.measures().len() as f64,
            minibatch_size: options.minibatch_size,
            max_training: options.max_gate_examples.max(options.minibatch_size).min(plan.train.len()),
            selection: plan.selection.len(),
            portions: options.selection_portions,
        });
        if plan.train.is_empty() {
            evolution.end("there are no training examples to reflect on");
        } else if evolution.means.get(&original).is_some_and(|mean| *mean >= evolution.perfect_score()) {
            evolution
                .end("the original has a perfect score on the selection set, so there is nothing to gain");
        }
        Ok(evolution)
    }

    /// Whether the original was evaluated on the whole selection set.
    pub(crate) fn has_baseline(&self) -> bool {
        self.board.is_full(0) && self.board.mean(0).is_some()
    }

    /// In what candidates are compared: the score (`None`), and the objectives where the frontier looks
    /// at them.
    fn measures(&self) -> Vec<Option<String>> {
        let named = self.board.objective_names().iter().cloned().map(Some);
        let looks_at_them = self.plan.options.frontier != FrontierType::Example;
        std::iter::once(None).chain(named.filter(|_| looks_at_them)).collect()
    }

    /// The score from which on there is nothing to learn: as given, else 1, unless the metric has
    /// given more than that.
    fn perfect_score(&self) -> f64 {
        let beyond = || self.board.scores(0).iter().flatten().any(|score| *score > 1.0);
        self.plan.options.perfect_score.unwrap_or_else(|| if beyond() { f64::INFINITY } else { 1.0 })
    }

    /// Rollouts that may still be made, at what they have cost so far, the confirmation left aside.
    /// `None` without a limit on calls or rollouts.
    fn affordable(&self) -> Option<u64> {
        let totals = self.runner.totals();
        let cost = (totals.usage.calls as f64 / totals.made.max(1) as f64).max(1.0);
        let aside = self.plan.rollouts_of_the_confirmation();
        let by_calls =
            self.runner.remaining_calls().map(|calls| ((calls as f64 / cost) as u64).saturating_sub(aside));
        let by_count =
            self.plan.max_metric_calls.map(|most| most.saturating_sub(aside).saturating_sub(totals.made));
        match (by_calls, by_count) {
            (Some(calls), Some(count)) => Some(calls.min(count)),
            (calls, count) => calls.or(count),
        }
    }

    /// Whether another step is to be taken, and with how many proposals at once.
    pub(crate) fn next_step(&mut self) -> Option<usize> {
        if self.stop.is_none() {
            self.stop = self.reason_to_stop();
        }
        if self.stop.is_some() {
            return None;
        }
        let most = self.plan.options.parallel_proposals;
        let affords =
            |count: &usize| self.affordable().is_none_or(|left| left >= self.plan.rollouts_of_a_step(*count));
        let count = (1..=most).rev().find(affords);
        if count.is_none() {
            self.stop = Some(StopReason::Budget);
        }
        count
    }

    fn reason_to_stop(&self) -> Option<StopReason> {
        let options = self.plan.options;
        let best = self.best().1;
        if options.cancellation.is_cancelled() {
            Some(StopReason::Cancelled)
        } else if options.target_score.is_some_and(|target| best >= target) {
            Some(StopReason::TargetReached)
        } else if options.patience.is_some_and(|steps| self.steps_without_gain >= steps) {
            Some(StopReason::NoImprovement { steps: self.steps_without_gain })
        } else if options.stop_file.as_ref().is_some_and(|file| file.exists()) {
            Some(StopReason::StopFile)
        } else if self.plan.session.ledger.is_out_of_time() {
            Some(StopReason::Budget)
        } else {
            None
        }
    }

    fn end(&mut self, note: &str) {
        self.notes.push(note.to_owned());
        self.stop.get_or_insert(StopReason::Completed);
    }

    /// The candidate with the highest mean, the first of equals.
    fn best(&self) -> (usize, f64) {
        let mut best = (0, self.means.get(&0).copied().unwrap_or(0.0));
        for (candidate, mean) in &self.means {
            if *mean > best.1 {
                best = (*candidate, *mean);
            }
        }
        best
    }

    /// The members of the Pareto frontier with their shares.
    pub(crate) fn members(&self) -> BTreeMap<usize, usize> {
        self.frontier.members(|candidate| self.means.get(&candidate).copied().unwrap_or(0.0))
    }

    /// Decides on the next steps, all from the state as it is: merges that are due first, then
    /// reflections on parents drawn from the frontier.
    pub(crate) fn draft(&mut self, count: usize) -> Result<Vec<Draft>, Error> {
        let mut members = self.members();
        let mut drafts = Vec::new();
        let all: Vec<usize> = members.keys().copied().collect();
        while drafts.len() < count && self.merges_due > 0 {
            self.merges_due -= 1;
            let means = &self.means;
            let mean = |candidate: usize| means.get(&candidate).copied().unwrap_or(0.0);
            let found = merge::find(self.board.candidates(), &all, mean, &self.merges_tried, &mut self.rng);
            let Some((merge, prompts)) = found else { break };
            let (first, second) = merge.parents;
            let parent = if mean(second) > mean(first) { second } else { first };
            self.merges_made += 1;
            self.merges_tried.insert(merge);
            let minibatch = self.sampler.next(self.plan.options.minibatch_size);
            drafts.push(Draft { parent, minibatch, kind: Kind::Merge { merge, prompts } });
        }
        members.retain(|candidate, _| !self.exhausted.contains(candidate));
        let means: BTreeMap<usize, f64> = self
            .means
            .iter()
            .filter(|(candidate, _)| !self.exhausted.contains(candidate))
            .map(|(candidate, mean)| (*candidate, *mean))
            .collect();
        while drafts.len() < count {
            let selector = self.plan.options.candidate_selector;
            let Some(parent) = selector.select(&members, &means, &mut self.rng) else { break };
            let visit = self.visits.entry(parent).or_default();
            let choice = ComponentChoice {
                parent,
                components: self.plan.components.clone(),
                visit: *visit,
                iteration: self.iteration + 1,
            };
            *visit += 1;
            let components = self
                .plan
                .options
                .component_selector
                .select(&choice)
                .map_err(|reason| Error::option("component_selector", reason))?;
            let minibatch = self.sampler.next(self.plan.options.minibatch_size);
            drafts.push(Draft { parent, minibatch, kind: Kind::Reflection { components } });
        }
        if drafts.is_empty() {
            self.end("no parent has a training example left from which there is something to learn");
        }
        Ok(drafts)
    }

    fn training_runs(&self, candidate: usize) -> impl Iterator<Item = (usize, &Arc<Trace>)> {
        self.traces
            .range((candidate, 0)..=(candidate, usize::MAX))
            .map(|((_, example), trace)| (*example, trace))
    }

    async fn run_training(&mut self, wanted: Vec<(usize, Vec<usize>)>) -> Result<(), Error> {
        let mut places = Vec::new();
        let mut jobs = Vec::new();
        for (candidate, examples) in wanted {
            let Some(known) = self.board.candidates().get(candidate) else { continue };
            let prompts = Arc::new(known.prompts.clone());
            for example in examples {
                let Some(row) = self.plan.train.get(example) else { continue };
                if !self.traces.contains_key(&(candidate, example)) {
                    places.push((candidate, example));
                    jobs.push(RolloutJob::new(Arc::clone(&prompts), Arc::clone(row)));
                }
            }
        }
        let batch = self.runner.run(&jobs).await?;
        for (place, trace) in places.into_iter().zip(batch.traces) {
            if let Some(trace) = trace {
                self.traces.insert(place, trace);
            }
        }
        self.stop = self.stop.take().or(batch.stop);
        Ok(())
    }

    /// Enters a candidate in the frontier, if it is evaluated on the whole selection set.
    fn settle(&mut self, candidate: usize) {
        let score = self.board.candidates().get(candidate).and_then(|known| known.score);
        let Some(mean) = score.filter(|_| self.board.is_full(candidate)) else { return };
        self.means.insert(candidate, mean);
        let named = self.board.objective_names().len();
        if self.means.len() > 1 && named == self.objectives_named {
            self.frontier.enter(candidate, &self.board.details(candidate));
        } else {
            let details: Vec<_> =
                self.means.keys().map(|known| (*known, self.board.details(*known))).collect();
            let known = details.iter().map(|(candidate, scores)| (*candidate, scores));
            self.frontier = Frontier::of(self.plan.options.frontier, known);
            self.objectives_named = named;
        }
        let merges = self.plan.options.use_merge && self.plan.components.len() > 1 && candidate != 0;
        if merges && self.merges_made + self.merges_due < self.plan.options.max_merge_invocations {
            self.merges_due += 1;
        }
    }

    fn note_selection(&mut self, kind: TrialKind, candidate: usize) {
        let known: Vec<_> = (0..self.plan.selection.len())
            .filter_map(|example| self.board.evidence(candidate, example))
            .collect();
        let failures = known.iter().filter(|evidence| evidence.failed).count();
        self.note(kind, candidate, known.len(), self.board.mean(candidate), failures);
    }

    fn note(
        &mut self,
        kind: TrialKind,
        candidate: usize,
        examples: usize,
        score: Option<f64>,
        failures: usize,
    ) {
        let trial = Trial {
            kind,
            candidate,
            examples,
            score,
            failures,
            calls_so_far: self.runner.spent_calls(),
            best_so_far: self.best().1,
        };
        tracing::debug!(?kind, candidate, score, "trial");
        self.plan.session.observer.observe(&Event::Trial(trial.clone()));
        self.trials.push(trial);
    }
}

fn evaluation(error: promptopt_evaluator::Error) -> Error {
    Error::stage("evaluation", error)
}
