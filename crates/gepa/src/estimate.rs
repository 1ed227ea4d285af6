//! What a run is going to call, from the plan that it follows.

use promptopt_core::{Between, CostEstimate, Evaluator, ModelRole, calls_of_a_rollout};

use crate::options::Plan;

/// `None` where no number of rollouts or calls bounds the run.
pub(crate) fn of(plan: &Plan<'_>, program: &dyn Evaluator) -> Option<CostEstimate> {
    let rollout = calls_of_a_rollout(program);
    let selection = plan.selection.len() as u64;
    let by_calls = plan.options.budget().calls.map(|calls| calls / rollout.low);
    let most = plan.max_metric_calls.into_iter().chain(by_calls).min()?;
    let steps = most.saturating_sub(selection);
    // A run that is ended by something else may end at any step; one that is not goes on until what is
    // left is too little for another.
    let certain = if plan.options.may_end_early() || by_calls.is_some() {
        0
    } else {
        steps.saturating_sub(plan.rollouts_of_a_step(1) + plan.rollouts_of_the_confirmation())
    };
    let minibatch = plan.options.minibatch_size as u64;
    let components = plan.components.len() as u64;
    // A step takes at least the child's run over the minibatch.
    let reflections = (steps / minibatch + 1) * components * plan.options.parallel_proposals as u64;
    let has_train = u64::from(!plan.train.is_empty());
    let writes = if plan.options.instruction_writer.is_some() { 0 } else { reflections * has_train };
    let estimate = CostEstimate::default()
        .with("baseline", ModelRole::Task, rollout.times(Between::new(selection, selection)))
        .with("evolution", ModelRole::Task, rollout.times(Between::new(certain * has_train, steps)))
        .with("reflections", ModelRole::Prompt, Between::new(0, writes));
    Some(estimate.within(plan.options.budget()))
}
