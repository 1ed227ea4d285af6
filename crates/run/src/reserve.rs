//! What is kept back for rollouts that come after the run, such as a sealed test's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use promptopt_core::money::{Budget, Money, Price, Usage};
use promptopt_core::prompt::{Prompt, Prompts};
use promptopt_core::trace::Trace;

use crate::forecast::shown_bytes;
use crate::{RolloutJob, RunOptions};

/// What is kept back is what such rollouts took so far, times this,
const MARGIN: f64 = 1.1;
/// and for time, which varies more, times this and a round of all that may be under way at once.
const MARGIN_OF_TIME: f64 = 1.5;
/// What prompts have beyond the original's is taken to be a token for so many bytes, and the form of a demo's field so
/// many bytes.
const BYTES_OF_A_TOKEN: usize = 3;
const BYTES_OF_A_FIELD: usize = 20;
/// So many rollouts under the same prompts say what those cost.
const FEWEST: u64 = 3;

/// What rollouts of the run took, and what as many as come after it will take by that.
///
/// Half of those are taken to be the original's, and half the winner's, which is at most as dear as the dearest prompts
/// so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reserve {
    /// How many rollouts come after the run.
    rollouts: u64,
    concurrency: usize,
    /// A rollout of the original, and one of the dearest prompts.
    first: Option<Each>,
    dearest: Each,
}

/// What one rollout takes.
#[derive(Debug, Clone, Copy, Default)]
struct Each {
    seconds: f64,
    prompt_tokens: f64,
    completion_tokens: f64,
    nanos: f64,
}

impl Each {
    fn of(made: u64, usage: Usage) -> Self {
        let each = |amount: u64| amount as f64 / made.max(1) as f64;
        Self {
            seconds: 0.0,
            prompt_tokens: each(usage.prompt_tokens),
            completion_tokens: each(usage.completion_tokens),
            nanos: each(usage.money.unwrap_or_default().as_nanos()),
        }
    }

    /// Takes over what is dearer, but for the time.
    fn raise(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.max(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.max(other.completion_tokens);
        self.nanos = self.nanos.max(other.nanos);
    }
}

impl Reserve {
    /// For the rollouts that come after a run, where they share a limit with it.
    pub(crate) fn under(options: &RunOptions) -> Self {
        let limits = options.limits();
        let is_shared = limits.limits_requests() || limits.wall_time.is_some();
        Self::of(if is_shared { options.rollouts_after } else { 0 }, options.concurrency)
    }

    /// For so many rollouts, of which so many may be under way at once.
    fn of(rollouts: u64, concurrency: usize) -> Self {
        Self { rollouts, concurrency, ..Self::default() }
    }

    /// Whether nothing comes after the run.
    pub(crate) fn is_nothing(&self) -> bool {
        self.rollouts == 0
    }

    /// Notes a batch: how many rollouts it made, what they cost and how long they took. The first batch is the
    /// original's.
    pub(crate) fn note(&mut self, made: u64, paid: Usage, took: Duration) {
        if made == 0 {
            return;
        }
        let one = Each { seconds: took.as_secs_f64() / made as f64, ..Each::of(made, paid) };
        self.first.get_or_insert(one);
        self.dearest.raise(one);
        // A few rollouts alone say nothing of the pace of many at once.
        if made >= self.concurrency as u64 {
            self.dearest.seconds = self.dearest.seconds.max(one.seconds);
        }
    }

    /// Expects what rollouts under prompts will cost that are longer than the original's, before they are made.
    pub(crate) fn expect(&mut self, original: &Prompts, jobs: &[RolloutJob], price: Option<Price>) {
        let Some(first) = self.first else { return };
        let mut seen = HashSet::new();
        for job in jobs.iter().filter(|job| seen.insert(Arc::as_ptr(&job.prompts))) {
            let longer = job
                .prompts
                .iter()
                .map(|(path, prompt)| bytes(prompt).saturating_sub(original.get(path).map_or(0, bytes)));
            let tokens = (longer.sum::<usize>() / BYTES_OF_A_TOKEN) as u64;
            let money = price.map_or(Money::ZERO, |price| price.of(tokens, 0));
            self.dearest.raise(Each {
                prompt_tokens: first.prompt_tokens + tokens as f64,
                nanos: first.nanos + money.as_nanos() as f64,
                ..Each::default()
            });
        }
    }

    /// Notes what rollouts said they cost, prompts by prompts: a batch may hold cheap and dear ones.
    pub(crate) fn note_traces(&mut self, jobs: &[RolloutJob], traces: &[Option<Arc<Trace>>]) {
        let mut by_prompts: HashMap<usize, (u64, Usage)> = HashMap::new();
        for (job, trace) in jobs.iter().zip(traces).filter_map(|(job, trace)| Some((job, trace.as_ref()?))) {
            let (made, usage) = by_prompts.entry(Arc::as_ptr(&job.prompts).addr()).or_default();
            *made += 1;
            *usage += trace.usage;
        }
        for (made, usage) in by_prompts.into_values().filter(|(made, _)| *made >= FEWEST) {
            self.dearest.raise(Each::of(made, usage));
        }
    }

    /// What is left of a budget beside that. Calls and rollouts are the run's alone. `largest` is the most that one
    /// request may cost, for which there has to be room up to the last one.
    pub(crate) fn taken_from(&self, budget: Budget, largest: Usage) -> Budget {
        let Some(first) = self.first else { return budget };
        let sum = |of: fn(&Each) -> f64| {
            let (original, winner) = (of(&first), of(&self.dearest).max(of(&first)));
            self.rollouts as f64 * (original + winner) / 2.0
        };
        let all = |of: fn(&Each) -> f64| (MARGIN * sum(of)).ceil() as u64;
        let prompt = all(|each| each.prompt_tokens).saturating_add(largest.prompt_tokens);
        let completion = all(|each| each.completion_tokens).saturating_add(largest.completion_tokens);
        let nanos = all(|each| each.nanos).saturating_add(largest.money.unwrap_or_default().as_nanos());
        let rest = |limit: Option<u64>, kept: u64| limit.map(|limit| limit.saturating_sub(kept));
        let mut left = budget;
        left.prompt_tokens = rest(budget.prompt_tokens, prompt);
        left.completion_tokens = rest(budget.completion_tokens, completion);
        left.tokens = rest(budget.tokens, prompt.saturating_add(completion));
        left.money = budget.money.map(|money| money.saturating_sub(Money::from_nanos(nanos)));
        let round = self.concurrency as f64 * first.seconds.max(self.dearest.seconds);
        let time = Duration::try_from_secs_f64(MARGIN_OF_TIME * sum(|each| each.seconds) + round);
        left.wall_time = budget.wall_time.map(|limit| limit.saturating_sub(time.unwrap_or(Duration::MAX)));
        left
    }
}

/// How long what a prompt adds to a request is.
fn bytes(prompt: &Prompt) -> usize {
    let fields = prompt.demos.iter().flat_map(|demo| &demo.fields);
    let demos = fields.map(|(name, value)| name.len() + shown_bytes(value) + BYTES_OF_A_FIELD);
    prompt.instruction.len() + demos.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_test_takes_is_kept_at_the_pace_and_the_consumption_seen() {
        let budget = Budget::calls(500).with_tokens(10_000).with_wall_time(Duration::from_secs(60));
        let largest = Usage::call(100, 100);
        let mut reserve = Reserve::of(20, 8);
        assert_eq!(reserve.taken_from(budget, largest), budget, "nothing is known before the first batch");
        // 10 rollouts of 30 tokens and a tenth of a second each.
        reserve.note(10, Usage::call(200, 100), Duration::from_secs(1));
        let left = reserve.taken_from(budget, largest);
        // Each of two sums is rounded up.
        assert_eq!((left.calls, left.tokens), (Some(500), Some(10_000 - 662 - 200)));
        assert_eq!(left.wall_time, Some(Duration::from_millis(56_200)));
        // Dearer prompts make the winner's half dearer, and a slower pace makes it slower.
        reserve.note(10, Usage::call(500, 100), Duration::from_secs(3));
        let left = reserve.taken_from(budget, largest);
        assert_eq!(left.tokens, Some(10_000 - 992 - 200));
        assert_eq!(left.wall_time, Some(Duration::from_millis(51_600)));
        // Two rollouts alone say nothing of the pace.
        reserve.note(2, Usage::call(2, 2), Duration::from_secs(9));
        assert_eq!(reserve.taken_from(budget, largest), left);
    }
}
