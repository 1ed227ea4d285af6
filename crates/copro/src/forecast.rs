//! What a run is going to call.

use promptopt_run::{Between, Forecast, ModelRole, Run, calls_of_a_rollout};

use crate::COPRO;
use crate::author::{CALLS_OF_A_TEXT, most_calls};
use crate::room::{FOLLOWED_RUNS, Plan};

pub(crate) fn of(options: &COPRO, run: &Run<'_>) -> Forecast {
    let rollout = calls_of_a_rollout(run.program());
    let selection = run.board().examples().len() as u64;
    let by_number = run.options().limits().rollouts.map(|most| most.saturating_sub(selection));

    let plan = Plan::of(options, run);
    let (mut mistakes, mut writing, mut race) = (Between::default(), Between::default(), Between::default());
    for turn in plan.turns(run.program()) {
        let wanted = plan.wanted(turn.depth) as u64;
        let is_joint = turn.follower.is_some();
        let looks = plan.race(options, run, is_joint, None).looks(selection as usize);
        let first = looks.first().map_or(selection, |first| *first as u64);
        let followed = if is_joint { wanted } else { 0 };
        mistakes = mistakes + Between::new(0, options.mistakes(run) + followed * FOLLOWED_RUNS as u64);
        if run.options().instruction_writer.is_none() {
            // Those that are written anew are another request.
            let requests = if turn.depth == 0 { 2 } else { 1 };
            writing =
                writing + Between::new(1, most_calls(wanted) + requests - 1 + CALLS_OF_A_TEXT * followed);
        }
        // That many instructions come out is not sure: some may repeat each other.
        race = race + Between::new(first, wanted * selection);
    }
    if let Some(most) = by_number {
        let (sure, writes) = (if race.high > most { 0 } else { race.low }, writing);
        race = Between::new(sure, race.high.min(most));
        mistakes = Between::new(0, mistakes.high.min(most));
        writing = Between::new(if sure == 0 { 0 } else { writes.low }, writes.high);
    }
    Forecast::default()
        .with("baseline", ModelRole::Task, rollout.times(Between::new(selection, selection)))
        .with("mistakes", ModelRole::Task, rollout.times(mistakes))
        .with("instructions", ModelRole::Prompt, writing)
        .with("race", ModelRole::Task, rollout.times(race))
        .within(run.options().limits())
}
