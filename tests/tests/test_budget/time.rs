//! Time, on a clock of our own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use promptopt_core::{
    Budget, Clock, LanguageModel, Ledger, Limit, LmError, LmReply, LmRequest, ModuleExt as _, Prices,
    RolloutJob, RolloutRunner, StopReason,
};
use promptopt_testkit::{HiddenRules, SimulatedLm, toy};
use tokio::sync::Notify;

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
struct Slow {
    model: SimulatedLm,
    clock: Arc<Ticking>,
    answers: u64,
}

#[async_trait]
impl LanguageModel for Slow {
    fn id(&self) -> String {
        self.model.id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let now = self.clock.seconds.fetch_add(1, Ordering::SeqCst) + 1;
        self.clock.ticked.notify_waiters();
        self.clock.ticked.notify_one();
        if now > self.answers {
            std::future::pending::<()>().await;
        }
        self.model.complete(request).await
    }
}

async fn made_within(seconds: u64, answers: u64, concurrency: usize) -> (usize, u64, Ledger) {
    let task = HiddenRules::new(6, 5);
    let clock = Arc::new(Ticking::default());
    let model = Arc::new(Slow { model: task.model(5), clock: Arc::clone(&clock), answers });
    let budget = Budget { wall_time: Some(Duration::from_secs(seconds)), ..Budget::default() };
    let ledger = Arc::new(Ledger::with(budget, Prices::new(), Arc::new(OnTicks(clock))));
    let program = toy::answerer().with_metric(toy::exact_answer());
    let runner = RolloutRunner::new(&program, Arc::clone(&model) as Arc<dyn LanguageModel>)
        .concurrency(concurrency)
        .ledger(Arc::clone(&ledger));
    let jobs: Vec<_> = task
        .examples(60)
        .into_iter()
        .map(|example| RolloutJob::new(Arc::default(), Arc::new(example)))
        .collect();
    let batch = runner.run(&jobs).await.unwrap();
    assert_eq!(batch.stop, Some(StopReason::Budget));
    assert_eq!(ledger.exhausted(), Some(Limit::WallTime));
    let again = runner.run(&jobs).await.unwrap();
    assert_eq!((again.stop, again.traces.iter().flatten().count()), (Some(StopReason::Budget), 0));
    let made = batch.traces.iter().flatten().count();
    drop(runner);
    (made, model.model.calls(), Arc::into_inner(ledger).unwrap())
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
