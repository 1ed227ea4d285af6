//! Bootstrapping: demo sets from rollouts that pass.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use promptopt_core::data::{Example, Fields};
use promptopt_core::lm::Refusal;
use promptopt_core::program::Evaluator;
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_core::signature::Signature;
use promptopt_core::trace::{Failure, Trace};
use promptopt_run::{Halt, RolloutJob, RolloutRunner, Run};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::varied::pick_varied;
use crate::{DemoSet, DemoSetKind, Error};

/// How demo sets are bootstrapped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BootstrapOptions {
    /// How many demo sets to make, the empty one included. Default: 10. Fewer come out where
    /// they would repeat each other.
    pub num_sets: usize,
    /// The most bootstrapped demos of a predictor in a set. Default: 4.
    pub max_bootstrapped_demos: usize,
    /// The most labelled demos of a predictor in a set, besides the bootstrapped ones. Default: 4.
    pub max_labeled_demos: usize,
    /// The lowest score that passes. Default: none, which lets every score above 0 pass.
    pub metric_threshold: Option<f64>,
    /// The most rollouts to make. Default: none, which is one for every example.
    pub max_rollouts: Option<usize>,
    /// Seed of every choice. Default: 0.
    pub seed: u64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self {
            num_sets: 10,
            max_bootstrapped_demos: 4,
            max_labeled_demos: 4,
            metric_threshold: None,
            max_rollouts: None,
            seed: 0,
        }
    }
}

impl BootstrapOptions {
    /// With so many demo sets.
    #[must_use]
    pub fn with_num_sets(mut self, num_sets: usize) -> Self {
        self.num_sets = num_sets;
        self
    }

    /// With a bound on bootstrapped demos.
    #[must_use]
    pub fn with_max_bootstrapped_demos(mut self, max_bootstrapped_demos: usize) -> Self {
        self.max_bootstrapped_demos = max_bootstrapped_demos;
        self
    }

    /// With a bound on labelled demos.
    #[must_use]
    pub fn with_max_labeled_demos(mut self, max_labeled_demos: usize) -> Self {
        self.max_labeled_demos = max_labeled_demos;
        self
    }

    /// With the lowest score that passes.
    #[must_use]
    pub fn with_metric_threshold(mut self, metric_threshold: impl Into<Option<f64>>) -> Self {
        self.metric_threshold = metric_threshold.into();
        self
    }

    /// With a bound on rollouts.
    #[must_use]
    pub fn with_max_rollouts(mut self, max_rollouts: Option<usize>) -> Self {
        self.max_rollouts = max_rollouts;
        self
    }

    /// With a seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many rollouts must pass for all sets. The empty set and the labelled one, where there is one,
    /// take none.
    fn wanted(&self, has_labeled: bool) -> usize {
        let taking = self.num_sets.saturating_sub(1 + usize::from(has_labeled));
        self.max_bootstrapped_demos.saturating_mul(taking)
    }

    /// How many rollouts bootstrapping makes of so many examples, at least and at most.
    pub fn rollouts(&self, examples: usize) -> (usize, usize) {
        let most = self.max_rollouts.unwrap_or(examples).min(examples);
        let (few, many) = (self.wanted(true), self.wanted(false));
        let least = if few == 0 { 0 } else { few.max(MIN_WAVE).min(most) };
        (least, if many == 0 { 0 } else { most })
    }
}

/// What bootstrapping found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Bootstrapped {
    /// The demo sets; the first is empty.
    pub sets: Vec<DemoSet>,
    /// Every rollout that was made, in order.
    pub traces: Vec<Arc<Trace>>,
    /// How many of them passed.
    pub passed: usize,
    /// Where labelled demos did not fit the context window: how many were shown in the end, and what the provider
    /// said.
    pub too_long: Option<(usize, String)>,
}

/// Rollouts of a wave are at least this many, so that a low pass rate does not mean many waves.
const MIN_WAVE: usize = 8;

/// Runs a run's program over `examples` until enough rollouts pass, and puts demo sets together.
///
/// The program runs with labelled demos (never one made from the example at hand), because more
/// rollouts pass then. It begins with the prompts of [`Run::base`]. It runs in waves whose size depends on what passed
/// before and never on timing. Enough is `max_bootstrapped_demos` for each set that takes any. A predictor that takes
/// no demos gets none.
///
/// # Errors
///
/// [`Halt`] when the run ends before that; it failed when the threshold is no number.
pub async fn bootstrap(
    run: &mut Run<'_>,
    examples: &[Arc<Example>],
    options: &BootstrapOptions,
) -> Result<Bootstrapped, Halt> {
    run.stage("traces", format!("bootstrapping demos from {} training examples", examples.len()));
    let base = run.base().prompts;
    let found = bootstrap_with(run.runner(), &base, examples, options).await?;
    if let Some((fitting, why)) = &found.too_long {
        run.limit_demos(*fitting, why);
    }
    Ok(found)
}

/// [`bootstrap`] with another program as the teacher, which has a runner of its own ([`Run::runner_of`]) and begins with
/// `base`. Demos are taken for the predictors it has.
///
/// # Errors
///
/// As [`bootstrap`].
pub async fn bootstrap_with(
    runner: &RolloutRunner<'_>,
    base: &Prompts,
    examples: &[Arc<Example>],
    options: &BootstrapOptions,
) -> Result<Bootstrapped, Halt> {
    if let Some(threshold) = options.metric_threshold.filter(|threshold| !threshold.is_finite()) {
        return Err(Error::Threshold(threshold).into());
    }
    // A row that stands twice in the data would stand twice in a set.
    let mut seen = HashSet::new();
    let examples: Vec<_> =
        examples.iter().filter(|example| seen.insert(example.content_hash())).cloned().collect();
    let mut maker = SetMaker::new(runner.program(), &examples, options);

    let labeled = maker.labeled_set();
    let mut found = Bootstrapped::default();
    let wanted = options.wanted(!labeled.is_empty());
    if wanted > 0 && !examples.is_empty() {
        gather(runner, teaching_prompts(base, &labeled), &examples, wanted, options, &mut found).await?;
    }
    let pool: Vec<_> =
        found.traces.iter().filter(|trace| passes(trace, options.metric_threshold)).cloned().collect();

    let limit = options.num_sets.max(1);
    for set in [maker.empty_set(), labeled, maker.bootstrapped_set(&pool)] {
        keep(&mut found.sets, set, limit);
    }
    // Small pools run out of different sets; a bounded number of draws finds those there are.
    let mut draws = options.num_sets.saturating_mul(4);
    while found.sets.len() < limit && draws > 0 {
        keep(&mut found.sets, maker.shuffled_set(&pool), limit);
        draws -= 1;
    }
    Ok(found)
}

fn passes(trace: &Trace, threshold: Option<f64>) -> bool {
    trace.score_value().is_some_and(|score| threshold.map_or(score > 0.0, |threshold| score >= threshold))
}

/// Prompts with the labelled demos put in.
fn teaching_prompts(own: &Prompts, labeled: &DemoSet) -> Prompts {
    own.iter()
        .map(|(path, prompt)| {
            let mut prompt = prompt.clone();
            prompt.demos.extend_from_slice(labeled.of(path));
            (path.to_owned(), prompt)
        })
        .collect()
}

async fn gather(
    runner: &RolloutRunner<'_>,
    prompts: Prompts,
    examples: &[Arc<Example>],
    wanted: usize,
    options: &BootstrapOptions,
    found: &mut Bootstrapped,
) -> Result<(), Halt> {
    let mut prompts = Arc::new(prompts);
    let most = options.max_rollouts.unwrap_or(examples.len());
    let mut rest = examples.get(..most).unwrap_or(examples);
    while found.passed < wanted && !rest.is_empty() {
        let missing = wanted - found.passed;
        let made = found.traces.len();
        let expected = if made == 0 { missing } else { missing.saturating_mul(made) / found.passed.max(1) };
        let (wave, later) = rest.split_at(expected.max(MIN_WAVE).min(rest.len()));
        let job = |example: &Arc<Example>| RolloutJob::new(Arc::clone(&prompts), Arc::clone(example));
        let jobs: Vec<_> = wave.iter().map(job).collect();
        let traces = runner.run(&jobs).await?;
        // Where the demos do not fit, the same examples are run with half of them.
        if let Some((shorter, demos, why)) = shortened(&prompts, &traces) {
            (prompts, found.too_long) = (Arc::new(shorter), Some((demos, why)));
            continue;
        }
        rest = later;
        for trace in traces {
            found.passed += usize::from(passes(&trace, options.metric_threshold));
            found.traces.push(trace);
        }
    }
    Ok(())
}

/// Prompts with half of their demos, how many that are at most, and what the provider said, where most rollouts under
/// them did not fit the context window.
fn shortened(prompts: &Prompts, traces: &[Arc<Trace>]) -> Option<(Prompts, usize, String)> {
    let is_too_long = |failure: &&Failure| failure.refusal == Some(Refusal::Length);
    let too_long = traces.iter().filter_map(|trace| trace.error.as_ref()).filter(is_too_long);
    let why = too_long.clone().next()?.message.clone();
    let demos = prompts.iter().map(|(_, prompt)| prompt.demos.len()).max().filter(|demos| *demos > 0)?;
    let half = |(path, prompt): (&str, &Prompt)| {
        let mut prompt = prompt.clone();
        prompt.demos.truncate(demos / 2);
        (path.to_owned(), prompt)
    };
    (too_long.count() * 2 > traces.len()).then(|| (prompts.iter().map(half).collect(), demos / 2, why))
}

/// Keeps a set that is not there yet, up to `limit`. Sets that show the same are the same, wherever their demos came
/// from.
fn keep(kept: &mut Vec<DemoSet>, set: DemoSet, limit: usize) {
    if kept.len() < limit && !kept.iter().any(|other| shown(other).eq(shown(&set))) {
        kept.push(set);
    }
}

/// What a set shows, predictor by predictor.
fn shown(set: &DemoSet) -> impl Iterator<Item = Vec<&Fields>> {
    set.demos.values().map(|demos| demos.iter().map(|demo| &demo.fields).collect())
}

struct SetMaker<'a> {
    /// Paths and signatures of the predictors, and whether they take demos.
    signatures: Vec<(String, Signature)>,
    takes_demos: Vec<bool>,
    /// For every predictor, every example that can be its demo.
    labeled: Vec<Vec<Demo>>,
    options: &'a BootstrapOptions,
    rng: ChaCha8Rng,
}

impl<'a> SetMaker<'a> {
    fn new(program: &dyn Evaluator, examples: &[Arc<Example>], options: &'a BootstrapOptions) -> Self {
        let predictors = program.predictors();
        let labeled = predictors.iter().map(|predictor| {
            let demos = examples.iter().filter(|_| predictor.takes_demos());
            demos.filter_map(|example| Demo::labeled(example, predictor.signature())).collect()
        });
        Self {
            labeled: labeled.collect(),
            signatures: predictors
                .iter()
                .map(|predictor| (predictor.path().to_owned(), predictor.signature().clone()))
                .collect(),
            takes_demos: predictors.iter().map(|predictor| predictor.takes_demos()).collect(),
            options,
            rng: ChaCha8Rng::seed_from_u64(options.seed),
        }
    }

    fn empty_set(&self) -> DemoSet {
        let demos = self.signatures.iter().map(|(path, _)| (path.clone(), Vec::new())).collect();
        DemoSet { kind: DemoSetKind::Empty, demos }
    }

    fn labeled_set(&mut self) -> DemoSet {
        let none = vec![Vec::new(); self.signatures.len()];
        self.filled(DemoSetKind::Labeled, none)
    }

    fn bootstrapped_set(&mut self, pool: &[Arc<Trace>]) -> DemoSet {
        let best = crate::best_traces(pool, self.options.max_bootstrapped_demos);
        let demos = self.demos_of(&best);
        self.filled(DemoSetKind::Bootstrapped, demos)
    }

    fn shuffled_set(&mut self, pool: &[Arc<Trace>]) -> DemoSet {
        let most = self.options.max_bootstrapped_demos;
        let size = if most == 0 { 0 } else { self.rng.random_range(1..=most) };
        let all = self.demos_of(pool);
        let mut chosen = Vec::new();
        for (demos, (_, signature)) in all.into_iter().zip(&self.signatures) {
            let key = |demo: &Demo| demo.output_key(signature);
            chosen.push(pick_varied(demos, size, &mut BTreeMap::new(), key, &mut self.rng));
        }
        self.filled(DemoSetKind::Shuffled, chosen)
    }

    /// For every predictor one demo of each trace in which it was called and answered.
    fn demos_of(&mut self, traces: &[Arc<Trace>]) -> Vec<Vec<Demo>> {
        let mut demos = vec![Vec::new(); self.signatures.len()];
        for trace in traces {
            let places = demos.iter_mut().zip(&self.signatures).zip(&self.takes_demos);
            for ((place, (path, _)), _) in places.filter(|(_, takes_demos)| **takes_demos) {
                let steps: Vec<_> = trace
                    .steps
                    .iter()
                    .filter(|step| step.predictor == *path && step.error.is_none())
                    .collect();
                // A predictor that was called several times teaches by one of its calls.
                let pick = if steps.len() > 1 { self.rng.random_range(0..steps.len()) } else { 0 };
                if let Some(step) = steps.get(pick) {
                    let fields = step.inputs.iter().chain(&step.outputs);
                    place.push(
                        Demo::new(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
                            .augmented()
                            .with_source(trace.example.content_hash()),
                    );
                }
            }
        }
        demos
    }

    /// A set of these demos, filled up with labelled ones of other examples.
    fn filled(&mut self, kind: DemoSetKind, chosen: Vec<Vec<Demo>>) -> DemoSet {
        let mut demos = IndexMap::new();
        for ((mut chosen, labeled), (path, signature)) in
            chosen.into_iter().zip(&self.labeled).zip(&self.signatures)
        {
            let used = |demo: &Demo| chosen.iter().any(|other| other.source == demo.source);
            let pool: Vec<_> = labeled.iter().filter(|demo| !used(demo)).cloned().collect();
            let key = |demo: &Demo| demo.output_key(signature);
            let mut shown = BTreeMap::new();
            for demo in &chosen {
                *shown.entry(key(demo)).or_default() += 1;
            }
            chosen.extend(pick_varied(pool, self.options.max_labeled_demos, &mut shown, key, &mut self.rng));
            demos.insert(path.clone(), chosen);
        }
        DemoSet { kind, demos }
    }
}
