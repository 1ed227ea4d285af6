//! What a run is going to call.

use promptopt_core::money::Budget;
use promptopt_run::{Between, Forecast, ModelRole, Run, calls_of_a_rollout};

use crate::GEPA;

/// `None` where no number of rollouts or calls bounds the run.
pub(crate) fn of(gepa: &GEPA, run: &Run<'_>) -> Option<Forecast> {
    let options = run.options();
    let limits = options.limits();
    let rollout = calls_of_a_rollout(run.program());
    let selection = run.board().examples().len();
    let by_calls = limits.calls.map(|calls| calls / rollout.low);
    let by_size = gepa.size(options, selection);
    let most = [limits.rollouts, by_size, by_calls].into_iter().flatten().min()?;
    let steps = most.saturating_sub(selection as u64);
    // A run that something else ends may end at any step. One that nothing else ends goes on until what is left is
    // too little for another step.
    let mut others = limits;
    others.rollouts = None;
    let by_number_alone = others == Budget::default();
    let certain = match by_number_alone && !options.may_end_early() {
        true => steps.saturating_sub(gepa.rollouts_of_a_step(1, selection) + run.kept_back()),
        false => 0,
    };
    // A step takes at least the child's run over the minibatch.
    let predictors = gepa.changeable(run.program()).ok()?.len();
    let reflections =
        (steps / gepa.minibatch_size as u64 + 1) * (predictors * gepa.parallel_proposals) as u64;
    let has_train = u64::from(!run.train().is_empty());
    let writes = if options.instruction_writer.is_some() { 0 } else { reflections * has_train };
    let baseline = Between::new(selection as u64, selection as u64);
    let forecast = Forecast::default()
        .with("baseline", ModelRole::Task, rollout.times(baseline))
        .with("evolution", ModelRole::Task, rollout.times(Between::new(certain * has_train, steps)))
        .with("reflections", ModelRole::Prompt, Between::new(0, writes));
    Some(forecast.within(limits))
}
