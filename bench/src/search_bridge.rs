//! Our optimizers on DSPy's own program, which is asked through the bridge; model, data and test are those of the peers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use miprov2::{ModuleExt as _, Optimizer as _};
use promptopt_core::program::WithMetric;
use promptopt_core::signature::Signature;
use promptopt_gateway::{App, Component, Demos, Door, Serve};
use promptopt_lm::ChatClient;
use promptopt_process::CommandLine;
use promptopt_run::RunOptions;
use promptopt_testkit::{Landscape, LoopbackServer};
use serde_json::json;

use crate::options::Options;
use crate::search::sealed;
use crate::search_counting::counted;
use crate::search_methods::Method;
use crate::search_peers::{predictors, python};
use crate::search_series::Point;
use crate::table::say;

const SCRIPT: &str = "bench/peers/dspy_chain.py";
/// Calls that a run may make, fewer than the peers take.
const BUDGETS: &[u64] = &[1000];
const METHODS: [Method; 4] = [Method::Demos, Method::ZeroShot, Method::Gepa, Method::Copro];

/// The runs, on two stages unless another landscape is named.
pub(crate) async fn run(options: &Options, seeds: &[u64]) -> Result<Vec<Point>> {
    let wanted = options.landscape.as_deref().unwrap_or("two-stages");
    let budgets = if options.calls.is_empty() { BUDGETS } else { options.calls.as_slice() };
    let python = python()?;
    let mut points = Vec::new();
    for method in METHODS {
        let name = format!("{} by the bridge", method.name());
        if !options.wants(&name) {
            continue;
        }
        for budget in budgets {
            for seed in seeds {
                let landscape = Landscape::all(*seed).into_iter().find(|one| one.name == wanted);
                let landscape = landscape.with_context(|| format!("there is no landscape `{wanted}`"))?;
                let (score, calls) = measure(&python, &landscape, method, *budget, *seed).await?;
                say(&format!("{name}, seed {seed}: {:.1} with {calls} calls", 100.0 * score));
                points.push(Point {
                    landscape: landscape.name,
                    method: name.clone(),
                    budget: *budget,
                    seed: *seed,
                    calls,
                    score,
                });
            }
        }
    }
    Ok(points)
}

/// One run: its sealed test, and the calls that the server counted.
async fn measure(
    python: &Path,
    landscape: &Landscape,
    method: Method,
    budget: u64,
    seed: u64,
) -> Result<(f64, u64)> {
    let (model, calls) = counted(landscape.model(seed));
    let server = LoopbackServer::start(model, Duration::ZERO, None).await?;
    let client =
        ChatClient::builder().base_url(server.base_url()).model("simulated").api_key("none").build()?;
    let mut program: WithMetric<App, _> = app(python, landscape)?.with_metric(landscape.metric());
    let options = RunOptions::builder()
        .seed(seed)
        .valset(landscape.selection.clone())
        .max_calls(budget)
        .task_model(Arc::new(client))
        .build();
    method
        .optimizer(options)
        .compile(&mut program, landscape.train.clone())
        .await
        .with_context(|| format!("{} by the bridge, seed {seed}", method.name()))?;
    let calls = calls.get();
    let score = sealed(landscape, &program.candidate().prompts, landscape.model(seed)).await?.mean;
    Ok((score, calls))
}

/// The program of DSPy, with the instructions of its predictors as components.
fn app(python: &Path, landscape: &Landscape) -> Result<App> {
    let predictors = predictors(landscape);
    let cache = std::env::temp_dir().join("promptopt-dspy-cache");
    let command =
        CommandLine::new(python.to_string_lossy(), [SCRIPT.to_owned(), json!(predictors).to_string()])
            .with_variables([
                ("DSPY_CACHEDIR".to_owned(), cache.display().to_string()),
                ("LITELLM_LOCAL_MODEL_COST_MAP".to_owned(), "True".to_owned()),
            ]);
    let whole = Signature::parse("question -> answer")?;
    let mut app = App::new("chain", whole, Door::Serve(Serve::new(command)));
    for (name, signature) in &predictors {
        let signature = Signature::parse(signature)?;
        let component = Component::new(name, signature.instructions());
        app = app.with_component(component.with_demos(Demos::Program).with_signature(signature));
    }
    Ok(app.with_calls(predictors.len() as u64))
}
