//! What is installed where there is nothing to gain, and where there is.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, stream};
use miprov2::{ModuleExt as _, Optimizer as _};
use promptopt_core::prompt::PromptCandidate;
use promptopt_run::{Outcome, RunOptions};
use promptopt_statistics::{Estimate, Scores, expected_gains};
use promptopt_testkit::Landscape;

use crate::options::Options;
use crate::search::sealed;
use crate::search_methods::Method;
use crate::table::{Goal, Row};

/// Seeds of the report. The default of `caution` was chosen on seeds 100 to 106.
const SEEDS: std::ops::Range<u64> = 200..207;
const CAUTIONS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 8.0];
/// Sizes of the selection set, each with the calls of a run.
const SIZES: &[(usize, u64)] = &[(30, 300), (40, 400), (100, 600)];

/// What is run: everything, and a chain, or what was named.
fn methods(options: &Options) -> impl Iterator<Item = Method> {
    let all = Method::ALL.iter().copied().chain([Method::Chain]);
    all.filter(|one| options.wants(one.name()))
}

/// One run.
struct Point {
    method: Method,
    caution: f64,
    headroom: bool,
    /// Whether another prompt may be worse, where none is better.
    ceiling: bool,
    /// The true gain of what was installed, and of the candidate with the highest mean on the selection set.
    gain: f64,
    by_mean: f64,
    /// The gain that was expected of what was installed.
    expected: f64,
    installed: bool,
    /// Whether it was called better on the selection set.
    better: bool,
    /// Whether the interval of its sealed test holds what it is truly worth, where that is known.
    covered: Option<bool>,
}

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let seeds = options.seeds.clone().map_or_else(|| SEEDS.collect(), |seeds| seeds.0);
    let sizes = if options.quick { SIZES.get(..1).unwrap_or(SIZES) } else { SIZES };
    let cautions = options.caution.map_or_else(|| CAUTIONS.to_vec(), |caution| vec![caution]);
    let wanted = |one: &Landscape| options.landscape.as_ref().is_none_or(|name| name == one.name);
    let mut tasks = Vec::new();
    for seed in seeds {
        let flat = Landscape::without_headroom(seed).into_iter().map(|one| (one, false));
        let all: Vec<_> = flat.chain(Landscape::all(seed).into_iter().map(|one| (one, true))).collect();
        for (landscape, headroom) in all.into_iter().filter(|(one, _)| wanted(one)) {
            for (size, calls) in sizes {
                let mut landscape = landscape.clone();
                landscape.selection.truncate(*size);
                let landscape = Arc::new(landscape);
                for method in methods(options) {
                    for caution in &cautions {
                        tasks.push((Arc::clone(&landscape), headroom, method, *caution, *calls, seed));
                    }
                }
            }
        }
    }
    let points: Vec<Point> = stream::iter(tasks)
        .map(|task| async move { tokio::spawn(measure(task)).await? })
        .buffered(std::thread::available_parallelism()?.get())
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_>>()?;
    let mut rows = Vec::new();
    for caution in cautions {
        let all: Vec<&Point> = points.iter().filter(|point| point.caution == caution).collect();
        rows.extend(table(&format!("caution {caution}"), &all));
        for method in methods(options) {
            let own: Vec<&Point> = all.iter().copied().filter(|point| point.method == method).collect();
            rows.extend(table(&format!("caution {caution}, {}", method.name()), &own));
        }
    }
    Ok(rows)
}

/// One run of an optimizer, and what it truly came to.
async fn measure(
    (landscape, headroom, method, caution, calls, seed): (Arc<Landscape>, bool, Method, f64, u64, u64),
) -> Result<Point> {
    let options = RunOptions::builder()
        .seed(seed)
        .valset(landscape.selection.clone())
        .max_calls(calls)
        .task_model(landscape.model(seed))
        .caution(caution)
        .build();
    let mut program = landscape.program().with_metric(landscape.metric());
    let outcome = method
        .optimizer(options)
        .compile(&mut program, landscape.train.clone())
        .await
        .with_context(|| format!("{} on {}, seed {seed}", method.name(), landscape.name))?;
    let by_mean = PromptCandidate::best(&outcome.candidates).unwrap_or(0);
    let original = worth(&landscape, &outcome, 0, seed).await?.mean;
    let winner = worth(&landscape, &outcome, outcome.best, seed).await?;
    let gain = winner.mean - original;
    Ok(Point {
        method,
        caution,
        headroom,
        ceiling: landscape.name.starts_with("ceiling"),
        gain,
        by_mean: match by_mean == outcome.best {
            true => gain,
            false => worth(&landscape, &outcome, by_mean, seed).await?.mean - original,
        },
        expected: expected(&outcome),
        installed: outcome.improved(),
        better: outcome.comparison.as_ref().is_some_and(|comparison| comparison.is_better()),
        covered: winner.is_known.then(|| (winner.sealed.low..=winner.sealed.high).contains(&winner.mean)),
    })
}

/// What a candidate is truly worth: by its landscape where that knows, and else by the sealed test.
struct Worth {
    mean: f64,
    is_known: bool,
    sealed: Estimate,
}

async fn worth(landscape: &Landscape, outcome: &Outcome, candidate: usize, seed: u64) -> Result<Worth> {
    let prompts = outcome.candidates.get(candidate).map(|one| one.prompts.clone()).unwrap_or_default();
    let sealed = sealed(landscape, &prompts, landscape.model(seed)).await?;
    let known = landscape.true_score(&prompts);
    Ok(Worth { mean: known.unwrap_or(sealed.mean), is_known: known.is_some(), sealed })
}

/// The gain that the selection set lets expect of what was installed.
fn expected(outcome: &Outcome) -> f64 {
    let scores = |place: usize| {
        let known = outcome.scores.get(place).map(|known| known.examples.clone()).unwrap_or_default();
        Scores::lossy(known)
    };
    let candidates: Vec<Scores> = (1..outcome.scores.len()).map(scores).collect();
    let gains = expected_gains(&scores(0), &candidates).unwrap_or_default();
    outcome.best.checked_sub(1).and_then(|place| gains.get(place)).map_or(0.0, |gain| gain.mean)
}

/// What some runs came to together.
fn table(case: &str, points: &[&Point]) -> Vec<Row> {
    let row = |what: &str, unit: &str, value: f64| {
        Row::new("harm", format!("{case}: {what}"), unit, (1000.0 * value).round() / 10.0)
    };
    let flat: Vec<_> = points.iter().filter(|point| !point.headroom).collect();
    let ceilings: Vec<_> = points.iter().filter(|point| point.ceiling).collect();
    let steep: Vec<_> = points.iter().filter(|point| point.headroom).collect();
    let mut rows = Vec::new();
    for (name, points) in [("no headroom", flat), ("of these a ceiling", ceilings)] {
        if points.is_empty() {
            continue;
        }
        let mean = |value: &dyn Fn(&Point) -> f64| {
            points.iter().map(|point| value(point)).sum::<f64>() / points.len() as f64
        };
        let share = |holds: &dyn Fn(&Point) -> bool| mean(&|point| f64::from(u8::from(holds(point))));
        let worse = |gain: f64| gain < -0.02;
        let row = |what: &str, unit: &str, value: f64| row(&format!("{name}, {what}"), unit, value);
        rows.extend([
            row("true gain of what is installed", "points", mean(&|point| point.gain))
                .goal(Goal::AtLeast(-0.5)),
            row("of the highest mean", "points", mean(&|point| point.by_mean)),
            row("more than 2 points below", "%", share(&|point| worse(point.gain))).goal(Goal::AtMost(5.0)),
            row("so by the highest mean", "%", share(&|point| worse(point.by_mean))),
            row("expected less true gain", "points", mean(&|point| point.expected - point.gain))
                .goal(Goal::AtMost(1.0)),
            row("something is installed", "%", share(&|point| point.installed)),
            row("called better", "%", share(&|point| point.better)).goal(Goal::AtMost(5.0)),
            row("sealed test holds the truth", "%", share(&|point| point.covered == Some(true)))
                .goal(Goal::AtLeast(93.0)),
        ]);
    }
    if !steep.is_empty() {
        let sum = |value: fn(&Point) -> f64| steep.iter().map(|point| value(point)).sum::<f64>();
        let gain = sum(|point| point.gain);
        let by_mean = sum(|point| point.by_mean);
        rows.extend([
            row("headroom, true gain of what is installed", "points", gain / steep.len() as f64),
            row("headroom, part of the gain of the highest mean", "%", gain / by_mean)
                .goal(Goal::AtLeast(90.0)),
            row(
                "headroom, expected less true gain",
                "points",
                sum(|point| point.expected - point.gain) / steep.len() as f64,
            ),
        ]);
    }
    rows
}
