//! The play-off: the leaders on more and more examples, half of them dropped each time (sequential halving,
//! Karnin et al. 2013). Where the budget is small, candidates are seen on a part of the selection set until then.

use std::collections::BTreeSet;

use promptopt_run::{Halt, RolloutCost, Run, TrialKind};
use promptopt_statistics::compare;

/// Of what a budget has left when the search begins, the play-off and the full evaluation of its winner may take this
/// part. Chosen on the simulated landscapes, seeds 100 to 139.
const SHARE: f64 = 0.6;
/// A mean of few examples is pulled towards the mean of all candidates with this weight.
const PRIOR_WEIGHT: f64 = 5.0;
/// Nothing is dropped on the evidence of fewer examples: their spread says little.
const MIN_RACED: usize = 10;
/// A leader is dropped from its full evaluation when it is this unlikely to be the best.
const RACING_LEVEL: f64 = 0.99;
/// A part of the selection set is one row in so many of what a budget has room for, and at least `MIN_ROWS`. Chosen on
/// the simulated landscapes, seeds 100 to 139.
const ROWS_SHARE: u64 = 20;
const MIN_ROWS: usize = 20;
/// The most leaders in a play-off after that.
const FINALISTS: usize = 8;
/// Examples after which the evaluation of its winner in full looks whether it can still win.
const FINAL_PORTION: usize = 10;

/// A part of the selection set on which all candidates are scored, so that a small budget suffices for many of them. At the
/// end the leaders are scored on the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialSelection {
    /// Rows of the selection set.
    pub rows: usize,
    /// Leaders for whose play-off the budget has room.
    finalists: usize,
}

impl PartialSelection {
    /// The part for a search that has room for `left` rollouts; `None` where the whole selection set is no more than that
    /// part.
    pub fn of(run: &Run<'_>, left: u64) -> Option<Self> {
        let rows = MIN_ROWS.max((left / ROWS_SHARE) as usize);
        let is_part = rows < run.board().examples().len();
        is_part.then(|| Self { rows, finalists: room_for_finalists(run, FINALISTS, rows) })
    }

    /// Rollouts to keep for the play-off of the leaders of `tried` candidates, and the evaluation of its winner on the
    /// whole selection set.
    pub fn rollouts_of_the_end(&self, run: &Run<'_>, tried: usize) -> usize {
        play_off_rollouts(self.finalists.min(tried), self.rows, run.board().examples().len())
    }

    /// The candidate of which most is believed; of equals the first.
    pub fn leader(&self, run: &Run<'_>) -> usize {
        let all = 0..run.board().candidates().len();
        let prior = prior(run, all.clone());
        let belief = |one: usize| shrunk_mean(run, one, prior);
        all.rev().max_by(|one, other| belief(*one).total_cmp(&belief(*other))).unwrap_or(0)
    }

    /// Has the leaders play off, and evaluates the winner on the whole selection set as long as it can be the best. A
    /// leader may lack a third of its scores, where provider or metric failed.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before that.
    pub async fn play_off(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        let all: Vec<usize> = (0..run.board().candidates().len()).collect();
        let prior = prior(run, all.iter().copied());
        let is_known = |one: &usize| *one > 0 && run.board().count(*one) >= self.rows * 2 / 3;
        let mut field: Vec<usize> = all.iter().copied().filter(is_known).collect();
        field.retain(|one| !run.board().is_full(*one) && !is_hopeless(run, *one));
        rank(run, &mut field, prior);
        field.truncate(self.finalists);
        match halve(run, field, &all).await? {
            Some(winner) => evaluate_in_full(run, winner, FINAL_PORTION, &mut BTreeSet::new(), true).await,
            None => Ok(()),
        }
    }
}

/// The mean of the means of some candidates, which is known before anything is known of another one.
pub(crate) fn prior(run: &Run<'_>, among: impl IntoIterator<Item = usize>) -> f64 {
    let means = among.into_iter().filter_map(|candidate| run.board().mean(candidate));
    let (sum, count) = means.fold((0.0, 0.0_f64), |(sum, count), mean| (sum + mean, count + 1.0));
    sum / count.max(1.0)
}

/// The mean of a candidate, pulled towards the mean of all where it rests on few examples.
pub(crate) fn shrunk_mean(run: &Run<'_>, candidate: usize, prior: f64) -> f64 {
    let n = run.board().count(candidate) as f64;
    let sum = run.board().mean(candidate).unwrap_or(prior) * n;
    (sum + PRIOR_WEIGHT * prior) / (n + PRIOR_WEIGHT)
}

/// Whether even the upper bound of what is known of a candidate stays below the best.
pub(crate) fn is_hopeless(run: &Run<'_>, candidate: usize) -> bool {
    let board = run.board();
    let (best, mean) = run.best();
    let upper = board.estimate(candidate, RACING_LEVEL).high;
    let paired = compare(&board.scores(best), &board.scores(candidate), RACING_LEVEL);
    board.count(candidate) >= MIN_RACED && (upper < mean || paired.is_ok_and(|paired| paired.high < 0.0))
}

/// Examples that each of `field` candidates gets in the next round of a play-off, when all know `known` of
/// `all`: so many that the rounds cost about the same and the last one ends at `all`.
fn portion(field: usize, known: usize, all: usize) -> usize {
    let rounds = field.max(1).ilog2() + 1;
    let parts = (1_usize << rounds) - 1;
    all.saturating_sub(known).div_ceil(parts)
}

/// Rollouts of a whole play-off of `field` candidates that were seen on `known` of `all` examples, and of the full
/// evaluation of its winner.
pub(crate) fn play_off_rollouts(mut field: usize, mut known: usize, all: usize) -> usize {
    let mut made = 0;
    while field > 1 {
        let portion = portion(field, known, all);
        made += field * portion;
        known += portion;
        field /= 2;
    }
    made + all.saturating_sub(known)
}

/// How many finalists, at most `most`, a budget of calls has room for beside the search, if each was seen on `known`
/// examples by then. Without a budget one, which is no play-off.
pub(crate) fn room_for_finalists(run: &Run<'_>, most: usize, known: usize) -> usize {
    let Some(remaining) = run.runner().remaining_calls() else { return 1 };
    let cost = RolloutCost::of(run.runner());
    let fits = |field: usize| {
        let end = play_off_rollouts(field, known, run.board().examples().len());
        cost.expected(end) as f64 <= SHARE * remaining as f64
    };
    let halves = std::iter::successors(Some(most), |field| Some(field / 2));
    halves.take_while(|field| *field > 1).find(|field| fits(*field)).unwrap_or(1)
}

/// Gives the winner of a play-off, which is not evaluated in full yet; `None` where there is nobody. Means are pulled to
/// that of those that it is `among`.
pub(crate) async fn halve(
    run: &mut Run<'_>,
    mut field: Vec<usize>,
    among: &[usize],
) -> Result<Option<usize>, Halt> {
    let all = run.board().examples().len();
    while field.len() > 1 {
        let known = field.iter().map(|candidate| run.board().count(*candidate)).min().unwrap_or_default();
        let later = |field: usize| play_off_rollouts(field, known, all) + run.kept_back() as usize;
        while field.len() > 1 && !RolloutCost::is_enough(run.runner(), later(field.len())) {
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
            }
            ended?;
            let prior = prior(run, among.iter().copied());
            rank(run, &mut field, prior);
            field.truncate(field.len() / 2);
        }
    }
    Ok(field.first().copied())
}

/// Evaluates a candidate on the rest of the selection set, in portions, and notes it as dropped when it cannot win any
/// more.
pub(crate) async fn evaluate_in_full(
    run: &mut Run<'_>,
    leader: usize,
    portion: usize,
    dropped: &mut BTreeSet<usize>,
    racing: bool,
) -> Result<(), Halt> {
    let mut ended = Ok(());
    while ended.is_ok() && !run.board().is_full(leader) {
        if racing && is_hopeless(run, leader) {
            dropped.insert(leader);
            break;
        }
        let open: Vec<usize> = run.board().open(leader).into_iter().take(portion.max(1)).collect();
        ended = run.score(&[(leader, open)]).await;
    }
    // The trial is about all that is known of the leader, minibatches of before included.
    let everything: Vec<usize> = (0..run.board().examples().len()).collect();
    run.note_trial(TrialKind::FULL, leader, &everything);
    ended
}

/// Sorts candidates by what is believed of them, the best first; of equals the first stays first.
fn rank(run: &Run<'_>, field: &mut [usize], prior: f64) {
    field.sort_by(|left, right| shrunk_mean(run, *right, prior).total_cmp(&shrunk_mean(run, *left, prior)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rounds_of_a_play_off_cost_about_the_same() {
        // 6 more examples for eight, 12 for four, 24 for two: 48 rollouts each, then 46 for the winner.
        assert_eq!([portion(8, 12, 100), portion(4, 18, 100), portion(2, 30, 100)], [6, 12, 24]);
        assert_eq!(play_off_rollouts(8, 12, 100), 3 * 48 + 46);
        assert_eq!((play_off_rollouts(1, 25, 100), play_off_rollouts(1, 0, 100)), (75, 100));
    }

    #[test]
    fn where_everything_is_known_nothing_is_left_to_do() {
        assert_eq!((portion(8, 100, 100), play_off_rollouts(8, 100, 100)), (0, 0));
    }
}
