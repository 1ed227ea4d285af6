//! The strategy and its options.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::Example;
use promptopt_core::lm::with_requests;
use promptopt_core::prompt::{Origin, PromptCandidate, Prompts};
use promptopt_core::trace::Trace;
use promptopt_evaluator::{MinibatchSampler, RaceOptions, race};
use promptopt_run::options::{at_least_one, within};
use promptopt_run::{
    Error, Forecast, Halt, RolloutJob, Run, RunOptions, Setup, Strategy, TrialKind, strategy_options,
};
use promptopt_statistics::Scores;
use promptopt_trace_gen::DemoSet;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::forecast;
use crate::lesson::{Lesson, learn};

strategy_options! {
    /// The SIMBA optimizer. Every option has a default; see the crate's page for its use.
    #[non_exhaustive]
    pub struct SIMBA {
        /// Training examples of a minibatch. Default: 32, or all there are.
        #[builder(default = 32)]
        pub minibatch_size: usize,
        /// New candidates of a step, and runs of each example. Default: 6.
        #[builder(default = 6)]
        pub num_candidates: usize,
        /// Steps. Default: 8.
        #[builder(default = 8)]
        pub max_steps: usize,
        /// The most demos that a predictor keeps; with 0 only rules are written. Default: 4.
        #[builder(default = 4)]
        pub max_demos: usize,
        /// How evenly candidates are drawn: the softmax temperature over their mean scores. Default: 0.2.
        #[builder(default = 0.2)]
        pub candidate_temperature: f64,
        /// Softmax temperature of the prompt model, from 0 to 2. Default: 1.0.
        #[builder(default = 1.0)]
        pub temperature: f64,
    }
}

/// A step over fewer examples is not worth its runs.
const SMALLEST_MINIBATCH: usize = 4;

/// Candidates with their means.
type Pool = BTreeMap<usize, f64>;
/// The runs of one example with their scores, the best first.
type Bucket = Vec<(f64, Arc<Trace>)>;

#[async_trait]
impl Strategy for SIMBA {
    fn name(&self) -> &str {
        "SIMBA"
    }

    fn options(&self) -> RunOptions {
        self.run_options()
    }

    fn prepare(&self, _setup: &mut Setup<'_>) -> Result<(), Error> {
        let sizes = [("minibatch_size", self.minibatch_size), ("num_candidates", self.num_candidates)];
        at_least_one(&sizes)?;
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("candidate_temperature", self.candidate_temperature, 1e-6, f64::MAX)
    }

    fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
        Some(forecast::of(self, run))
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        let mut rng = ChaCha8Rng::seed_from_u64(run.options().seed);
        let mut sampler = MinibatchSampler::new(run.train().len(), rng.clone());
        let mut pool = Pool::from([run.best()]);
        let mut winners = vec![run.best().0];
        let size = self.minibatch_size.min(run.train().len());
        // Every example of a step is run at most this often: to sample, and once under each new candidate.
        let runs = 2 * self.num_candidates + 1;
        for step in 0..self.max_steps {
            run.step()?;
            // Where a budget leaves too little for a step and the race, the minibatch shrinks, and at last it ends.
            let later = run.board().examples().len() * winners.len().min(self.num_candidates);
            let size = run.spare(later).map_or(size, |left| size.min(left as usize / runs));
            if size < SMALLEST_MINIBATCH.min(self.minibatch_size) || size == 0 {
                break;
            }
            run.stage("step", format!("step {} of {}: {size} examples", step + 1, self.max_steps));
            let rows = sampler.next(size);
            let batch: Vec<_> = rows.into_iter().filter_map(|row| run.train().get(row).cloned()).collect();

            // Every example several times, under candidates that did well so far.
            let buckets = self.sample(run, step, &pool, &batch, &mut rng).await?;
            // New candidates from the examples whose runs differ most, on the same minibatch.
            let new = self.improve(run, step, &pool, &buckets, &mut rng).await?;
            winners.extend(measure(run, &mut pool, &batch, new).await?);
        }
        // Winners of all steps, spread evenly, over the selection set.
        let last = winners.len() - 1;
        let place = |part: usize| (part * last + self.num_candidates / 2) / self.num_candidates;
        let finalists = (0..=self.num_candidates).filter_map(|part| winners.get(place(part)).copied());
        race(run, &finalists.collect::<Vec<_>>(), &RaceOptions::default()).await?;
        Ok(())
    }
}

impl SIMBA {
    /// A candidate of the best, drawn by the softmax of their means; what the search began with is always among them.
    fn draw(&self, pool: &Pool, rng: &mut ChaCha8Rng) -> usize {
        let mut leaders: Vec<(usize, f64)> = pool.iter().map(|(one, mean)| (*one, *mean)).collect();
        let first = leaders.first().copied();
        leaders.sort_by(|one, other| other.1.total_cmp(&one.1));
        leaders.truncate(self.num_candidates);
        leaders.extend(first);
        let weight = |(_, mean): &(usize, f64)| (mean / self.candidate_temperature).min(700.0).exp();
        leaders.choose_weighted(rng, weight).map_or(0, |(candidate, _)| *candidate)
    }

    /// Runs every example of a batch once at each of several temperatures, with draws that no other step has. The
    /// examples whose runs differ most come first.
    async fn sample(
        &self,
        run: &mut Run<'_>,
        step: usize,
        pool: &Pool,
        batch: &[Arc<Example>],
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Bucket>, Halt> {
        let mut buckets = vec![Bucket::new(); batch.len()];
        for draw in 0..self.num_candidates {
            let sample = (step * self.num_candidates + draw) as u64;
            let added = 0.5 + 0.5 * draw as f64 / self.num_candidates as f64;
            let warmer =
                with_requests(Arc::clone(run.task_model()), &format!("warmer={added:.2}"), move |request| {
                    request.sampling.temperature = Some(request.sampling.temperature.unwrap_or(0.0) + added);
                });
            let mut job = |example: &Arc<Example>| {
                let prompts = prompts(run, self.draw(pool, rng));
                RolloutJob::new(prompts, Arc::clone(example)).with_sample(sample)
            };
            let jobs: Vec<_> = batch.iter().map(&mut job).collect();
            let runner = run.runner_of(run.program(), Arc::new(warmer));
            let traces = runner.run(&jobs).await;
            run.note_rollouts(runner.totals());
            for (bucket, trace) in buckets.iter_mut().zip(traces?) {
                bucket.extend(trace.evidence().map(|score| (score, trace)));
            }
        }
        buckets.iter_mut().for_each(|bucket| bucket.sort_by(|one, other| other.0.total_cmp(&one.0)));
        let rank = |bucket: &Bucket| {
            let (best, worst) =
                (bucket.first().map_or(0.0, |one| one.0), bucket.last().map_or(0.0, |one| one.0));
            let mean = bucket.iter().map(|one| one.0).sum::<f64>() / bucket.len().max(1) as f64;
            [best - worst, best, best - mean]
        };
        buckets
            .sort_by(|one, other| rank(other).partial_cmp(&rank(one)).unwrap_or(std::cmp::Ordering::Equal));
        Ok(buckets)
    }

    /// New candidates, each from one bucket: with a demo of its best run, or with rules from its best and its worst.
    /// Nothing is learnt from a best run among the worst tenth of all, nor from a worst one among the best.
    async fn improve(
        &self,
        run: &mut Run<'_>,
        step: usize,
        pool: &Pool,
        buckets: &[Bucket],
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<PromptCandidate>, Halt> {
        let all = Scores::lossy(buckets.iter().flatten().map(|(score, _)| Some(*score)));
        let (low, high) = (all.quantile(0.1).unwrap_or(0.0), all.quantile(0.9).unwrap_or(0.0));
        let (mut new, mut lessons) = (Vec::new(), Vec::new());
        for bucket in buckets {
            let Some(((best, better), (worst, worse))) = bucket.first().zip(bucket.last()) else { continue };
            let source = self.draw(pool, rng);
            let max_demos = self.max_demos.min(run.most_demos().unwrap_or(usize::MAX));
            let prompts = thinned(&prompts(run, source), max_demos, rng);
            if max_demos > 0 && rng.random_bool(0.5) {
                if *best >= low && *best > 0.0 {
                    let prompts = DemoSet::of_trace(better, run.program()).added_to(&prompts);
                    let origin = Origin::new("demo", "a demo of a run that went well");
                    new.push(PromptCandidate::new(prompts, origin).with_parents(vec![source]));
                }
            } else if *best >= low && *worst <= high && !run.is_withheld(&better.example) {
                // Of runs that scored alike, the half that the score speaks against says nothing.
                let (alike, good) = (best <= worst, *best > high);
                let better = (!alike || good).then(|| Arc::clone(better));
                let worse = (!alike || !good).then(|| Arc::clone(worse));
                lessons.push(Lesson { source, prompts, better, worse });
            }
            if new.len() + lessons.len() > self.num_candidates {
                break;
            }
        }
        new.extend(learn(run, self.temperature, step as u64, lessons).await?);
        Ok(new)
    }
}

/// Prompts without some of their demos: each goes with a chance of one in as many as are kept, and one goes surely
/// where the prompt is full.
fn thinned(prompts: &Prompts, max_demos: usize, rng: &mut ChaCha8Rng) -> Prompts {
    let kept = if max_demos == 0 { 3 } else { max_demos };
    let demos = prompts.iter().map(|(_, prompt)| prompt.demos.len()).max().unwrap_or(0);
    let surely = (demos >= kept).then(|| rng.random_range(0..demos));
    let gone: Vec<bool> =
        (0..demos).map(|at| surely == Some(at) || rng.random_bool(1.0 / kept as f64)).collect();
    let mut thinned = prompts.clone();
    for (path, prompt) in prompts.iter() {
        let mut prompt = prompt.clone();
        let mut gone = gone.iter();
        prompt.demos.retain(|_| gone.next() != Some(&true));
        thinned.insert(path, prompt);
    }
    thinned
}

/// Scores new candidates on a minibatch, takes them into the pool, and gives the best.
async fn measure(
    run: &mut Run<'_>,
    pool: &mut Pool,
    batch: &[Arc<Example>],
    new: Vec<PromptCandidate>,
) -> Result<Option<usize>, Halt> {
    let mut best: Option<(usize, f64)> = None;
    for candidate in new {
        let known = run.board().candidates().len();
        let candidate = run.enter(candidate);
        if candidate < known {
            continue;
        }
        let prompts = prompts(run, candidate);
        let job = |example: &Arc<Example>| RolloutJob::new(Arc::clone(&prompts), Arc::clone(example));
        let traces = run.rollouts(&batch.iter().map(job).collect::<Vec<_>>()).await?;
        let score = Scores::lossy(traces.iter().map(|trace| trace.evidence())).mean();
        let failures = traces.iter().filter(|trace| trace.error.is_some()).count();
        run.note_trial_of(TrialKind::new("step"), candidate, traces.len(), score, failures);
        pool.insert(candidate, score.unwrap_or(0.0));
        if score > best.map(|best| best.1) {
            best = score.map(|score| (candidate, score));
        }
    }
    Ok(best.map(|best| best.0))
}

/// The prompts of a candidate.
fn prompts(run: &Run<'_>, candidate: usize) -> Arc<Prompts> {
    Arc::new(run.board().candidates().get(candidate).map(|known| known.prompts.clone()).unwrap_or_default())
}
