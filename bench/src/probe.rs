//! How often the probe for headroom is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use miprov2::ModuleExt as _;
use promptopt_run::Run;
use promptopt_testkit::HeadroomTask;

use crate::options::Options;
use crate::table::{Goal, Row};

/// Rows of a probe, and what was expected of it there.
const CASES: [(usize, f64); 3] = [(20, 90.0), (24, 91.0), (40, 94.0)];
/// Numbers of the tasks. The threshold and the prior were chosen on scores that no model gave.
const TASKS: std::ops::Range<u64> = 0..100;

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let numbers: Vec<u64> = options.seeds.clone().map_or_else(|| TASKS.collect(), |seeds| seeds.0);
    let mut rows = Vec::new();
    for (count, predicted) in CASES {
        let (mut right, mut calls) = (0.0, 0);
        let mut kinds: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for number in &numbers {
            let task = HeadroomTask::new(*number);
            let (says, made) = probe(&task, count).await?;
            let is_right = f64::from(u8::from(says == task.has_headroom));
            (right, calls) = (right + is_right, calls + made);
            let kind = kinds.entry(task.name).or_default();
            *kind = (kind.0 + is_right, kind.1 + 1.0);
        }
        let all = numbers.len().max(1) as f64;
        let case = format!("{count} rows");
        let goal = Goal::AtLeast(90.0);
        rows.push(
            Row::new("probe: right", case.clone(), "%", 100.0 * right / all).predicted(predicted).goal(goal),
        );
        rows.push(Row::new("probe: calls", case.clone(), "calls", calls as f64 / all));
        for (kind, (right, all)) in kinds {
            rows.push(Row::new(&format!("probe: right, {kind}"), case.clone(), "%", 100.0 * right / all));
        }
    }
    Ok(rows)
}

/// Whether the probe finds headroom, and the calls that it made.
async fn probe(task: &HeadroomTask, count: usize) -> Result<(bool, u64)> {
    let program = task.program().with_metric(task.metric());
    let mut run = Run::bare(&program, task.model());
    run.select_on(task.selection.iter().cloned().map(Arc::new).collect());
    let train: Vec<_> = task.train.iter().cloned().map(Arc::new).collect();
    let found = run.look_for_headroom(count, &train).await?;
    Ok((found.kind.is_headroom(), run.runner().totals().usage.calls))
}
