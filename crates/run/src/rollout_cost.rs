//! What rollouts are going to cost in calls.

use crate::RolloutRunner;

/// What is kept back is what rollouts cost so far, times this.
const KEPT_MARGIN: f64 = 1.1;

/// What one rollout costs in language-model calls: what rollouts did so far on average, and the most that one
/// may.
///
/// Plans go by the average, since the most may be twice what a rollout ever takes. The ledger is what
/// enforces the limit, and it wants the most to be there before a rollout begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RolloutCost {
    average: f64,
    most: u64,
}

impl RolloutCost {
    /// The cost of a runner's rollouts. Before the first one the average is the most.
    pub fn of(runner: &RolloutRunner<'_>) -> Self {
        let totals = runner.totals();
        Self::new(totals.usage.calls, totals.made, runner.calls_per_rollout())
    }

    fn new(calls: u64, made: u64, most: u64) -> Self {
        let most = most.max(1);
        let average = if made == 0 { most as f64 } else { calls as f64 / made as f64 };
        Self { average: average.clamp(1.0, most as f64), most }
    }

    /// The most calls that one rollout may take.
    pub fn most(self) -> u64 {
        self.most
    }

    /// The calls that so many rollouts are expected to take.
    pub fn expected(self, rollouts: usize) -> u64 {
        (self.average * rollouts as f64).ceil() as u64
    }

    /// The calls to keep back so that so many rollouts can be made later: what they are expected to take
    /// with a margin of a tenth, and what the last of them may take, which has to be there before it begins.
    /// Never more than all of them may take.
    pub fn kept_back(self, rollouts: usize) -> u64 {
        let each = (KEPT_MARGIN * self.average).min(self.most as f64);
        let all = (each * rollouts as f64).ceil() as u64;
        all.saturating_add(self.most).min(self.most.saturating_mul(rollouts as u64))
    }

    /// How many rollouts so many calls are expected to be enough for.
    pub fn rollouts(self, calls: u64) -> u64 {
        (calls as f64 / self.average) as u64
    }

    /// How many rollouts a runner may make now if so many are to be made later; `None` without any limit.
    pub fn spare(runner: &RolloutRunner<'_>, later: usize) -> Option<u64> {
        let cost = Self::of(runner);
        let by_calls =
            runner.remaining_calls().map(|calls| cost.rollouts(calls.saturating_sub(cost.kept_back(later))));
        let by_number = runner.remaining_rollouts().map(|count| count.saturating_sub(later as u64));
        by_calls.into_iter().chain(by_number).min()
    }

    /// Whether a runner has enough left for so many rollouts, as far as can be expected.
    pub fn is_enough(runner: &RolloutRunner<'_>, rollouts: usize) -> bool {
        let cost = Self::of(runner);
        runner.remaining_calls().is_none_or(|calls| calls >= cost.kept_back(rollouts))
            && runner.remaining_rollouts().is_none_or(|count| count >= rollouts as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollouts_are_counted_at_what_they_cost_so_far() {
        let cost = RolloutCost::new(150, 100, 4);
        assert_eq!((cost.expected(10), cost.kept_back(10), cost.rollouts(30)), (15, 21, 20));
        // With nothing made, and with rollouts that always take the most, there is no margin to add.
        for dear in [RolloutCost::new(0, 0, 2), RolloutCost::new(200, 100, 2)] {
            assert_eq!((dear.expected(10), dear.kept_back(10), dear.rollouts(30)), (20, 20, 15));
        }
    }

    #[test]
    fn rollouts_that_were_all_found_again_count_as_one_call() {
        let cost = RolloutCost::new(0, 10, 0);
        assert_eq!((cost.most(), cost.expected(3), cost.kept_back(0)), (1, 3, 0));
    }
}
