//! What a run is going to call.

use promptopt_run::{Between, Forecast, ModelRole, Run, calls_of_a_rollout};
use promptopt_trace_gen::BootstrapOptions;

use crate::RandomSearch;

/// The original, the runs that demos are made of, and the race: at least the first look at two sets, at most all of
/// them in full.
pub(crate) fn of(options: &RandomSearch, sizes: &BootstrapOptions, run: &Run<'_>) -> Forecast {
    let rollout = calls_of_a_rollout(run.program());
    let selection = run.board().examples().len() as u64;
    let (least, most) = sizes.rollouts(run.train().len());
    let first = selection.min(20);
    let race = Between::new(first, (options.num_sets as u64).saturating_sub(1) * selection);
    Forecast::default()
        .with("baseline", ModelRole::Task, rollout.times(Between::new(selection, selection)))
        .with("traces", ModelRole::Task, rollout.times(Between::new(least as u64, most as u64)))
        .with("race", ModelRole::Task, rollout.times(race))
        .within(run.options().limits())
}
