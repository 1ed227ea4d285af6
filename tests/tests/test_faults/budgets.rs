//! What the server would bill stays within the budget, whatever goes wrong.

use promptopt_core::money::{Budget, Money};
use promptopt_run::StopReason;
use promptopt_testkit::{Answer, Fault, FaultPlan, Seen};

use super::support::{Setup, Which};

/// Faults that may be billed, and one that may not; the slow ones are left to other tests.
const FAULTS: [Fault; 5] =
    [Fault::Unavailable, Fault::Cut, Fault::TruncatedJson, Fault::WebPage, Fault::EndlessBody];

/// Runs every optimizer under `budget`, at several concurrencies.
async fn check(budget: Budget, faults: &[Fault], share: f64, seed: u64) {
    for concurrency in [1, 8, 32] {
        for which in Which::ALL {
            let plan = FaultPlan::new(seed).with(faults.iter().copied(), share);
            let setup = Setup { seed, concurrency, budget: Some(budget), ..Setup::new(plan) };
            let run = setup.run(which).await;
            let billed = run.billed();
            let what = format!("{which:?} at {concurrency}, seed {seed}: {billed:?} of {budget:?}");
            assert!(billed.calls <= budget.calls.unwrap_or(u64::MAX), "{what}");
            assert!(billed.total_tokens() <= budget.tokens.unwrap_or(u64::MAX), "{what}");
            assert!(budget.money.is_none_or(|limit| billed.money.unwrap_or_default() <= limit), "{what}");
            // It is the budget that ended the run, and there was something to overshoot it with.
            match &run.result {
                Ok(outcome) => {
                    assert!(outcome.stop == StopReason::Budget && outcome.exhausted.is_some(), "{what}")
                }
                Err(error) => assert!(error.contains("the budget is too small"), "{what}: {error}"),
            }
            let in_vain = |seen: &&Seen| seen.may_be_billed() && seen.answer != Answer::Reply;
            assert!(run.log.iter().filter(in_vain).count() >= 5, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_budget_of_calls_is_overshot() {
    for (calls, seed) in [(60, 0), (80, 1), (97, 2)] {
        check(Budget::calls(calls), &FAULTS, 0.4, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_budget_of_tokens_or_money_is_overshot() {
    let tokens = |tokens: u64| Budget::default().with_tokens(tokens);
    let money = |nanos: u64| Budget::default().with_money(Money::from_nanos(nanos));
    for (budget, seed) in
        [(tokens(40_000), 0), (tokens(60_000), 3), (money(16_000_000), 0), (money(26_400_000), 7)]
    {
        check(budget, &FAULTS[2..], 0.6, seed).await;
    }
}
