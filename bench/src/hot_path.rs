//! The hot path and nothing else, for a profiler: `hot-path ROLLOUTS [DEMOS]` makes so many rollouts with a
//! model that answers at once. The difference of two counts is free of what starting costs.

mod task;

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use promptopt_run::{MemoryStore, RolloutRunner};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rollouts: usize = arguments.next().context("say how many rollouts")?.parse().context("ROLLOUTS")?;
    let demos: usize = arguments.next().map_or(Ok(0), |text| text.parse()).context("DEMOS")?;
    let examples = task::examples(rollouts);
    let program = task::program();
    let runner = RolloutRunner::new(&program, Arc::new(task::AtOnce))
        .concurrency(16)
        .store(Arc::new(MemoryStore::default()));
    let evaluation = pollster::block_on(task::evaluated(&runner, &task::prompts(demos), &examples))?;
    ensure!(
        evaluation.estimate.n == rollouts,
        "{} of {rollouts} rollouts have a score",
        evaluation.estimate.n
    );
    Ok(())
}
