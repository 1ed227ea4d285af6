//! A run that meets faults ends as one that does not.

use std::collections::BTreeSet;
use std::time::Duration;

use promptopt_run::Outcome;
use promptopt_testkit::{Answer, Fault, FaultPlan};
use serde_json::Value;

use super::support::{Run, Setup, Which};
use crate::support::text;

/// Timeout of runs that meet stalls.
const SHORT: Duration = Duration::from_millis(400);

const STALLS: [Fault; 2] = [Fault::SlowFirstByte, Fault::SlowBody];

/// The outcome without what counts attempts: calls, tokens and money. Everything else is to be the same.
fn without_attempts(outcome: &Outcome) -> String {
    let mut outcome = serde_json::to_value(outcome).unwrap();
    for role in ["task", "prompt"] {
        outcome["spending"][role] = Value::Null;
    }
    remove(&mut outcome, &["calls_so_far", "calls_at_discovery"]);
    serde_json::to_string_pretty(&outcome).unwrap()
}

fn remove(value: &mut Value, names: &[&str]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, names)),
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|value| remove(value, names));
        }
        _ => {}
    }
}

fn faults_met(run: &Run) -> BTreeSet<String> {
    let fault = |answer: Answer| match answer {
        Answer::Fault(fault) => Some(format!("{fault:?}")),
        _ => None,
    };
    run.log.iter().filter_map(|seen| fault(seen.answer)).collect()
}

async fn clean(which: Which, seed: u64) -> Run {
    let run = Setup { seed, ..Setup::new(FaultPlan::new(0)) }.run(which).await;
    assert!(faults_met(&run).is_empty() && run.outcome().failures.errors() == 0);
    assert_eq!(run.outcome().spending.total(), run.billed());
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_any_one_fault_the_outcome_is_that_without() {
    let clean = clean(Which::Miprov2, 0).await;
    for fault in Fault::ALL {
        let stalls = STALLS.contains(&fault);
        let plan = FaultPlan::new(3).with([fault], if stalls { 0.05 } else { 0.3 });
        let setup = Setup::new(plan);
        let setup = if stalls { Setup { timeout: SHORT, ..setup } } else { setup };
        let run = setup.run(Which::Miprov2).await;
        let met = run.log.iter().filter(|seen| seen.answer == Answer::Fault(fault)).count();
        assert!(met >= 3, "{fault:?}: {met}");

        let (outcome, expected) = (run.outcome(), clean.outcome());
        assert_eq!(without_attempts(outcome), without_attempts(expected), "{fault:?}");
        let (spent, billed) = (outcome.spending.total(), run.billed());
        if fault.is_refusal() {
            assert_eq!(text(outcome), text(expected), "{fault:?}: a refusal costs nothing");
        } else if stalls {
            // A machine under load may be too slow once more, before the server sees the request.
            assert!(spent.calls >= billed.calls && spent.money >= billed.money, "{fault:?}");
        } else {
            // To the token: the prompt is read again.
            assert_eq!(spent, billed, "{fault:?}");
            assert_eq!(spent.calls, clean.billed().calls + met as u64, "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_faults_together_every_optimizer_ends_as_without() {
    let quick = Fault::ALL.into_iter().filter(|fault| !STALLS.contains(fault));
    for (which, seed, concurrency) in [
        (Which::Miprov2, 0, 1),
        (Which::Miprov2, 1, 32),
        (Which::Copro, 2, 8),
        (Which::Gepa, 3, 8),
        (Which::Gepa, 4, 32),
    ] {
        let clean = clean(which, seed).await;
        let plan = FaultPlan::new(seed).with(quick.clone(), 0.35).with(STALLS, 0.02);
        let run = Setup { seed, concurrency, timeout: SHORT, ..Setup::new(plan) }.run(which).await;
        let met = faults_met(&run);
        assert!(met.len() >= 10, "{met:?}");
        let (outcome, expected) = (run.outcome(), clean.outcome());
        assert_eq!(without_attempts(outcome), without_attempts(expected), "{which:?} at {concurrency}");
        assert!(outcome.spending.total().calls >= run.billed().calls, "{which:?} at {concurrency}");
    }
}
