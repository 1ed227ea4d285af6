//! The algorithm, top to bottom.

use promptopt_core::prompt::PromptCandidate;
use promptopt_evaluator::{RaceEnd, race_into};
use promptopt_run::{Halt, Run, StopReason};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::COPRO;
use crate::attempts::{self, DepthStatistics};
use crate::author::Author;
use crate::joint;
use crate::mistakes::Mistakes;
use crate::request::{Beginning, Request};
use crate::room::{BREADTH, Plan, Room, Turn};

/// At the first depth one instruction in so many is written from mistakes alone, so that not all of them take over
/// what may be wrong with the present one.
const ANEW_SHARE: usize = 3;

/// Coordinate ascent: depth by depth every predictor in turn, the others at their best so far.
pub(crate) async fn search(options: &COPRO, run: &mut Run<'_>) -> Result<(), Halt> {
    let mut dropped = 0;
    let plan = Plan::of(options, run);
    let mut ended = ascend(options, &plan, run, &mut dropped).await;
    let leaves_room = |halt: &Halt| halt.stop() == Some(&StopReason::Budget) || halt.leaves_room();
    if let Some(part) = plan.part.filter(|_| ended.as_ref().err().is_none_or(leaves_room)) {
        ended = part.play_off(run).await.and(ended);
    }
    if dropped > 0 {
        run.note(format!(
            "the budget was too small to evaluate all candidates in full: {dropped} were dropped on part of the selection \
             set because they were behind, without a test that says so"
        ));
    }
    ended
}

async fn ascend(options: &COPRO, plan: &Plan, run: &mut Run<'_>, dropped: &mut usize) -> Result<(), Halt> {
    let mut author = Author::new(options, run);
    let mut mistakes = Mistakes::new(run.train(), ChaCha8Rng::seed_from_u64(run.options().seed));
    let mut depths = Vec::new();
    let turns = plan.turns(run.program());
    for (at, turn) in turns.iter().enumerate() {
        let Turn { depth, predictor, follower } = *turn;
        let path = predictor.path();
        let base = plan.base(run);
        if author.is_exhausted(path, base) {
            continue;
        }
        run.step()?;
        author.begin_turn(base, plan.rollouts_of_the_end(run));
        let later = turns.iter().skip(at).filter(|turn| !author.is_exhausted(turn.predictor.path(), base));
        let writing = author.expected_calls(run, plan.wanted(depth), depth);
        let room = Room::of(options, plan, run, turn, later.count(), writing).ok_or_else(Halt::budget)?;
        run.stage("depth", format!("depth {depth}: {} instructions for `{path}`", room.contenders));

        // What the best so far gets wrong, on examples that nothing is chosen on.
        let best = run.board().candidates().get(base).cloned().unwrap_or_default();
        mistakes.look_at(run, (base, &best), depth, room.mistakes).await?;

        // New instructions: at the first depth some from the mistakes alone and the others from the present one, later
        // from the ranked attempts.
        let attempts = if depth == 0 {
            Vec::new()
        } else {
            attempts::ranked(run.board(), path, options.breadth.unwrap_or(BREADTH))
        };
        let anew = if depth == 0 && mistakes.any(false) { (room.contenders + 1) / ANEW_SHARE } else { 0 };
        let request = |beginning| Request::new(run.program(), predictor, &best, beginning, &mistakes);
        let (anew_request, request) = (request(Beginning::Nothing), request(Beginning::Attempts(attempts)));
        let requests = [(&anew_request, anew), (&request, room.contenders - anew)];
        let texts = author.write(run, &requests, depth).await?;

        // All of them on the same examples, against the best so far.
        let refined = |text| attempts::refined(base, &best, path, depth, text);
        let mut candidates: Vec<PromptCandidate> = texts.into_iter().map(refined).collect();
        if let Some(follower) = follower {
            joint::follow(run, &mut author, &mut mistakes, path, follower, &mut candidates).await?;
        }
        let new: Vec<usize> = candidates.into_iter().map(|candidate| run.enter(candidate)).collect();
        let (contenders, mut raced) = ([&[base], new.as_slice()].concat(), Vec::new());
        let ended = race_into(
            run,
            &contenders,
            &plan.race(options, run, follower.is_some(), room.rollouts),
            &mut raced,
        )
        .await;
        *dropped += raced.iter().filter(|one| one.end == RaceEnd::Unaffordable).count();
        depths.push(DepthStatistics::of(run, path, depth, base, &new));
        if run.options().track_stats {
            run.detail("depths", &depths);
        }
        ended?;
    }
    Ok(())
}
