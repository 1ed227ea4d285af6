//! What optimizing brings a caller with faults: its instruction, and the descriptions of its tools.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, stream};
use miprov2::Optimizer as _;
use promptopt_core::data::Example;
use promptopt_core::lm::{LanguageModel, LmRequest};
use promptopt_core::program::{Evaluator, ModuleExt as _};
use promptopt_core::prompt::Prompts;
use promptopt_predict::ToolForm;
use promptopt_run::{Run, RunOptions, evaluate};
use promptopt_testkit::{Drawers, ToolCaller, around};

use crate::options::Options;
use crate::search_counting::{Calls, counted};
use crate::search_methods::Method;
use crate::table::{Goal, Row as Figure};
use crate::tools::{SHARED, served};
use crate::tools_package::{Judge, Package, Row};
use crate::tools_program::{FunctionCaller, shared};

const METHODS: [Method; 3] = [Method::Demos, Method::Copro, Method::Gepa];
/// Seeds of the report.
const SEEDS: std::ops::Range<u64> = 0..6;
const SEEDS_OF_DESCRIPTIONS: std::ops::Range<u64> = 0..12;
/// Calls that a run may make.
const CALLS: u64 = 1500;
const CALLS_QUICK: u64 = 400;
/// Rows of train, selection and test, of kinds in turn.
const SIZES: [usize; 3] = [50, 50, 100];
const SIZES_QUICK: [usize; 3] = [16, 16, 24];
/// Calls that a run with or without descriptions may make.
const CALLS_OF_DESCRIPTIONS: [u64; 2] = [600, 1500];
const CUES: usize = 12;
/// The kinds of the rows that are optimized on. Of ten rows one has several turns, since each takes some ten calls.
const KINDS: [&str; 10] = [
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_irrelevance",
    "multiple",
    "multi_turn_base",
];
/// The simulated task beside the shared tools.
const DRAWERS: &str = "drawers";
/// The gain of an instruction in points that was expected before the first measurement, of every optimizer.
const EXPECTED_GAIN: f64 = 30.0;
/// The least gain that is good enough.
const GAIN: f64 = 20.0;
/// And that of descriptions beside the instruction alone.
const EXPECTED_OF_DESCRIPTIONS: f64 = -3.0;

/// A task in three parts.
struct Task {
    model: Arc<dyn LanguageModel>,
    calls: Calls,
    train: Vec<Example>,
    selection: Vec<Example>,
    test: Vec<Arc<Example>>,
}

/// What a run came to on the sealed test.
struct Point {
    method: Method,
    before: f64,
    after: f64,
    calls: u64,
}

impl Task {
    fn new(model: Arc<dyn LanguageModel>, mut examples: Vec<Example>, sizes: [usize; 3]) -> Self {
        let [train, selection, test] = sizes;
        examples.truncate(train + selection + test);
        let test = examples.split_off(train + selection).into_iter().map(Arc::new).collect();
        let selection = examples.split_off(train);
        let (model, calls) = counted(model);
        Self { model, calls, train: examples, selection, test }
    }

    /// One run of an optimizer, and the sealed test of what it began with and what it ended with.
    async fn measure<P: Evaluator>(
        self,
        mut program: P,
        method: Method,
        calls: u64,
        seed: u64,
    ) -> Result<Point> {
        let options = RunOptions::builder()
            .seed(seed)
            .valset(self.selection.clone())
            .max_calls(calls)
            .task_model(Arc::clone(&self.model))
            .build();
        let original = program.candidate().prompts;
        let outcome = method.optimizer(options).compile(&mut program, self.train.clone()).await;
        outcome.with_context(|| format!("{}, seed {seed}", method.name()))?;
        let calls = self.calls.get();
        let before = self.sealed(&program, &original).await?;
        let after = self.sealed(&program, &program.candidate().prompts).await?;
        Ok(Point { method, before, after, calls })
    }

    async fn sealed<P: Evaluator>(&self, program: &P, prompts: &Prompts) -> Result<f64> {
        let mut run = Run::bare(program, Arc::clone(&self.model));
        Ok(evaluate(&mut run, &Arc::new(prompts.clone()), &self.test).await?.estimate.mean)
    }
}

/// The mean and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0) / n).sqrt())
}

/// `12.3 ± 4.5` of shares, in points.
fn shown(values: &[f64]) -> String {
    let (mean, error) = mean_and_error(values);
    format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * error)
}

/// Runs as many at once as there are processors, and gives their results in order.
async fn all<T: Send + 'static>(
    work: Vec<impl Future<Output = Result<T>> + Send + 'static>,
) -> Result<Vec<T>> {
    let at_once = std::thread::available_parallelism()?.get();
    let done = stream::iter(work).map(|one| async move { tokio::spawn(one).await? }).buffered(at_once);
    done.collect::<Vec<_>>().await.into_iter().collect()
}

fn methods(options: &Options) -> Vec<Method> {
    let wanted = |method: &Method| options.wants(method.name());
    METHODS.into_iter().filter(wanted).collect()
}

/// The instruction of a caller with faults, before and after.
pub(crate) async fn instructions(options: &Options, package: &Package, judge: &Judge) -> Result<Vec<Figure>> {
    let seeds = options.seeds.clone().map_or_else(|| SEEDS.collect(), |seeds| seeds.0);
    let seeds = if options.quick { vec![0] } else { seeds };
    let (sizes, most) = if options.quick { (SIZES_QUICK, CALLS_QUICK) } else { (SIZES, CALLS) };
    let most = options.calls.first().copied().unwrap_or(most);
    let mut work = Vec::new();
    for method in methods(options) {
        for seed in &seeds {
            let (package, judge, seed) = (package.clone(), judge.clone(), *seed);
            work.push(async move {
                let rows = mixed(package.rows(seed, 0).await?, sizes.iter().sum());
                let caller = ToolCaller::new(rows.iter().map(Row::talk), seed).learning();
                let (_server, client) = served(Arc::new(caller)).await?;
                let program = FunctionCaller::new(&rows, &package, ToolForm::Native)?.with_metric(judge);
                let examples = rows.iter().map(|row| row.example(&["question", "row"])).collect();
                Task::new(client, examples, sizes).measure(program, method, most, seed).await
            });
        }
    }
    let points = all(work).await?;
    let figure = |method: Method| {
        let own: Vec<&Point> = points.iter().filter(|point| point.method == method).collect();
        let of = |value: &dyn Fn(&Point) -> f64| own.iter().map(|point| value(point)).collect::<Vec<f64>>();
        let (gain, error) = mean_and_error(&of(&|point| point.after - point.before));
        let calls = own.iter().map(|point| point.calls).max().unwrap_or_default();
        let case = format!(
            "instruction by {}, {} seeds: {} before, {} after, gain ± {:.1}, {calls} of {most} calls",
            method.name(),
            own.len(),
            shown(&of(&|point| point.before)),
            shown(&of(&|point| point.after)),
            100.0 * error
        );
        // Where there are few calls, demos alone find little.
        let goal = if options.quick && method == Method::Demos { 0.0 } else { GAIN };
        Figure::new("tools", case, "points", 100.0 * gain).goal(Goal::AtLeast(goal)).predicted(EXPECTED_GAIN)
    };
    Ok(methods(options).into_iter().map(figure).collect())
}

/// So many rows, of kinds in turn.
fn mixed(rows: Vec<Row>, count: usize) -> Vec<Row> {
    let of = |kind: &str| rows.iter().filter(|row| row.kind == kind).cloned().collect::<Vec<_>>();
    let mut pools: Vec<(&str, std::vec::IntoIter<Row>)> = Vec::new();
    let mut chosen = Vec::with_capacity(count);
    for kind in KINDS.iter().cycle().take(count) {
        if !pools.iter().any(|(known, _)| known == kind) {
            pools.push((kind, of(kind).into_iter()));
        }
        let pool = pools.iter_mut().find(|(known, _)| known == kind);
        chosen.extend(pool.and_then(|(_, rows)| rows.next()));
    }
    chosen
}

/// The descriptions of tools beside the instruction, against the instruction alone at equal calls.
pub(crate) async fn descriptions(options: &Options, package: &Package, judge: &Judge) -> Result<Vec<Figure>> {
    let seeds = options.seeds.clone().map_or_else(|| SEEDS_OF_DESCRIPTIONS.collect(), |seeds| seeds.0);
    let budgets =
        if options.calls.is_empty() { CALLS_OF_DESCRIPTIONS.to_vec() } else { options.calls.clone() };
    let mut groups = Vec::new();
    for (task, is_heedless) in [(DRAWERS, false), (SHARED, false), (DRAWERS, true), (SHARED, true)] {
        for calls in &budgets {
            groups.extend(methods(options).into_iter().map(|method| (task, is_heedless, *calls, method)));
        }
    }
    let mut figures = Vec::new();
    for (task, is_heedless, calls, method) in groups {
        let setting = |improves: bool| {
            let setting =
                move |seed: &u64| Setting { task, is_heedless, calls, method, seed: *seed, improves };
            seeds.iter().map(setting)
        };
        let work = setting(false).chain(setting(true));
        let work = work.map(|setting| described(setting, package.clone(), judge.clone()));
        let points = all(work.collect()).await?;
        let (alone, both) = points.split_at(seeds.len());
        let of = |points: &[Point]| points.iter().map(|point| point.after).collect::<Vec<f64>>();
        let before: Vec<f64> = alone.iter().map(|point| point.before).collect();
        let gains: Vec<f64> = both.iter().zip(alone).map(|(both, alone)| both.after - alone.after).collect();
        let (gain, error) = mean_and_error(&gains);
        let heedless = if is_heedless { ", not heeded" } else { "" };
        let case = format!(
            "descriptions as well{heedless}, {task}, {}, {calls} calls, {} seeds: {} before, {} without, {} with, gain ± \
             {:.1}",
            method.name(),
            gains.len(),
            shown(&before),
            shown(&of(alone)),
            shown(&of(both)),
            100.0 * error
        );
        figures.push(Figure::new("tools", case, "points", 100.0 * gain).predicted(EXPECTED_OF_DESCRIPTIONS));
    }
    Ok(figures)
}

/// A run of an optimizer with or without descriptions.
struct Setting {
    task: &'static str,
    /// Whether the model does not heed what descriptions say.
    is_heedless: bool,
    calls: u64,
    method: Method,
    seed: u64,
    improves: bool,
}

/// A model that does not read what tools do: what it costs to improve descriptions that nobody heeds.
fn heedless(model: Arc<dyn LanguageModel>, is_heedless: bool) -> Arc<dyn LanguageModel> {
    if !is_heedless {
        return model;
    }
    Arc::new(around(model, |next, mut request: LmRequest| async move {
        request.tools.iter_mut().for_each(|tool| tool.description.clear());
        next.complete(&request).await
    }))
}

/// One run with or without descriptions.
async fn described(
    Setting { task, is_heedless, calls, method, seed, improves }: Setting,
    package: Package,
    judge: Judge,
) -> Result<Point> {
    if task == DRAWERS {
        let drawers = Drawers::new(CUES, seed);
        let program = drawers.agent().improving_tools(improves).with_metric(drawers.metric());
        let model = heedless(drawers.model(seed), is_heedless);
        let task = Task::new(model, drawers.examples(SIZES.iter().sum()), SIZES);
        return task.measure(program, method, calls, seed).await;
    }
    let rows: Vec<Row> = package.rows(seed, 0).await?.into_iter().filter(|row| row.kind == SHARED).collect();
    let caller = ToolCaller::new(rows.iter().map(Row::talk), seed).learning_by_tool();
    let (_server, client) = served(heedless(Arc::new(caller), is_heedless)).await?;
    let program = shared(&rows)?.improving_tools(improves).with_metric(judge);
    let examples = rows.iter().map(|row| row.example(&["question"])).collect();
    Task::new(client, examples, SIZES).measure(program, method, calls, seed).await
}
