//! The algorithm, top to bottom.

use promptopt_evaluator::{RaceEnd, race_into};
use promptopt_run::{Halt, Run};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::COPRO;
use crate::attempts::{self, DepthStatistics};
use crate::author::Author;
use crate::mistakes::Mistakes;
use crate::request::Request;
use crate::room::Room;

/// Coordinate ascent: depth by depth every predictor in turn, the others at their best so far.
pub(crate) async fn search(options: &COPRO, run: &mut Run<'_>) -> Result<(), Halt> {
    let mut dropped = 0;
    let ended = ascend(options, run, &mut dropped).await;
    if dropped > 0 {
        run.note(format!(
            "the budget was too small to evaluate all candidates in full: {dropped} were dropped on part of the selection \
             set because they were behind, without a test that says so"
        ));
    }
    ended
}

async fn ascend(options: &COPRO, run: &mut Run<'_>, dropped: &mut usize) -> Result<(), Halt> {
    let mut author = Author::new(options, run);
    let mut mistakes = Mistakes::new(run.train(), ChaCha8Rng::seed_from_u64(run.options().seed));
    let mut depths = Vec::new();
    for (depth, predictor, turns) in options.turns(run.program()) {
        run.step()?;
        let path = predictor.path();
        let writing = author.expected_calls(options.wanted(depth));
        let room = Room::of(options, run, depth, turns, writing).ok_or_else(Halt::budget)?;
        run.stage("depth", format!("depth {depth}: {} instructions for `{path}`", room.contenders));

        // What the best so far gets wrong, on examples that nothing is chosen on.
        let (base, _) = run.best();
        let best = run.board().candidates().get(base).cloned().unwrap_or_default();
        mistakes.look_at(run, (base, &best), depth, room.mistakes).await?;

        // New instructions, from the present one or from the ranked attempts.
        let attempts =
            if depth == 0 { Vec::new() } else { attempts::ranked(run.board(), path, options.breadth) };
        let request = Request::new(run.program(), predictor, &best, attempts, &mistakes);
        let texts = author.write(run, &request, depth, room.contenders).await?;

        // All of them on the same examples, against the best so far.
        let refined = |text| attempts::refined(base, &best, path, depth, text);
        let new: Vec<usize> = texts.into_iter().map(|text| run.enter(refined(text))).collect();
        let (contenders, mut raced) = ([&[base], new.as_slice()].concat(), Vec::new());
        let ended = race_into(run, &contenders, &options.race(run, room.rollouts), &mut raced).await;
        *dropped += raced.iter().filter(|one| one.end == RaceEnd::Unaffordable).count();
        depths.push(DepthStatistics::of(run, path, depth, base, &new));
        if run.options().track_stats {
            run.detail("depths", &depths);
        }
        ended?;
    }
    Ok(())
}
