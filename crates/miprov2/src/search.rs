//! The three stages, top to bottom.

use promptopt_evaluator::Search;
use promptopt_run::{Halt, Run};

use crate::proposals::Proposals;
use crate::sizes::Sizes;
use crate::{MIPROv2, space, teacher};

pub(crate) async fn search(options: &MIPROv2, run: &mut Run<'_>) -> Result<(), Halt> {
    let sizes = Sizes::of(options, run);
    let mut search = Search::new(run, sizes.search(options, run));
    let ended = stages(options, &sizes, run, &mut search).await;
    // The leaders play off, and the best of them is evaluated in full.
    search.finish(run, ended).await
}

async fn stages(
    options: &MIPROv2,
    sizes: &Sizes,
    run: &mut Run<'_>,
    search: &mut Search,
) -> Result<(), Halt> {
    if sizes.trials == 0 {
        return Ok(());
    }
    // Stage 1: run the program, or a teacher, and make demo sets of the rollouts that pass.
    let demos = teacher::bootstrap(options, sizes, run).await?;

    if demos.passed == 0 && !demos.traces.is_empty() {
        run.note("no rollout passed, so demos are labelled ones");
    }

    let mut proposals = Proposals::new(options, run, &demos);
    for (round, trials) in sizes.rounds(run) {
        // Stage 2: write instructions from descriptions, demos, tips, and what was tried with its scores.
        let written = proposals.write(run, round, search).await?;

        // Stage 3: search instruction x demo set for all predictors together.
        run.stage("search", format!("{trials} trials"));
        search.widen(run, space::of(run, &demos.sets, written))?;
        search.trials(run, trials).await?;
    }
    Ok(())
}
