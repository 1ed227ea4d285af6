//! How CPU time grows with examples, candidates and predictors.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Fields, Prediction};
use promptopt_core::lm::{Attempts, LanguageModel as _, LmRequest, Message};
use promptopt_core::program::{CallContext, Module, ModuleExt as _, Predictor};
use promptopt_core::prompt::Demo;
use promptopt_core::signature::Signature;
use promptopt_evaluator::{PredictorSpace, Search, SearchOptions, Space};
use promptopt_gepa::{Frontier, FrontierType};
use promptopt_predict::Predict;
use promptopt_run::{CandidateScores, MemoryStore, RolloutRunner, Run, TrialKind};
use promptopt_store::{Manifest, Redactor, RunDirectory, StoredModel};
use promptopt_testkit::toy;

use crate::options::Options;
use crate::plot::{self, Curve};
use crate::table::{Goal, Row};
use crate::{cpu, task};

/// Linear, and what caches and allocators add when data outgrows them.
const LINEAR: f64 = 1.1;
/// n log n over one decade at these sizes.
const SORTING: f64 = 1.15;

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let up_to = |quick: u32, full: u32| 10_usize.pow(if options.quick { quick } else { full });
    let mut parts: Vec<(Curve, f64, f64)> = Vec::new();
    let mut add = |curve: Curve, goal: f64, predicted: f64| parts.push((curve, goal, predicted));

    let (mut made, mut reused) = (Vec::new(), Vec::new());
    for count in decades(100, up_to(5, 6)) {
        let (first, second) = rollouts(count).await?;
        made.push((count as f64, first));
        reused.push((count as f64, second));
    }
    add(curve("examples: rollouts", made), LINEAR, 1.02);
    add(curve("examples: rollouts found in the store", reused), LINEAR, 1.05);
    let points = decades(100, up_to(3, 5));
    let mut journal = Vec::new();
    for count in points {
        journal.push((count as f64, replies(count).await?));
    }
    add(curve("replies: written to the run directory", journal), SORTING, 1.05);
    let by_examples = decades(100, up_to(5, 6)).map(|count| (count as f64, frontier(10, count)));
    add(curve("examples: Pareto frontier of 10", by_examples.collect()), SORTING, 1.1);
    let by_candidates = decades(10, up_to(3, 4)).map(|count| (count as f64, frontier(count, 100)));
    add(curve("candidates: Pareto frontier on 100", by_candidates.collect()), SORTING, 1.3);
    let mut trials = Vec::new();
    for count in decades(10, up_to(2, 4)) {
        trials.push((count as f64, search(count).await?));
    }
    add(curve("candidates: search (TPE)", trials), SORTING, 2.0);
    let mut predictors = Vec::new();
    for count in [1, 2, 5, 10, 20] {
        predictors.push((count as f64, chain(count).await?));
    }
    add(curve("predictors: rollouts of a chain", predictors), LINEAR, 1.0);

    let curves: Vec<Curve> = parts.iter().map(|(curve, _, _)| curve.clone()).collect();
    let svg = plot::draw(&curves);
    let path = if options.quick { options.out.join("scaling.svg") } else { "docs/scaling.svg".into() };
    fs::create_dir_all(&options.out)?;
    fs::write(&path, svg).with_context(|| format!("writing {}", path.display()))?;
    Ok(parts.into_iter().flat_map(|(curve, goal, predicted)| rows(&curve, goal, predicted)).collect())
}

fn curve(name: &str, points: Vec<(f64, f64)>) -> Curve {
    Curve { name: name.to_owned(), points }
}

fn rows(curve: &Curve, goal: f64, predicted: f64) -> Vec<Row> {
    let exponent = curve.exponent().unwrap_or_default();
    let row = Row::new("scaling", &curve.name, "exponent between the two largest sizes", exponent);
    let each = curve.points.iter().map(|(size, micros)| {
        Row::new("scaling", format!("{}, {size}", curve.name), "µs CPU each", micros / size)
    });
    [row.goal(Goal::AtMost(goal)).predicted(predicted)].into_iter().chain(each).collect()
}

fn decades(from: usize, to: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(from), |size| Some(size * 10)).take_while(move |size| *size <= to)
}

/// The least of several runs where they are short.
fn least(count: usize, mut work: impl FnMut() -> f64) -> f64 {
    let times = (100_000 / count.max(1)).clamp(1, 5);
    (0..times).map(|_| work()).fold(f64::INFINITY, f64::min)
}

/// CPU of so many rollouts, and of the same again out of the store.
async fn rollouts(count: usize) -> Result<(f64, f64)> {
    let (examples, prompts, program) = (task::examples(count), task::prompts(0), task::program());
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..(100_000 / count).clamp(2, 5) {
        let runner = RolloutRunner::new(&program, Arc::new(task::AtOnce))
            .concurrency(16)
            .store(Arc::new(MemoryStore::default()));
        let before = cpu::spent();
        task::evaluated(&runner, &prompts, &examples).await?;
        best.0 = best.0.min(cpu::micros_each(before, 1));
        let before = cpu::spent();
        task::evaluated(&runner, &prompts, &examples).await?;
        best.1 = best.1.min(cpu::micros_each(before, 1));
    }
    Ok(best)
}

/// CPU of so many replies through the journal of a run, 64 under way at once.
async fn replies(count: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let nothing = ContentHash::of("");
    let manifest = Manifest::new(serde_json::Value::Null, nothing, nothing, 0, "2026-01-01T00:00:00Z");
    let run = RunDirectory::create(folder.path().join("run"), &manifest, Redactor::default())?;
    let model = StoredModel::new(Arc::new(task::AtOnce), Some(run.journal().clone()), None);
    let requests: Vec<LmRequest> =
        (0..count).map(|number| LmRequest::new(vec![Message::user(format!("question {number}"))])).collect();
    let before = cpu::spent();
    let any = Attempts::any();
    for portion in requests.chunks(64) {
        let replies = portion.iter().map(|one| model.complete(one, &any));
        for reply in futures_util::future::join_all(replies).await {
            reply?;
        }
    }
    Ok(cpu::micros_each(before, 1))
}

/// CPU of a frontier from scratch and of its members.
fn frontier(candidates: usize, examples: usize) -> f64 {
    // Half of the pairs are right, by a hash and not by a pattern.
    let score = |candidate: usize, example: usize| {
        f64::from((candidate.wrapping_mul(0x9E37_79B9) ^ example.wrapping_mul(0x85EB_CA6B)).count_ones() & 1)
    };
    let rows: Vec<CandidateScores> = (0..candidates)
        .map(|candidate| {
            CandidateScores::new((0..examples).map(|example| Some(score(candidate, example))).collect())
        })
        .collect();
    let mean = |at: usize| {
        rows.get(at).map_or(0.0, |row| row.examples.iter().flatten().sum::<f64>() / examples as f64)
    };
    let means: BTreeMap<usize, f64> = (0..candidates).map(|at| (at, mean(at))).collect();
    least(candidates * examples, || {
        let before = cpu::spent();
        let frontier = Frontier::of(FrontierType::Example, rows.iter().enumerate());
        let members = frontier.members(|at| means.get(&at).copied().unwrap_or_default());
        std::hint::black_box(members);
        cpu::micros_each(before, 1)
    })
}

/// CPU of a search of so many trials in a space twice as large, each on 5 of 20 examples.
async fn search(trials: usize) -> Result<f64> {
    let program = task::program();
    let options = SearchOptions::default().with_minibatch_size(5);
    let side = ((2 * trials) as f64).sqrt().ceil() as usize;
    let own = program.candidate();
    let instruction = own.instruction("answer").unwrap_or_default().to_owned();
    let written = (1..side).map(|number| format!("Answer with care, way {number}."));
    let demo = |number: usize| {
        Demo::new(
            [("question", format!("{number}?")), ("answer", format!("{number}"))]
                .map(|(name, text)| (name.to_owned(), text.into()))
                .into_iter()
                .collect(),
        )
    };
    let space = Space::new(vec![PredictorSpace::new(
        "answer",
        [instruction].into_iter().chain(written).collect(),
        (0..side).map(|set| (0..set.min(1)).map(|_| demo(set)).collect()).collect(),
    )]);
    let before = cpu::spent();
    let mut run = Run::bare(&program, Arc::new(task::AtOnce));
    run.select_on(task::examples(20));
    let own = run.enter(own);
    run.try_out(TrialKind::BASELINE, &[(own, (0..20).collect())]).await?;
    let mut search = Search::new(&run, options);
    search.widen(&run, space)?;
    search.trials(&mut run, trials).await?;
    Ok(cpu::micros_each(before, 1))
}

/// CPU of a thousand rollouts of a chain of so many predictors.
async fn chain(predictors: usize) -> Result<f64> {
    let links: Result<Vec<Predict>> = (0..predictors)
        .map(|number| Ok(Predict::new(format!("link{number}"), Signature::parse("question -> answer")?)))
        .collect();
    let program = Chain(links?).with_metric(toy::exact_answer());
    let examples = task::examples(1000);
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let runner = RolloutRunner::new(&program, Arc::new(task::AtOnce)).concurrency(16);
        let before = cpu::spent();
        task::evaluated(&runner, &Arc::default(), &examples).await?;
        best = best.min(cpu::micros_each(before, 1));
    }
    Ok(best)
}

/// Predictors one after the other, each asked the same question.
#[derive(Clone)]
struct Chain(Vec<Predict>);

#[async_trait]
impl Module for Chain {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.0.iter().map(|link| link as &dyn Predictor).collect()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        self.0.iter_mut().map(|link| link as &mut dyn Predictor).collect()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> Result<Prediction> {
        let mut last = None;
        for link in &self.0 {
            last = Some(link.call(context, inputs).await?);
        }
        last.context("a chain has at least one link")
    }

    fn name(&self) -> &str {
        "chain"
    }
}
