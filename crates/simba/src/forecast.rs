//! What a run is going to call.

use promptopt_run::{Between, Forecast, ModelRole, Run, calls_of_a_rollout};

use crate::SIMBA;

/// The original, the steps, the rules that are written in them, and the race of their winners.
pub(crate) fn of(options: &SIMBA, run: &Run<'_>) -> Forecast {
    let rollout = calls_of_a_rollout(run.program());
    let selection = run.board().examples().len() as u64;
    let size = options.minibatch_size.min(run.train().len()) as u64;
    let (candidates, steps) = (options.num_candidates as u64, options.max_steps as u64);
    let steps = if size == 0 { 0 } else { steps };
    let predictors = run.program().predictors().len() as u64;
    let finalists = candidates.min(steps);
    Forecast::default()
        .with("baseline", ModelRole::Task, rollout.times(Between::new(selection, selection)))
        .with(
            "steps",
            ModelRole::Task,
            rollout.times(Between::new(steps * size * candidates, steps * size * (2 * candidates + 1))),
        )
        .with("rules", ModelRole::Prompt, Between::new(0, 2 * steps * (candidates + 1) * predictors))
        .with("race", ModelRole::Task, rollout.times(Between::new(0, finalists * selection)))
        .within(run.options().limits())
}
