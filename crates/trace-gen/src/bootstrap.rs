//! Bootstrapping: demo sets from rollouts that pass.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use promptopt_core::{
    Demo, Example, Fields, ModuleExt as _, Prompts, RolloutRunner, Signature, StopReason, Trace,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::generate::run_over;
use crate::labeled::{labeled_demo, output_key};
use crate::varied::pick_varied;
use crate::{DemoSet, DemoSetKind, Error};

/// How demo sets are bootstrapped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
pub struct Bootstrapped {
    /// The demo sets; the first is empty.
    pub sets: Vec<DemoSet>,
    /// Every rollout that was made, in order.
    pub traces: Vec<Arc<Trace>>,
    /// How many of them passed.
    pub passed: usize,
    /// Why it ended early, if it did. The sets then hold what was found until there.
    pub stop: Option<StopReason>,
}

/// Rollouts of a wave are at least this many, so that a low pass rate does not mean many waves.
const MIN_WAVE: usize = 8;

/// Runs the runner's program over `examples` until enough rollouts pass, and puts demo sets
/// together.
///
/// The program runs with labelled demos (never one made from the example at hand), because more
/// rollouts pass then. It runs in waves whose size depends on what passed before and never on
/// timing. Enough is `max_bootstrapped_demos` for each set that takes any.
///
/// To let another program teach, give its runner: demos are taken for the predictors it has.
///
/// # Errors
///
/// [`Error`] when the threshold is no number or the rollout store fails.
pub async fn bootstrap(
    runner: &RolloutRunner<'_>,
    examples: &[Arc<Example>],
    options: &BootstrapOptions,
) -> Result<Bootstrapped, Error> {
    if let Some(threshold) = options.metric_threshold.filter(|threshold| !threshold.is_finite()) {
        return Err(Error::Threshold(threshold));
    }
    // A row that stands twice in the data would stand twice in a set.
    let mut seen = HashSet::new();
    let examples: Vec<_> =
        examples.iter().filter(|example| seen.insert(example.content_hash())).cloned().collect();
    let signatures: Vec<_> = runner
        .program()
        .predictors()
        .iter()
        .map(|predictor| (predictor.path().to_owned(), predictor.signature().clone()))
        .collect();
    let mut maker = SetMaker {
        labeled: signatures
            .iter()
            .map(|(_, signature)| {
                examples.iter().filter_map(|example| labeled_demo(example, signature)).collect()
            })
            .collect(),
        signatures,
        options,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
    };

    let labeled = maker.labeled_set();
    let mut found = Bootstrapped::default();
    let wanted = options.wanted(!labeled.is_empty());
    if wanted > 0 && !examples.is_empty() {
        let prompts = Arc::new(teaching_prompts(runner, &labeled));
        gather(runner, &prompts, &examples, wanted, options, &mut found).await?;
    }
    let pool: Vec<_> =
        found.traces.iter().filter(|trace| passes(trace, options.metric_threshold)).cloned().collect();
    tracing::debug!(rollouts = found.traces.len(), passed = pool.len(), "bootstrapped");

    let mut sets = vec![maker.empty_set(), labeled, maker.bootstrapped_set(&pool)];
    // Small pools run out of different sets; a bounded number of draws finds those there are.
    for _ in 0..options.num_sets.saturating_mul(4) {
        sets.push(maker.shuffled_set(&pool));
    }
    found.sets = distinct(sets, options.num_sets);
    Ok(found)
}

fn passes(trace: &Trace, threshold: Option<f64>) -> bool {
    trace.score_value().is_some_and(|score| threshold.map_or(score > 0.0, |threshold| score >= threshold))
}

/// The program's own prompts with the labelled demos put in.
fn teaching_prompts(runner: &RolloutRunner<'_>, labeled: &DemoSet) -> Prompts {
    let own = runner.program().candidate().prompts;
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
    prompts: &Arc<Prompts>,
    examples: &[Arc<Example>],
    wanted: usize,
    options: &BootstrapOptions,
    found: &mut Bootstrapped,
) -> Result<(), Error> {
    let most = options.max_rollouts.unwrap_or(examples.len());
    let mut rest = examples.get(..most).unwrap_or(examples);
    while found.passed < wanted && found.stop.is_none() && !rest.is_empty() {
        let missing = wanted - found.passed;
        let made = found.traces.len();
        let expected = if made == 0 { missing } else { missing.saturating_mul(made) / found.passed.max(1) };
        let (wave, later) = rest.split_at(expected.max(MIN_WAVE).min(rest.len()));
        rest = later;
        let batch = run_over(runner, prompts, wave).await?;
        found.stop = batch.stop;
        for trace in batch.traces.into_iter().flatten() {
            found.passed += usize::from(passes(&trace, options.metric_threshold));
            found.traces.push(trace);
        }
    }
    Ok(())
}

/// Sets without repetition, at most `limit`; the first is always kept. Sets that show the same are
/// the same, wherever their demos came from.
fn distinct(sets: Vec<DemoSet>, limit: usize) -> Vec<DemoSet> {
    let mut kept: Vec<DemoSet> = Vec::new();
    for set in sets {
        if kept.len() >= limit.max(1) {
            break;
        }
        if !kept.iter().any(|other| shown(other).eq(shown(&set))) {
            kept.push(set);
        }
    }
    kept
}

/// What a set shows, predictor by predictor.
fn shown(set: &DemoSet) -> impl Iterator<Item = Vec<&Fields>> {
    set.demos.values().map(|demos| demos.iter().map(|demo| &demo.fields).collect())
}

struct SetMaker<'a> {
    signatures: Vec<(String, Signature)>,
    /// For every predictor, every example that can be its demo.
    labeled: Vec<Vec<Demo>>,
    options: &'a BootstrapOptions,
    rng: ChaCha8Rng,
}

impl SetMaker<'_> {
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
            let key = |demo: &Demo| output_key(demo, signature);
            chosen.push(pick_varied(demos, size, &mut BTreeMap::new(), key, &mut self.rng));
        }
        self.filled(DemoSetKind::Shuffled, chosen)
    }

    /// For every predictor one demo of each trace in which it was called and answered.
    fn demos_of(&mut self, traces: &[Arc<Trace>]) -> Vec<Vec<Demo>> {
        let mut demos = vec![Vec::new(); self.signatures.len()];
        for trace in traces {
            for (place, (path, _)) in demos.iter_mut().zip(&self.signatures) {
                let steps: Vec<_> = trace
                    .steps
                    .iter()
                    .filter(|step| step.predictor == *path && step.error.is_none())
                    .collect();
                // A predictor that was called several times teaches by one of its calls.
                let pick = if steps.len() > 1 { self.rng.random_range(0..steps.len()) } else { 0 };
                if let Some(step) = steps.get(pick) {
                    let fields = step.inputs.iter().chain(&step.outputs);
                    place.push(Demo {
                        fields: fields.map(|(name, value)| (name.clone(), value.clone())).collect(),
                        augmented: true,
                        source: Some(trace.example.content_hash()),
                    });
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
            let key = |demo: &Demo| output_key(demo, signature);
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
