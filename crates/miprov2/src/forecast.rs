//! What a run is going to call.

use promptopt_core::program::Module;
use promptopt_run::{Between, Forecast, ModelRole, Run, calls_of_a_rollout};

use crate::MIPROv2;
use crate::sizes::{self, Sizes};

pub(crate) fn of(options: &MIPROv2, run: &Run<'_>) -> Forecast {
    let sizes = Sizes::of(options, run);
    let rollout = calls_of_a_rollout(run.program());
    let selection = run.board().examples().len() as u64;
    let predictors = run.program().predictors().len();
    let between = |(least, most): (usize, usize)| Between::new(least as u64, most as u64);

    let teacher = options.teacher.as_deref();
    let taught =
        teacher.map_or(rollout, |teacher| Between::new(rollout.low, Module::calls_per_rollout(teacher)));
    let bootstrap = sizes.bootstrap(options, run, taught.high).rollouts(run.train().len());
    let traces = if sizes.trials > 0 { between(bootstrap) } else { Between::default() };

    let count = sizes.rounds(run).iter().map(|(round, _)| round.instructions).sum();
    let proposals = if run.options().instruction_writer.is_some() || sizes.trials == 0 {
        Between::default()
    } else {
        let (least, most) = sizes::proposer(options).calls(run.train().len(), predictors, count);
        Between::new(least, most)
    };

    Forecast::default()
        .with("baseline", ModelRole::Task, rollout.times(Between::new(selection, selection)))
        .with("traces", ModelRole::Task, rollout.times(traces))
        .with("proposals", ModelRole::Prompt, proposals)
        .with("search", ModelRole::Task, rollout.times(search(options, &sizes, run, count)))
        .within(run.options().limits())
}

/// Rollouts of the search. At least every new instruction is tried, as far as there are trials; at most
/// all trials are of something new, and after each portion of them a leader is evaluated in full.
fn search(options: &MIPROv2, sizes: &Sizes, run: &Run<'_>, instructions: usize) -> Between {
    let options = sizes.search(options, run);
    let (selection, trials) = (run.board().examples().len(), sizes.trials);
    let sure = trials.min(instructions);
    if !options.minibatch {
        return Between::new((sure * selection) as u64, (trials * selection) as u64);
    }
    let minibatch = options.minibatch_size.clamp(1, selection.max(1));
    let leaders = trials / options.full_eval_steps.max(1) + 1;
    let high = trials * minibatch + leaders * selection;
    Between::new((sure * minibatch) as u64, if trials == 0 { 0 } else { high as u64 })
}
