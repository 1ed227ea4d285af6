//! How large the parts of a run are, where nobody says and where the budget has room.

use promptopt_core::program::Predictor;
use promptopt_evaluator::SearchOptions;
use promptopt_proposer::ModelProposerOptions;
use promptopt_run::{Auto, Run, calls_of_a_rollout};
use promptopt_trace_gen::BootstrapOptions;

use crate::MIPROv2;

/// Of what a call budget has left, each of the first two stages may take this part.
const STAGE_SHARE: u64 = 4;

/// Where an evaluation of the selection set takes less than one part in so many, there is room for larger minibatches
/// and a larger play-off.
const SMALL_BUDGET: u64 = 8;

/// What a run is sized by where options leave it open. Under a budget of calls there are more
/// candidates and trials than without, because the budget ends the run and instructions cost little
/// beside trials; and they are written in more rounds, each of which builds on the scores of the last.
/// Trials are on few examples then, and what that leaves goes into the play-off at the end.
///
/// Chosen on the simulated landscapes, seeds 100 to 139.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) candidates: usize,
    pub(crate) trials: usize,
    pub(crate) minibatch_size: usize,
    pub(crate) full_eval_steps: usize,
    pub(crate) finalists: usize,
    pub(crate) proposal_rounds: usize,
}

/// A round of proposals, which some trials follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Round {
    /// Its number, from 0.
    pub(crate) number: usize,
    /// New instructions for every predictor.
    pub(crate) instructions: usize,
}

impl Sizes {
    /// The sizes of a run: what the options say, and what the budget suggests.
    pub(crate) fn of(options: &MIPROv2, run: &Run<'_>) -> Self {
        let evaluation = calls_of_a_rollout(run.program()).low.max(1) * run.board().examples().len() as u64;
        let sizes = Self::within(run.calls_allotted(), evaluation);
        let zero_shot = options.max_bootstrapped_demos == 0 && options.max_labeled_demos == 0;
        let takes_demos = |predictor: &&&dyn Predictor| predictor.takes_demos() && !zero_shot;
        let predictors = run.program().predictors();
        let choices = predictors.len() + predictors.iter().filter(takes_demos).count();
        let auto = options.auto.map(|auto| (auto.candidates(), num_trials(auto, choices)));
        Self {
            candidates: auto.map(|auto| auto.0).or(options.num_candidates).unwrap_or(sizes.candidates),
            trials: auto.map(|auto| auto.1).or(options.num_trials).unwrap_or(sizes.trials),
            minibatch_size: options.minibatch_size.unwrap_or(sizes.minibatch_size),
            full_eval_steps: options.minibatch_full_eval_steps.unwrap_or(sizes.full_eval_steps),
            finalists: sizes.finalists,
            proposal_rounds: options.proposal_rounds.unwrap_or(sizes.proposal_rounds),
        }
    }

    /// The sizes under a budget of calls, if there is one, where an evaluation of the selection set takes
    /// `evaluation` calls at least.
    fn within(calls: Option<u64>, evaluation: u64) -> Self {
        let Some(calls) = calls else {
            return Self {
                candidates: 10,
                trials: 20,
                minibatch_size: 25,
                full_eval_steps: 5,
                finalists: 1,
                proposal_rounds: 2,
            };
        };
        let (minibatch_size, finalists) = if calls <= SMALL_BUDGET * evaluation { (10, 8) } else { (15, 16) };
        Self {
            candidates: 60,
            trials: 80,
            minibatch_size,
            full_eval_steps: usize::MAX,
            finalists,
            proposal_rounds: 15,
        }
    }

    /// How the search goes.
    pub(crate) fn search(&self, options: &MIPROv2, run: &Run<'_>) -> SearchOptions {
        SearchOptions::default()
            .with_minibatch(options.minibatch && self.minibatch_size < run.board().examples().len())
            .with_minibatch_size(self.minibatch_size)
            .with_finalists(self.finalists)
            .with_full_eval_steps(self.full_eval_steps)
            .with_parallel_trials(options.parallel_trials)
            .with_seed(run.options().seed)
    }

    /// How demos are bootstrapped from rollouts that are expected to take so many calls each.
    pub(crate) fn bootstrap(&self, options: &MIPROv2, run: &Run<'_>, calls: u64) -> BootstrapOptions {
        BootstrapOptions::default()
            .with_num_sets(self.candidates)
            .with_max_bootstrapped_demos(options.max_bootstrapped_demos)
            .with_max_labeled_demos(options.max_labeled_demos)
            .with_metric_threshold(options.metric_threshold)
            .with_max_rollouts(affordable(run).map(|all| (all / calls.max(1)) as usize))
            .with_seed(run.options().seed)
    }

    /// The rounds of proposals, each with how many trials follow it. The descriptions that come first are counted as
    /// eight calls.
    ///
    /// Under a budget of calls there are as many trials as new instructions, so that the later rounds are reached, and
    /// all others follow the last; without one they are even.
    pub(crate) fn rounds(&self, run: &Run<'_>) -> Vec<(Round, usize)> {
        let predictors = run.program().predictors().len().max(1) as u64;
        let wanted = self.candidates.saturating_sub(1);
        let affordable =
            affordable(run).map_or(wanted, |calls| (calls.saturating_sub(8) / (2 * predictors)) as usize);
        let count = wanted.min(affordable);
        let rounds = self.proposal_rounds.clamp(1, count.max(1)).min(self.trials.max(1));
        let budgeted = run.ledger().remaining().is_some();
        let mut left = self.trials;
        let round = |number: usize| {
            // Earlier rounds get the larger part, because later ones build on what they found.
            let instructions = (count + rounds - 1 - number) / rounds;
            let even = self.trials * (number + 1) / rounds - self.trials * number / rounds;
            let trials = match (number + 1 == rounds, budgeted) {
                (true, _) => left,
                (false, true) => instructions.min(even),
                (false, false) => even,
            };
            left -= trials;
            (Round { number, instructions }, trials)
        };
        (0..rounds).map(round).collect()
    }
}

/// The calls that a stage may take of a budget of calls.
fn affordable(run: &Run<'_>) -> Option<u64> {
    run.ledger().remaining().map(|calls| calls / STAGE_SHARE)
}

/// What the prompt model is told.
pub(crate) fn proposer(options: &MIPROv2) -> ModelProposerOptions {
    ModelProposerOptions::default()
        .with_temperature(options.temperature)
        .with_program_aware(options.program_aware)
        .with_data_aware(options.data_aware)
        .with_tip_aware(options.tip_aware)
        .with_few_shot_aware(options.few_shot_aware)
}

/// The most examples to select on.
pub(crate) fn max_selection(auto: Auto) -> usize {
    match auto {
        Auto::Light => 100,
        Auto::Medium => 300,
        Auto::Heavy => 1000,
    }
}

/// Trials for a number of choices: twice the choices times the logarithm of the candidates,
/// at least one and a half times the candidates.
fn num_trials(auto: Auto, choices: usize) -> usize {
    let candidates = auto.candidates() as f64;
    (2.0 * choices as f64 * candidates.log2()).max(1.5 * candidates) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_leaves_full_evaluations_to_the_end() {
        let sizes = |calls| {
            let sizes = Sizes::within(calls, 100);
            (sizes.full_eval_steps, sizes.minibatch_size, sizes.finalists)
        };
        assert_eq!(sizes(None), (5, 25, 1));
        assert_eq!((sizes(Some(800)), sizes(Some(801))), ((usize::MAX, 10, 8), (usize::MAX, 15, 16)));
    }
}
