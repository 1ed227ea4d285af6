//! The algorithm, top to bottom.

use async_trait::async_trait;
use promptopt_run::{Error, Forecast, Halt, Run, RunOptions, Setup, Strategy};

use crate::evolution::Evolution;
use crate::{GEPA, forecast};

#[async_trait]
impl Strategy for GEPA {
    fn name(&self) -> &str {
        "GEPA"
    }

    fn options(&self) -> RunOptions {
        self.run_options()
    }

    fn prepare(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
        self.check()?;
        self.changeable(setup.program)?;
        setup.confirm = true;
        setup.select_within_budget();
        setup.rollouts = self.size(setup.options, setup.selection.len());
        Ok(())
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        if let Some(rollouts) = self.size(run.options(), run.board().examples().len()) {
            run.limit_rollouts(rollouts);
        }
        run.stage("evolution", format!("reflecting on {} training examples", run.train().len()));
        let mut evolution = Evolution::new(self, run)?;
        let ended = evolve(&mut evolution, run).await;
        let ended = evolution.finish(run, ended).await;
        let frontier: Vec<usize> = evolution.members().into_keys().collect();
        run.detail("frontier", frontier);
        ended
    }

    fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
        forecast::of(self, run)
    }
}

/// Goes on until the run has to end, or there is nothing left to learn, which a note says.
async fn evolve(evolution: &mut Evolution<'_>, run: &mut Run<'_>) -> Result<(), Halt> {
    if !evolution.has_something_to_learn(run) {
        return Ok(());
    }
    loop {
        run.step()?;
        // As many proposals at once as there is budget for.
        let Some(count) = evolution.affordable_proposals(run) else { return Err(evolution.keep_back()) };
        // Parents from the Pareto frontier, or two lineages to merge.
        let Some(drafts) = evolution.draft(run, count)? else { return Ok(()) };
        // Their traces, the reflection on them, and the children that come of it.
        let Some(children) = evolution.conceive(run, drafts).await? else { return Ok(()) };
        // Child against parent on a few training examples, and on more while it is undecided.
        let children = evolution.gate(run, children).await?;
        // The selection set in portions. A child that reaches the end enters the frontier.
        evolution.race(run, children).await?;
    }
}
