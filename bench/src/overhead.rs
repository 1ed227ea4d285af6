//! CPU time of a rollout apart from the model: rendering, dispatch, parsing, scoring, keeping the trace.

use std::sync::Arc;

use anyhow::{Result, ensure};
use promptopt_core::data::ContentHash;
use promptopt_core::lm::LanguageModel;
use promptopt_run::{MemoryStore, RolloutRunner};
use promptopt_store::{Manifest, Redactor, RunDirectory, StoredModel};

use crate::options::Options;
use crate::table::{Goal, Row};
use crate::{cpu, task};

/// Microseconds that one rollout may take.
const GOAL: f64 = 20.0;
/// What each size was expected to take before it was measured.
const SIZES: [(usize, f64); 3] = [(5_000, 12.0), (100_000, 13.0), (1_000_000, 14.0)];

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut costs = Vec::new();
    for (count, predicted) in SIZES.into_iter().take(if options.quick { 2 } else { 3 }) {
        // The smallest of several is what the code takes; the rest is what the machine does besides.
        let mut least = f64::INFINITY;
        for _ in 0..(1_000_000 / count).clamp(1, 10) {
            least = least.min(micros(count, 0, Arc::new(task::AtOnce)).await?);
        }
        costs.push(least);
        rows.push(row(&format!("{count} rollouts"), least).goal(Goal::AtMost(GOAL)).predicted(predicted));
    }
    if let [first, .., last] = costs.as_slice() {
        let flat = Row::new("overhead", "the largest against the smallest", "ratio", last / first);
        rows.push(flat.goal(Goal::AtMost(1.25)).predicted(1.17));
    }
    let demos = micros(5_000, 4, Arc::new(task::AtOnce)).await?;
    rows.push(row("5000 rollouts, four demos", demos).goal(Goal::AtMost(GOAL)).predicted(18.0));
    let journal = with_journal(5_000).await?;
    rows.push(row("5000 rollouts, every reply on the disk before its use", journal).predicted(45.0));
    Ok(rows)
}

fn row(case: &str, value: f64) -> Row {
    Row::new("overhead", case, "µs CPU a rollout", value)
}

async fn micros(count: usize, demos: usize, model: Arc<dyn LanguageModel>) -> Result<f64> {
    let (examples, prompts, program) = (task::examples(count), task::prompts(demos), task::program());
    let runner = RolloutRunner::new(&program, model).concurrency(16).store(Arc::new(MemoryStore::default()));
    let before = cpu::spent();
    let evaluation = task::evaluated(&runner, &prompts, &examples).await?;
    let each = cpu::micros_each(before, count);
    ensure!(evaluation.estimate.n == count, "{} of {count} rollouts have a score", evaluation.estimate.n);
    Ok(each)
}

async fn with_journal(count: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let nothing = ContentHash::of("");
    let manifest = Manifest::new(serde_json::Value::Null, nothing, nothing, 0, "2026-01-01T00:00:00Z");
    let run = RunDirectory::create(folder.path().join("run"), &manifest, Redactor::default())?;
    let model = StoredModel::new(Arc::new(task::AtOnce), Some(run.journal().clone()), None);
    micros(count, 0, Arc::new(model)).await
}
