//! Peak resident memory, each figure from a process of its own.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use miprov2::MIPROv2;
use promptopt_core::data::ContentHash;
use promptopt_core::money::{Price, Prices};
use promptopt_core::signature::Signature;
use promptopt_data::{LoadOptions, load};
use promptopt_lm::ChatClient;
use promptopt_run::Optimizer as _;
use promptopt_store::{Manifest, Redactor, RunDirectory, StoredModel};
use promptopt_testkit::{HiddenRules, LoopbackServer};

use crate::options::Options;
use crate::table::{Goal, Row};
use crate::{child, serve, task};

/// Language-model calls of the run.
const CALLS: u64 = 1000;
/// Examples that are loaded.
const EXAMPLES: usize = 100_000;

/// The rows of this part.
pub(crate) async fn run(_options: &Options) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let model = Arc::new(HiddenRules::new(12, 1).model(1));
    let server = LoopbackServer::start(model, Duration::ZERO, None).await?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let nothing = peak("nothing", &[])?;
    let optimized = peak("run", &[server.base_url(), at("run")])?;
    let file = at("examples.jsonl");
    write_examples(Path::new(&file))?;
    let loaded = peak("examples", &[file])?;
    let row = |case: &str, value: f64| Row::new("memory", case, "MiB peak RSS", value);
    Ok(vec![
        row("a process that does nothing", nothing).predicted(4.0),
        row("MIPROv2, 1000 calls over HTTP, run directory", optimized)
            .goal(Goal::AtMost(25.0))
            .predicted(18.0),
        row("100000 examples from JSONL", loaded).goal(Goal::AtMost(150.0)).predicted(75.0),
    ])
}

fn peak(role: &str, arguments: &[String]) -> Result<f64> {
    let child = child::start(role, arguments)?;
    child.line.parse().with_context(|| format!("the child `{role}` said `{}`", child.line))
}

/// Plays a child whose memory is measured.
pub(crate) fn child(role: &str, arguments: &[String]) -> Result<()> {
    match (role, arguments) {
        ("nothing", _) => {}
        ("run", [url, folder]) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(optimize(url, Path::new(folder)))?;
        }
        ("examples", [file]) => {
            let options = LoadOptions::for_signature(&Signature::parse("question -> answer")?);
            let examples = load(file, &options)?;
            ensure!(examples.len() == EXAMPLES, "{} examples were read", examples.len());
            // They are in memory until the peak is read.
            return say_peak();
        }
        ("serve", [url, before, after]) => return serve::grow(url, before.parse()?, after.parse()?),
        _ => bail!("there is no child `{role}` with these arguments"),
    }
    say_peak()
}

/// Says the most memory that this process has held, in MiB.
fn say_peak() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status").context("reading the peak from /proc")?;
    child::answer(&format!("{:.2}", mib(&status, "VmHWM:")?));
    Ok(())
}

/// A figure of `/proc/self/status`, in MiB.
pub(crate) fn mib(status: &str, name: &str) -> Result<f64> {
    let line = status.lines().find(|line| line.starts_with(name));
    let line = line.with_context(|| format!("/proc has no {name}"))?;
    let kib: f64 = line.split_whitespace().nth(1).with_context(|| format!("{name} has no value"))?.parse()?;
    Ok(kib / 1024.0)
}

async fn optimize(url: &str, folder: &Path) -> Result<()> {
    let mut examples = HiddenRules::new(12, 1).examples(200);
    let valset = examples.split_off(100);
    let nothing = ContentHash::of("");
    let manifest = Manifest::new(serde_json::Value::Null, nothing, nothing, 0, "2026-01-01T00:00:00Z");
    let run = RunDirectory::create(folder, &manifest, Redactor::default())?;
    let client = ChatClient::builder().base_url(url).model("loopback").api_key("none").build()?;
    let model = Arc::new(StoredModel::new(Arc::new(client), Some(run.journal().clone()), None));
    let optimizer = MIPROv2::builder()
        .task_model(model)
        .valset(valset)
        .num_candidates(20)
        .num_trials(60)
        .max_calls(CALLS)
        .prices(Prices::new().with("*", Price::FREE))
        .build();
    let mut program = task::program();
    let outcome = optimizer.compile(&mut program, examples).await?;
    let calls = outcome.spending.total().calls;
    ensure!(calls * 10 >= CALLS * 9, "the run made only {calls} calls");
    Ok(())
}

fn write_examples(path: &Path) -> Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for example in HiddenRules::new(12, 1).examples(EXAMPLES) {
        writeln!(file, "{}", serde_json::to_string(example.fields())?)?;
    }
    Ok(file.flush()?)
}
