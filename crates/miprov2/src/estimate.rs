//! What a run is going to call, from the plan that it follows.

use promptopt_core::{Between, CostEstimate, Evaluator, ModelRole, Module, calls_of_a_rollout};

use crate::plan::Plan;

pub(crate) fn of(plan: &Plan<'_>, program: &dyn Evaluator) -> CostEstimate {
    let rollout = calls_of_a_rollout(program);
    let selection = plan.selection.len() as u64;
    let predictors = program.predictors().len();
    let between = |(least, most): (usize, usize)| Between::new(least as u64, most as u64);

    let teacher = plan.options.teacher.as_deref();
    let taught = teacher.map_or(rollout, |teacher| Between::new(rollout.low, Module::max_calls(teacher)));
    let bootstrap = plan.bootstrap_options(taught.high).rollouts(plan.train.len());
    let traces = if plan.num_trials > 0 { between(bootstrap) } else { Between::default() };

    let rounds = plan.proposal_rounds(predictors);
    let count = rounds.iter().sum();
    let proposals = if plan.options.proposer.is_some() || plan.num_trials == 0 {
        Between::default()
    } else {
        let (least, most) = plan.proposer_options().calls(plan.train.len(), predictors, count);
        Between::new(least, most)
    };

    CostEstimate::default()
        .with("baseline", ModelRole::Task, rollout.times(Between::new(selection, selection)))
        .with("traces", ModelRole::Task, rollout.times(traces))
        .with("proposals", ModelRole::Prompt, proposals)
        .with("search", ModelRole::Task, rollout.times(search(plan, count)))
        .within(plan.options.budget())
}

/// Rollouts of the search. At least every new instruction is tried, as far as there are trials; at most
/// all trials are of something new, and after each portion of them a leader is evaluated in full.
fn search(plan: &Plan<'_>, instructions: usize) -> Between {
    let options = plan.search_options();
    let (selection, trials) = (plan.selection.len(), plan.num_trials);
    let sure = trials.min(instructions);
    if !options.minibatch {
        return Between::new((sure * selection) as u64, (trials * selection) as u64);
    }
    let minibatch = options.minibatch_size.clamp(1, selection.max(1));
    let leaders = trials / options.full_eval_steps.max(1) + 1;
    let high = trials * minibatch + leaders * selection;
    Between::new((sure * minibatch) as u64, if trials == 0 { 0 } else { high as u64 })
}
