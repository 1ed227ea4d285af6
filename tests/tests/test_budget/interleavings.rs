//! The ledger under every order in which requests may end: a plan says which ends next and how, so a failure
//! can be played again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt as _;
use futures_util::future::{join, select};
use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::lm::{LanguageModel, LmRequest, Message};
use promptopt_core::money::{Budget, Usage};
use promptopt_core::program::{
    CallContext, Cancellation, Evaluator, ModuleExt as _, Text, metric_fn, module_fn,
};
use promptopt_run::{Error, Ledger, RolloutJob, RolloutRunner};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::desk::{Desk, End};
use crate::support::{Batch, run};

/// Calls that a rollout may make.
const MAX_CALLS: u64 = 3;

/// Asks in one of a few manners, as often and as long as its inputs say.
fn asking() -> impl Evaluator {
    let run = |context: CallContext, _: Arc<[Text]>, inputs: Fields| async move {
        let number = |name: &str| inputs[name].as_u64().unwrap_or_default() as usize;
        let ask = |length: usize| {
            let text = format!("{}{}", number("n"), "x".repeat(length));
            context.complete(LmRequest::new(vec![Message::user(text)]))
        };
        let (calls, length) = (number("calls"), number("length"));
        match number("manner") {
            0 => {
                for _ in 0..calls {
                    ask(length).await?;
                }
            }
            1 => {
                let (one, two) = join(ask(length), ask(length * 3)).await;
                // A program may go on after a failure.
                one.or(two)?;
            }
            // Whoever comes second is dropped.
            2 => drop(select(Box::pin(ask(length)), Box::pin(ask(length))).await),
            _ => {
                drop(ask(length * 2).now_or_never());
                ask(length).await?;
            }
        }
        Ok(Prediction::default())
    };
    module_fn("asking", [], run)
        .with_calls_per_rollout(MAX_CALLS)
        .with_metric(metric_fn(|_: &Example, _: &Prediction| true))
}

/// Remembers whether it was woken.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What happens next, where nothing goes on by itself.
#[derive(Debug, Clone)]
enum Next {
    /// The n-th open request ends.
    Ends(usize, End),
    /// The n-th asks for another attempt.
    Retries(usize),
    /// The run is cancelled.
    Cancelled,
    /// The future of the batch is dropped.
    Dropped,
}

fn plans() -> impl Strategy<Value = Vec<Next>> {
    let end = prop_oneof![
        4 => (0..=100_u64).prop_map(End::Reply),
        1 => Just(End::Silent),
        1 => Just(End::Refused),
        1 => Just(End::Broken),
        1 => Just(End::TimedOut),
    ];
    let next = prop_oneof![
        60 => (any::<usize>(), end).prop_map(|(which, end)| Next::Ends(which, end)),
        15 => any::<usize>().prop_map(Next::Retries),
        1 => Just(Next::Cancelled),
        1 => Just(Next::Dropped),
    ];
    prop::collection::vec(next, 0..60)
}

/// Any limits together, each between nothing and more than a batch takes.
fn budgets() -> impl Strategy<Value = Budget> {
    let limit = |most: u64| prop::option::weighted(0.4, 0..most);
    (limit(40), limit(12_000), limit(1_500), limit(14_000), limit(2_000_000)).prop_map(
        |(calls, prompt_tokens, completion_tokens, tokens, money)| {
            let mut budget = Budget::default();
            budget.calls = calls;
            budget.prompt_tokens = prompt_tokens;
            budget.completion_tokens = completion_tokens;
            budget.tokens = tokens;
            budget.money = money.map(promptopt_core::money::Money::from_nanos);
            budget
        },
    )
}

/// Rollouts: how many calls, how long, in which manner.
fn rollouts(manners: u64) -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    prop::collection::vec((1..=MAX_CALLS + 1, 0..200_u64, 0..manners), 1..14)
}

fn jobs(rollouts: &[(u64, u64, u64)]) -> Vec<RolloutJob> {
    let job = |(n, (calls, length, manner)): (usize, &(u64, u64, u64))| {
        let fields = [("n", n as u64), ("calls", *calls), ("length", *length), ("manner", *manner)];
        let example = Example::new(fields, ["n", "calls", "length", "manner"]);
        RolloutJob::new(Arc::default(), Arc::new(example))
    };
    rollouts.iter().enumerate().map(job).collect()
}

/// What came of a batch; `None` where it was dropped.
type Played = (Option<Result<Batch, Error>>, Arc<Ledger>, Arc<Desk>);

/// Runs a batch, with one event after the other as the plan says, and checks the books after each. Where the
/// plan ends, the oldest request gets its reply.
fn play(
    budget: Budget,
    rollouts: &[(u64, u64, u64)],
    concurrency: usize,
    plan: impl IntoIterator<Item = Next>,
) -> Result<Played, TestCaseError> {
    let program = asking();
    let (ledger, desk, cancellation) =
        (Arc::new(Ledger::new(budget)), Arc::new(Desk::default()), Cancellation::new());
    let runner = RolloutRunner::new(&program, Arc::clone(&desk) as Arc<dyn LanguageModel>)
        .concurrency(concurrency)
        .max_errors(None)
        .ledger(Arc::clone(&ledger))
        .cancellation(cancellation.clone());
    let jobs = jobs(rollouts);
    let mut batch = Some(Box::pin(run(&runner, &jobs)));
    let bell = Arc::new(Bell(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&bell));
    let mut plan = plan.into_iter();
    let ended = loop {
        desk.check(&ledger).map_err(TestCaseError::fail)?;
        let Some(future) = &mut batch else { break None };
        if bell.0.swap(false, Ordering::SeqCst) {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => break Some(result),
                Poll::Pending => continue,
            }
        }
        match plan.next().unwrap_or(Next::Ends(0, End::Reply(50))) {
            Next::Cancelled => cancellation.cancel(),
            Next::Dropped => batch = None,
            Next::Retries(which) => desk.retry(which),
            Next::Ends(which, end) => {
                prop_assert!(desk.end(which, end), "nothing is under way, and the batch does not end");
            }
        }
    };
    drop(batch);
    desk.check(&ledger).map_err(TestCaseError::fail)?;
    prop_assert_eq!(desk.under_way(), 0, "a request outlives its batch");
    prop_assert!(is_nothing(ledger.reserved()), "something stays reserved");
    desk.check_spending(&ledger).map_err(TestCaseError::fail)?;
    Ok((ended, ledger, desk))
}

/// Whether nothing is reserved, in whatever is limited.
pub(super) fn is_nothing(reserved: Usage) -> bool {
    reserved.with_money(reserved.money.filter(|money| money.as_nanos() > 0)) == Usage::default()
}

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

#[test]
fn no_order_of_replies_failures_retries_and_drops_overshoots_or_leaves_anything_reserved() {
    let seen = std::cell::Cell::new([0_usize; 3]);
    TestRunner::new(config(1500))
        .run(&(budgets(), rollouts(4), 1..9_usize, plans()), |(budget, rollouts, concurrency, plan)| {
            let (ended, ledger, _) = play(budget, &rollouts, concurrency, plan)?;
            let mut counts = seen.get();
            match ended {
                None => counts[0] += 1,
                Some(_) if ledger.exhausted().is_some() => counts[1] += 1,
                Some(_) => counts[2] += 1,
            }
            seen.set(counts);
            Ok(())
        })
        .unwrap();
    // Each end was met: dropped, out of budget, done.
    assert!(seen.get().iter().all(|count| *count > 20), "{:?}", seen.get());
}

#[test]
fn the_order_of_replies_does_not_decide_what_a_budget_buys() {
    let strategy = (budgets(), prop::collection::vec((1..=MAX_CALLS, Just(40_u64), Just(0_u64)), 1..14));
    let orders = prop::collection::vec(any::<usize>(), 40);
    TestRunner::new(config(400))
        .run(&(strategy, 1..9_usize, orders), |((budget, rollouts), concurrency, order)| {
            let sum = |(ended, ledger, _): Played| {
                let batch = ended.unwrap().unwrap();
                let made: Vec<bool> = batch.traces.iter().map(Option::is_some).collect();
                (made, batch.stop, ledger.exhausted(), ledger.spending())
            };
            let one_by_one = sum(play(budget, &rollouts, 1, [])?);
            let in_any_order = order.into_iter().map(|which| Next::Ends(which, End::Reply(50)));
            prop_assert_eq!(sum(play(budget, &rollouts, concurrency, in_any_order)?), one_by_one);
            Ok(())
        })
        .unwrap();
}
