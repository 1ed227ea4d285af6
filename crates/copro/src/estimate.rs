//! What a run is going to call, from the plan that it follows.

use promptopt_core::{Between, CostEstimate, Evaluator, ModelRole, calls_of_a_rollout};

use crate::author::most_calls;
use crate::plan::Plan;

pub(crate) fn of(plan: &Plan<'_>, program: &dyn Evaluator) -> CostEstimate {
    let rollout = calls_of_a_rollout(program);
    let selection = plan.selection.len() as u64;
    let looks = plan.race_options(None).looks(plan.selection.len());
    let first = looks.first().map_or(selection, |first| *first as u64);
    let by_number = plan.options.max_metric_calls.map(|most| most.saturating_sub(selection));

    let (mut mistakes, mut writing, mut race) = (Between::default(), Between::default(), Between::default());
    for (depth, _, _) in plan.turns(program) {
        let wanted = plan.wanted(depth) as u64;
        mistakes = mistakes + Between::new(0, plan.mistakes());
        if plan.options.instruction_writer.is_none() {
            writing = writing + Between::new(1, most_calls(wanted));
        }
        // That many instructions come out is not sure: some may repeat each other.
        race = race + Between::new(first, wanted * selection);
    }
    if let Some(most) = by_number {
        let (sure, writes) = (if race.high > most { 0 } else { race.low }, writing);
        race = Between::new(sure, race.high.min(most));
        mistakes = Between::new(0, mistakes.high.min(most));
        writing = Between { low: if sure == 0 { 0 } else { writes.low }, ..writes };
    }
    CostEstimate::default()
        .with("baseline", ModelRole::Task, rollout.times(Between::new(selection, selection)))
        .with("mistakes", ModelRole::Task, rollout.times(mistakes))
        .with("instructions", ModelRole::Prompt, writing)
        .with("race", ModelRole::Task, rollout.times(race))
        .within(plan.options.budget())
}
