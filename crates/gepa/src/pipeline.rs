//! The algorithm, top to bottom.

use promptopt_core::{Error, Evaluator, Outcome, Spending};
use promptopt_evaluator::{compare, session};

use crate::evolution::Evolution;
use crate::options::Plan;

/// Confidence level of intervals.
const LEVEL: f64 = 0.95;

pub(crate) async fn run(plan: &Plan<'_>, program: &dyn Evaluator) -> Result<Outcome, Error> {
    // What the confirmation takes is kept from the evolution.
    let aside = plan.rollouts_of_the_confirmation();
    let runner = plan
        .session
        .runner(program)
        .max_rollouts(plan.max_metric_calls.map(|most| most.saturating_sub(aside)));
    plan.session
        .tell_stage("baseline", format!("the original on {} selection examples", plan.selection.len()));
    let mut evolution = Evolution::begin(plan, &runner).await?;
    if !evolution.has_baseline() {
        return Err(session::too_early(evolution.stop.as_ref(), evolution.board.first_failure()));
    }

    plan.session.tell_stage("evolution", format!("reflecting on {} training examples", plan.train.len()));
    while let Some(count) = evolution.next_step() {
        // Parents from the Pareto frontier, or two lineages to merge.
        let drafts = evolution.draft(count)?;
        // Their traces, the reflection on them, and the children that come of it.
        let children = evolution.conceive(drafts).await?;
        // Child against parent on a few training examples, more while it is undecided.
        let children = evolution.gate(children).await?;
        // The selection set in portions; who comes to its end enters the frontier.
        evolution.race(children).await?;
    }

    let board = &evolution.board;
    let leader = board.best().unwrap_or(0);
    let comparison = compare(&board.scores(0), &board.scores(leader), LEVEL);
    let best = if comparison.difference > 0.0 { leader } else { 0 };
    let full = board.candidates().iter().filter(|candidate| candidate.score.is_some()).count();
    let judged = (best != 0).then(|| board.judge(best, LEVEL)).flatten();
    let choice = format!(
        "the highest mean over all {} examples of the selection set, among {full} candidates that were evaluated on \
         all of them, of {} in all; a tie keeps the earlier{}",
        plan.selection.len(),
        board.candidates().len(),
        judged.as_ref().map(|judged| format!("; {}", judged.expectation())).unwrap_or_default()
    );
    let (baseline, selected) = (board.estimate(0, LEVEL), board.estimate(best, LEVEL));
    let candidates = board.candidates().to_vec();
    let scores = (0..candidates.len()).map(|candidate| board.details(candidate)).collect();
    let confirming = plan.session.runner(program);
    let confirmation = evolution.confirm(best, &confirming).await?;
    let track = plan.options.track_stats;
    let (totals, confirmed) = (runner.totals(), confirming.totals());
    Ok(plan.session.concluded(Outcome {
        optimizer: "GEPA".to_owned(),
        candidates,
        best,
        baseline,
        selected,
        comparison: judged.map(|judged| judged.comparison),
        choice,
        frontier: evolution.members().into_keys().collect(),
        confirmation,
        spending: Spending {
            task: totals.usage + confirmed.usage,
            prompt: evolution.prompt_usage,
            reused_rollouts: totals.reused + confirmed.reused,
        },
        failures: totals.failures + confirmed.failures,
        trials: if track { evolution.trials } else { Vec::new() },
        scores: if track { scores } else { Vec::new() },
        stop: evolution.stop.unwrap_or_default(),
        notes: evolution.notes,
        ..Outcome::default()
    }))
}
