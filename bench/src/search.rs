//! Sealed-test score for calls, beside the Python peers.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, stream};
use miprov2::proposer::TemplateProposer;
use miprov2::{ModuleExt as _, Optimizer as _};
use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Module, WithMetric};
use promptopt_core::prompt::Prompts;
use promptopt_run::{Run, RunOptions, evaluate};
use promptopt_statistics::Estimate;
use promptopt_testkit::Landscape;

use crate::options::Options;
use crate::search_methods::Method;
use crate::search_series::{BUDGETS, Point, rows};
use crate::table::{Row, say};
use crate::{search_bridge, search_counting::counted, search_peers, search_plot};

/// Seeds of the report. The sizes of the optimizers were chosen on seeds 100 to 139.
const SEEDS: std::ops::Range<u64> = 0..5;

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let seeds = options.seeds.clone().map_or_else(|| SEEDS.collect(), |seeds| seeds.0);
    let budgets = match options.calls.as_slice() {
        [] if options.quick => BUDGETS.get(1..2).unwrap_or(BUDGETS),
        [] => BUDGETS,
        calls => calls,
    };
    let is_wanted = |method: &&Method| options.wants(method.name());
    let mut tasks = Vec::new();
    for method in Method::ALL.iter().filter(is_wanted) {
        for budget in budgets {
            for seed in &seeds {
                let wanted = |one: &Landscape| options.landscape.as_ref().is_none_or(|name| name == one.name);
                tasks.extend(
                    Landscape::all(*seed)
                        .into_iter()
                        .filter(wanted)
                        .map(|one| (one, *method, *budget, *seed)),
                );
            }
        }
    }
    let auto = options.auto;
    let mut points: Vec<Point> = stream::iter(tasks)
        .map(|(landscape, method, budget, seed)| async move {
            tokio::spawn(async move { measure(&landscape, method, budget, seed, auto).await }).await?
        })
        .buffered(std::thread::available_parallelism()?.get())
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_>>()?;
    if options.peers && !options.quick {
        points.extend(search_peers::run(options, &seeds).await?);
    }
    if options.bridge && !options.quick {
        points.extend(search_bridge::run(options, &seeds).await?);
    }
    let rows = rows(&points);
    let whole = !options.quick && options.landscape.is_none();
    if let Some(plot) = options.plot.as_ref().filter(|_| whole) {
        std::fs::write(plot, search_plot::draw(&points))
            .with_context(|| format!("writing {}", plot.display()))?;
        say(&format!("{} is drawn", plot.display()));
    }
    Ok(rows)
}

/// One run of an optimizer.
async fn measure(landscape: &Landscape, method: Method, budget: u64, seed: u64, auto: bool) -> Result<Point> {
    let (model, calls) = counted(landscape.model(seed));
    let mut program = landscape.program().with_metric(landscape.metric());
    let options = RunOptions::builder()
        .seed(seed)
        .valset(landscape.selection.clone())
        .max_calls(budget)
        .task_model(model)
        .maybe_fallback_writer(auto.then(|| Arc::new(TemplateProposer::default()) as _))
        .build();
    method
        .optimizer(options)
        .compile(&mut program, landscape.train.clone())
        .await
        .with_context(|| format!("{} on {}, seed {seed}", method.name(), landscape.name))?;
    let calls = calls.get();
    let prompts = program.candidate().prompts;
    let score = sealed(landscape, &prompts, landscape.model(seed)).await?.mean;
    Ok(Point { landscape: landscape.name, method: method.name().to_owned(), budget, seed, calls, score })
}

/// The mean on the sealed test, by what predictions are truly worth.
pub(crate) async fn sealed(
    landscape: &Landscape,
    prompts: &Prompts,
    model: Arc<dyn LanguageModel>,
) -> Result<Estimate> {
    let program: WithMetric<Box<dyn Module>, _> = landscape.program().with_metric(landscape.truth());
    let test: Vec<Arc<Example>> = landscape.test.iter().cloned().map(Arc::new).collect();
    let mut run = Run::bare(&program, model);
    Ok(evaluate(&mut run, &Arc::new(prompts.clone()), &test).await?.estimate)
}
