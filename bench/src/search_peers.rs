//! DSPy on the same landscape, over the same model served on the loopback interface. Calls are counted
//! at the server; what a peer ends with is measured here, on the same sealed test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::Predictor;
use promptopt_core::prompt::Prompts;
use promptopt_dspy::{DspyProgram, Layout};
use promptopt_testkit::{Landscape, LoopbackServer};
use serde_json::{Value, json};

use crate::options::Options;
use crate::search::sealed;
use crate::search_counting::counted;
use crate::search_series::Point;
use crate::table::say;

pub(crate) const DSPY: &str = "3.4.1";
const SCRIPT: &str = "bench/peers/dspy_peer.py";
/// What `dspy_peer.py` runs, and the name it has in the table.
const METHODS: [(&str, &str); 4] = [
    ("miprov2", "DSPy MIPROv2"),
    ("miprov2-zero-shot", "DSPy MIPROv2 zero-shot"),
    ("gepa", "DSPy GEPA"),
    ("copro", "DSPy COPRO"),
];

/// The runs of the peers, on hidden rules unless another landscape is named.
pub(crate) async fn run(options: &Options, seeds: &[u64]) -> Result<Vec<Point>> {
    let wanted = options.landscape.as_deref().unwrap_or("hidden-rules");
    let python = python()?;
    let mut points = Vec::new();
    for (method, name) in METHODS.into_iter().filter(|(_, name)| options.wants(name)) {
        for seed in seeds {
            let landscape = Landscape::all(*seed).into_iter().find(|one| one.name == wanted);
            let landscape = landscape.with_context(|| format!("there is no landscape `{wanted}`"))?;
            let data = json!({
                "predictors": predictors(&landscape),
                "input": "question",
                "output": "answer",
                "train": rows(&landscape.train),
                "selection": rows(&landscape.selection),
            });
            let layout = Layout::of(&landscape.program());
            let (prompts, calls) =
                compile(&python, method, landscape.model(*seed), &data, &layout, *seed).await?;
            let score = sealed(&landscape, &prompts, landscape.model(*seed)).await?.mean;
            say(&format!("{name}, seed {seed}: {:.1} with {calls} calls", 100.0 * score));
            points.push(Point {
                landscape: landscape.name,
                method: name.to_owned(),
                budget: 0,
                seed: *seed,
                calls,
                score,
            });
        }
    }
    Ok(points)
}

/// The predictors of a landscape's program: names and signatures.
pub(crate) fn predictors(landscape: &Landscape) -> Vec<(String, String)> {
    let program = landscape.program();
    let of = |one: &dyn Predictor| (one.path().to_owned(), one.signature().to_string());
    program.predictors().into_iter().map(of).collect()
}

/// One run of a peer: its prompts and the calls it took.
pub(crate) async fn compile(
    python: &Path,
    method: &str,
    model: Arc<dyn LanguageModel>,
    data: &Value,
    layout: &Layout,
    seed: u64,
) -> Result<(Prompts, u64)> {
    let (model, calls) = counted(model);
    let server = LoopbackServer::start(model, Duration::ZERO, None).await?;
    let folder = tempfile::tempdir()?;
    let (given, state, log) =
        (folder.path().join("data.json"), folder.path().join("state.json"), folder.path().join("log"));
    std::fs::write(&given, data.to_string())?;
    let output = std::fs::File::create(&log)?;
    let mut command = std::process::Command::new(python);
    command
        .args([SCRIPT, method, &server.base_url()])
        .arg(&given)
        .arg(&state)
        .arg(seed.to_string())
        .env("DSPY_CACHEDIR", folder.path().join("cache"))
        .env("TQDM_DISABLE", "1")
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .stdout(output.try_clone()?)
        .stderr(output);
    let status = tokio::task::spawn_blocking(move || command.status()).await?.context("starting the peer")?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let last: Vec<_> = said.lines().rev().take(20).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    ensure!(status.success(), "the peer {method} ended with {status}; it said last:\n{}", last.join("\n"));
    let saved = std::fs::read_to_string(&state).context("reading what the peer saved")?;
    Ok((DspyProgram::read(&saved)?.prompts(layout)?, calls.get()))
}

pub(crate) fn rows(examples: &[Example]) -> Vec<Value> {
    examples.iter().map(|example| json!(example.fields())).collect()
}

/// The interpreter that has DSPy.
pub(crate) fn python() -> Result<PathBuf> {
    installed(&format!("dspy-{DSPY}"), &[&format!("dspy[optuna]=={DSPY}")])
}

/// An interpreter that has some packages, installed once in the target folder.
pub(crate) fn installed(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let home = target.join("peers").join(name);
    let python = home.join("bin/python");
    // The mark is written last, so that an installation that was cut short is done again.
    let mark = home.join("complete");
    if !mark.exists() {
        say(&format!("installing {} in {}", packages.join(" and "), home.display()));
        let python3 = PathBuf::from("python3");
        command(&python3, &["-m", "venv", "--clear", &home.to_string_lossy()])?;
        let arguments =
            [&["-m", "pip", "install", "--quiet", "--disable-pip-version-check"], packages].concat();
        command(&python, &arguments)?;
        std::fs::write(mark, "")?;
    }
    Ok(python)
}

fn command(program: &Path, arguments: &[&str]) -> Result<()> {
    let status = std::process::Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    ensure!(status.success(), "{} {} ended with {status}", program.display(), arguments.join(" "));
    Ok(())
}
