//! Strategies one after the other in one run.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::money::{Budget, Money};

use crate::{Error, Forecast, Halt, Run, RunOptions, Setup, StopReason, Strategy};

/// Strategies one after the other in one run: each begins with the best prompts so far, and all share budget,
/// board and store, so that nothing is bought twice. The options of the run are those of the first.
///
/// Of what is left of a budget each strategy gets an equal share with those behind it; what it leaves goes to them. Time
/// is not shared out: each may take all that is left of it.
#[derive(Clone)]
pub struct Chain {
    name: String,
    steps: Vec<Arc<dyn Strategy>>,
}

impl Chain {
    /// A chain of strategies, in their order.
    pub fn new(steps: impl IntoIterator<Item = Arc<dyn Strategy>>) -> Self {
        let steps: Vec<_> = steps.into_iter().collect();
        let names: Vec<&str> = steps.iter().map(|step| step.name()).collect();
        Self { name: names.join(" then "), steps }
    }
}

#[async_trait]
impl Strategy for Chain {
    fn name(&self) -> &str {
        &self.name
    }

    fn options(&self) -> RunOptions {
        self.steps.first().map(|step| step.options()).unwrap_or_default()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        for (at, step) in self.steps.iter().enumerate() {
            let behind = self.steps.len() - at - 1;
            run.begin_part(step.name(), share(run, behind as u64 + 1));
            match step.search(run).await {
                Ok(()) => {}
                // It used up its share; those behind have theirs.
                Err(Halt::Stopped(StopReason::Budget | StopReason::NoImprovement { .. })) if behind > 0 => {}
                Err(halt) => return Err(halt),
            }
        }
        Ok(())
    }

    fn prepare(&self, setup: &mut Setup<'_>) -> Result<(), Error> {
        self.steps.iter().try_for_each(|step| step.prepare(setup))
    }

    fn forecast(&self, run: &Run<'_>) -> Option<Forecast> {
        let forecasts = self.steps.iter().map(|step| step.forecast(run));
        let stages = forecasts.enumerate().map(|(at, forecast)| {
            // The original is evaluated once.
            forecast.map(|forecast| forecast.stages.into_iter().skip(usize::from(at > 0)))
        });
        let stages: Option<Vec<_>> = stages.collect();
        let forecast = Forecast { stages: stages?.into_iter().flatten().collect(), max_calls: None };
        Some(forecast.within(run.options().limits()))
    }
}

/// The limits of the next of `steps` strategies: what is spent, and an equal share of the rest.
fn share(run: &Run<'_>, steps: u64) -> Budget {
    let (limits, spent) = (run.options().limits(), run.ledger().spending());
    let part = |limit: Option<u64>, spent: u64| {
        limit.map(|limit| spent + limit.saturating_sub(spent).div_ceil(steps.max(1)))
    };
    let nanos = spent.money.unwrap_or_default().as_nanos();
    let mut budget = Budget::default();
    budget.calls = part(limits.calls, spent.calls);
    budget.prompt_tokens = part(limits.prompt_tokens, spent.prompt_tokens);
    budget.completion_tokens = part(limits.completion_tokens, spent.completion_tokens);
    budget.tokens = part(limits.tokens, spent.total_tokens());
    budget.money = part(limits.money.map(Money::as_nanos), nanos).map(Money::from_nanos);
    budget.rollouts = part(limits.rollouts, run.ledger().rollouts());
    budget.wall_time = limits.wall_time;
    budget
}
