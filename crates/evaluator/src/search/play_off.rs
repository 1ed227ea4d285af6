//! The play-off: the leaders on more and more examples, half of them dropped each time (sequential halving,
//! Karnin et al. 2013).

use promptopt_run::{Halt, RolloutCost, Run, TrialKind};

use super::{Search, shrunk};

/// Of what a budget has left when trials begin, the play-off and the full evaluation of its winner may take this
/// part. Chosen on the simulated landscapes, seeds 100 to 139.
const SHARE: f64 = 0.6;

/// Examples that each of `field` candidates gets in the next round of a play-off, when all know `known` of
/// `all`: so many that the rounds cost about the same and the last one ends at `all`.
fn portion(field: usize, known: usize, all: usize) -> usize {
    let rounds = field.max(1).ilog2() + 1;
    let parts = (1_usize << rounds) - 1;
    all.saturating_sub(known).div_ceil(parts)
}

/// Rollouts of a whole play-off and of the full evaluation of its winner.
fn rollouts(mut field: usize, mut known: usize, all: usize) -> usize {
    let mut made = 0;
    while field > 1 {
        let portion = portion(field, known, all);
        made += field * portion;
        known += portion;
        field /= 2;
    }
    made + all.saturating_sub(known)
}

impl Search {
    /// How many finalists the budget has room for beside the trials.
    pub(super) fn room_for_finalists(&self, run: &Run<'_>) -> usize {
        let Some(remaining) = run.runner().remaining_calls() else { return 1 };
        let cost = RolloutCost::of(run.runner());
        let fits = |field: usize| {
            let end = rollouts(field, self.options.minibatch_size, run.board().examples().len());
            cost.expected(end) as f64 <= SHARE * remaining as f64
        };
        let halves = std::iter::successors(Some(self.options.finalists), |field| Some(field / 2));
        halves.take_while(|field| *field > 1).find(|field| fits(*field)).unwrap_or(1)
    }

    /// Rollouts that are wanted when trials are over, if `group` more of them on `minibatch` examples come
    /// first.
    pub(super) fn rollouts_of_the_end(&self, run: &Run<'_>, group: usize, minibatch: usize) -> usize {
        let tried = run.board().candidates().len() - 1 + group;
        let field = self.finalists.unwrap_or(1).min(tried).max(1);
        rollouts(field, minibatch, run.board().examples().len())
    }

    /// Has the leaders play off, and gives the winner, which is not evaluated in full yet; `None` where
    /// there is nobody.
    pub(super) async fn play_off(&mut self, run: &mut Run<'_>) -> Result<Option<usize>, Halt> {
        let all = run.board().examples().len();
        let mut field = self.best_of_open(run, self.finalists.unwrap_or(1));
        while field.len() > 1 {
            let known = field.iter().map(|candidate| run.board().count(*candidate)).min().unwrap_or_default();
            while field.len() > 1 && !RolloutCost::is_enough(run.runner(), rollouts(field.len(), known, all))
            {
                field.pop();
            }
            let known = known + portion(field.len(), known, all);
            let wanted: Vec<(usize, Vec<usize>)> = field
                .iter()
                .map(|candidate| {
                    let missing = known.saturating_sub(run.board().count(*candidate));
                    (*candidate, run.board().open(*candidate).into_iter().take(missing).collect())
                })
                .collect();
            if field.len() > 1 {
                let ended = run.score(&wanted).await;
                for (candidate, examples) in wanted.iter().filter(|(_, examples)| !examples.is_empty()) {
                    run.note_trial(TrialKind::MINIBATCH, *candidate, examples);
                    self.happened += 1;
                }
                ended?;
                self.rank(run, &mut field);
                field.truncate(field.len() / 2);
            }
        }
        Ok(field.first().copied())
    }

    /// Sorts candidates by what is believed of them, the best first; of equals the first stays first.
    fn rank(&self, run: &Run<'_>, field: &mut [usize]) {
        let prior = self.prior(run);
        field.sort_by(|left, right| shrunk(run, *right, prior).total_cmp(&shrunk(run, *left, prior)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rounds_of_a_play_off_cost_about_the_same() {
        // 6 more examples for eight, 12 for four, 24 for two: 48 rollouts each, then 46 for the winner.
        assert_eq!([portion(8, 12, 100), portion(4, 18, 100), portion(2, 30, 100)], [6, 12, 24]);
        assert_eq!(rollouts(8, 12, 100), 3 * 48 + 46);
        assert_eq!((rollouts(1, 25, 100), rollouts(1, 0, 100)), (75, 100));
    }

    #[test]
    fn where_everything_is_known_nothing_is_left_to_do() {
        assert_eq!((portion(8, 100, 100), rollouts(8, 100, 100)), (0, 0));
    }
}
