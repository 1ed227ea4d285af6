//! Time, on a clock of our own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::{Budget, Limit, Prices};
use promptopt_core::program::ModuleExt as _;
use promptopt_run::{Clock, Ledger, RolloutJob, RolloutRunner, StopReason};
use promptopt_testkit::{HiddenRules, SimulatedLm, around, toy};
use tokio::sync::Notify;

use crate::support::run;

/// A clock that goes on by a second with every call of the model.
#[derive(Default)]
struct Ticking {
    seconds: AtomicU64,
    ticked: Notify,
}

struct OnTicks(Arc<Ticking>);

impl Clock for OnTicks {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.seconds.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = Arc::clone(&self.0);
        let end = clock.seconds.load(Ordering::SeqCst) + duration.as_secs();
        async move {
            while clock.seconds.load(Ordering::SeqCst) < end {
                clock.ticked.notified().await;
            }
        }
        .boxed()
    }
}

/// Answers until the clock has gone so far, and from then on not at all.
fn slow(model: &Arc<SimulatedLm>, clock: &Arc<Ticking>, answers: u64) -> Arc<dyn LanguageModel> {
    let clock = Arc::clone(clock);
    Arc::new(around(Arc::clone(model), move |next, request| {
        let now = clock.seconds.fetch_add(1, Ordering::SeqCst) + 1;
        clock.ticked.notify_waiters();
        clock.ticked.notify_one();
        async move {
            if now > answers {
                std::future::pending::<()>().await;
            }
            next.complete(&request).await
        }
    }))
}

async fn made_within(seconds: u64, answers: u64, concurrency: usize) -> (usize, u64, Ledger) {
    let task = HiddenRules::new(6, 5);
    let clock = Arc::new(Ticking::default());
    let simulated = Arc::new(task.model(5));
    let model = slow(&simulated, &clock, answers);
    let budget = Budget::default().with_wall_time(Duration::from_secs(seconds));
    let ledger = Arc::new(Ledger::with(budget, Prices::new(), Arc::new(OnTicks(clock))));
    let program = toy::answerer().with_metric(toy::exact_answer());
    let runner = RolloutRunner::new(&program, model).concurrency(concurrency).ledger(Arc::clone(&ledger));
    let jobs: Vec<_> = task
        .examples(60)
        .into_iter()
        .map(|example| RolloutJob::new(Arc::default(), Arc::new(example)))
        .collect();
    let batch = run(&runner, &jobs).await.unwrap();
    assert_eq!(batch.stop, Some(StopReason::Budget));
    assert_eq!(ledger.exhausted(), Some(Limit::WallTime));
    let again = run(&runner, &jobs).await.unwrap();
    assert_eq!((again.made(), again.stop), (0, Some(StopReason::Budget)));
    let made = batch.made();
    drop(runner);
    (made, simulated.calls(), Arc::into_inner(ledger).unwrap())
}

#[tokio::test]
async fn nothing_is_begun_once_the_time_is_up() {
    for concurrency in [1, 8] {
        let (made, calls, ledger) = made_within(10, u64::MAX, concurrency).await;
        assert!((1..=10 + concurrency).contains(&made), "{made} at concurrency {concurrency}");
        assert!(calls <= 10 + concurrency as u64);
        assert_eq!(ledger.spent(), calls);
    }
}

#[tokio::test]
async fn what_is_under_way_is_cut_off_and_counts_as_spent() {
    let (made, calls, ledger) = made_within(8, 4, 8).await;
    assert_eq!((made, calls), (4, 4));
    // Those that had been sent then may be billed.
    assert!((5..=12).contains(&ledger.spent()), "{}", ledger.spent());
}
