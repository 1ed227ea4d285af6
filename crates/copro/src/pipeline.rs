//! The algorithm, top to bottom.

use promptopt_core::{Error, Evaluator, ModuleExt as _, Outcome, StopReason};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::ascent::Ascent;
use crate::author::Author;
use crate::mistakes::Mistakes;
use crate::plan::Plan;
use crate::request::Request;

pub(crate) async fn run(plan: &Plan<'_>, program: &dyn Evaluator) -> Result<Outcome, Error> {
    let runner = plan.runner(program);
    let mut author = Author::new(plan, program);
    let mut mistakes = Mistakes::new(&plan.train, ChaCha8Rng::seed_from_u64(plan.options.seed));

    // The original is in from the start: everything else has to beat it.
    let mut ascent = Ascent::begin(plan, &runner, program.candidate()).await?;

    // Coordinate ascent: depth by depth every predictor in turn, the others at their best so far.
    for (depth, predictor, turns) in plan.turns(program) {
        if ascent.is_over() {
            break;
        }
        let path = predictor.path();
        let writing = author.expected_calls(plan.wanted(depth));
        let Some(room) = plan.room(&runner, depth, turns, writing) else {
            ascent.halt(Some(StopReason::Budget));
            break;
        };
        plan.session
            .tell_stage("depth", format!("depth {depth}: {} instructions for `{path}`", room.contenders));

        // What the best so far gets wrong, on examples that nothing is chosen on.
        let base = ascent.best();
        let best = ascent.candidate(base);
        ascent.halt(mistakes.look_at(&runner, (base, &best), depth, room.mistakes).await?);
        if ascent.is_over() {
            break;
        }

        // New instructions, from the present one or from the ranked attempts.
        let instruction = best.instruction(path).unwrap_or_default();
        let attempts = if depth == 0 { Vec::new() } else { ascent.attempts(path) };
        let request = Request { program, predictor, instruction, attempts, mistakes: &mistakes };
        let kept_back = plan.full_evaluation(&runner);
        let authored = author.write(&request, room.contenders, kept_back).await?;
        ascent.note_authored(path, depth, room.contenders, &authored);
        ascent.halt(authored.stop);

        // All of them on the same examples, against the best so far.
        if !ascent.is_over() {
            let new = ascent.enter(base, path, depth, authored.instructions);
            ascent.race(base, &new, room).await?;
            ascent.close_depth(path, depth, base, &new);
        }
    }
    Ok(plan.session.concluded(ascent.finish(author.usage)))
}
