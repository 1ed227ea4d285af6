//! What happens to a run when provider, metric, store or user end it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mockall::Sequence;
use mockall::predicate::{always, function};
use promptopt_core::data::{Example, Prediction, Score};
use promptopt_core::lm::{LmError, LmReply, lm_fn};
use promptopt_core::money::{Budget, Usage};
use promptopt_core::program::{Cancellation, ModuleExt as _, metric_fn};
use promptopt_core::trace::FailureKind;
use promptopt_run::{Error, Ledger, RolloutJob, RolloutRunner, StopReason};

use crate::support::{
    Asker, Batch, MockJudge, MockModel, MockStore, Restless, Shelf, always_right, jobs, question, run,
};

#[tokio::test]
async fn a_refused_key_ends_the_run_at_once() {
    let program = Asker::new(1).with_metric(always_right());
    let mut model = MockModel::known();
    model
        .expect_complete()
        .times(1)
        .returning(|_, _| Err(LmError::Unauthorized { status: 401, message: "no such key".into() }));
    let runner = RolloutRunner::new(&program, Arc::new(model)).concurrency(1);
    let batch = run(&runner, &jobs(10)).await.unwrap();
    assert!(
        matches!(&batch.stop, Some(StopReason::Provider { message }) if message.contains("no such key")),
        "{:?}",
        batch.stop
    );
    assert_eq!(batch.traces.iter().flatten().count(), 1);
}

#[tokio::test]
async fn a_passing_failure_of_the_provider_is_no_evidence_and_is_tried_again() {
    let program = Asker::new(1).with_metric(always_right());
    let mut model = MockModel::known();
    let mut order = Sequence::new();
    model.expect_complete().times(1).in_sequence(&mut order).returning(|_, _| {
        Err(LmError::Server { status: 503, message: "overloaded".into(), retry_after: None })
    });
    model
        .expect_complete()
        .times(1)
        .in_sequence(&mut order)
        .returning(|_, _| Ok(LmReply::text("HERE", Usage::call(1, 1))));
    let runner =
        RolloutRunner::new(&program, Arc::new(model)).store(Arc::new(Shelf::default())).max_errors(Some(3));
    let failed = runner.run(&jobs(1)).await.unwrap();
    assert_eq!(failed[0].evidence(), None);
    let again = runner.run(&jobs(1)).await.unwrap();
    assert_eq!(again[0].evidence(), Some(1.0));
    assert_eq!(runner.totals().failures.provider, 1);
}

#[tokio::test]
async fn more_errors_than_allowed_end_the_run() {
    let check = async |max_errors: Option<u64>, expected: usize| {
        let broken = metric_fn(|_: &Example, _: &Prediction| f64::NAN);
        let program = Asker::new(1).with_metric(broken);
        let runner =
            RolloutRunner::new(&program, Arc::new(Restless::default())).concurrency(1).max_errors(max_errors);
        let batch = run(&runner, &jobs(6)).await.unwrap();
        assert_eq!(batch.traces.iter().flatten().count(), expected, "{max_errors:?}");
        let is_full = expected == 6;
        assert_eq!(matches!(batch.stop, Some(StopReason::MaxErrors { .. })), !is_full, "{max_errors:?}");
    };
    check(Some(0), 1).await;
    check(Some(2), 3).await;
    check(None, 6).await;
}

/// The run is cancelled at a call, and later calls wait for ever.
async fn cancelled_at(call: usize, calls_each: u64, concurrency: usize) -> (Batch, Arc<Ledger>) {
    let flag = Cancellation::new();
    let program = Asker::new(calls_each).with_metric(always_right());
    let ledger = Arc::new(Ledger::new(Budget::calls(1000)));
    let (cancelled, calls) = (flag.clone(), AtomicUsize::new(0));
    let model = lm_fn("canceller", move |_| {
        let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
        if number == call {
            cancelled.cancel();
        }
        async move {
            if number > call {
                std::future::pending::<()>().await;
            }
            Ok(LmReply::text("", Usage::call(1, 1)))
        }
    });
    let runner = RolloutRunner::new(&program, Arc::new(model))
        .concurrency(concurrency)
        .ledger(Arc::clone(&ledger))
        .cancellation(flag);
    let jobs: Vec<_> = (0..20)
        .map(|number| RolloutJob::new(Arc::default(), question(&format!("q{number}"), calls_each)))
        .collect();
    (run(&runner, &jobs).await.unwrap(), ledger)
}

#[tokio::test]
async fn a_cancelled_run_returns_and_gives_its_reservations_back() {
    for concurrency in [1, 8] {
        let (batch, ledger) = cancelled_at(5, 1, concurrency).await;
        assert_eq!(batch.stop, Some(StopReason::Cancelled));
        assert!(batch.traces.iter().flatten().count() <= 5, "concurrency {concurrency}");
        assert_eq!(ledger.remaining(), Some(1000 - ledger.spent()));
        assert!(ledger.spent() <= 5);
    }
}

#[tokio::test]
async fn a_rollout_that_meets_the_cancellation_is_not_a_failure_of_the_provider() {
    let (batch, ledger) = cancelled_at(1, 3, 1).await;
    assert_eq!(batch.stop, Some(StopReason::Cancelled));
    assert_eq!(batch.traces.iter().flatten().count(), 0);
    assert_eq!((ledger.spent(), ledger.remaining()), (1, Some(999)));
}

#[tokio::test]
async fn a_metric_that_gives_no_number_is_a_failure_and_not_a_zero() {
    let check = async |score: fn() -> anyhow::Result<Score>, words: &str| {
        let mut judge = MockJudge::new();
        judge.expect_score().times(1).returning(move |_, _, _| score());
        let program = Asker::new(1).with_metric(judge);
        let store = Arc::new(Shelf::default());
        let runner =
            RolloutRunner::new(&program, Arc::new(Restless::default())).store(Arc::clone(&store) as _);
        let traces = runner.run(&jobs(1)).await.unwrap();
        let trace = &traces[0];
        let failure = trace.error.as_ref().unwrap();
        assert_eq!(failure.kind, FailureKind::Metric);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert_eq!((trace.score.as_ref(), trace.evidence()), (None, None));
        // The answer itself is kept for whoever looks for the reason.
        assert!(trace.prediction.is_some());
        assert_eq!(runner.totals().failures.metric, 1);
        assert!(store.0.lock().unwrap().is_empty(), "the metric may work another time");
    };
    check(|| Ok(Score::new(f64::NAN)), "NaN").await;
    check(|| Ok(Score::new(f64::INFINITY)), "inf").await;
    check(|| Ok(Score::new(f64::NEG_INFINITY)), "-inf").await;
    check(|| anyhow::bail!("the judge is out"), "the judge is out").await;
}

#[tokio::test]
async fn a_metric_judges_each_answered_rollout_once_with_its_own_example() {
    let mut judge = MockJudge::new();
    for number in 0..4 {
        let asked = format!("question {number}");
        let shouted = asked.to_uppercase();
        judge
            .expect_score()
            .with(
                always(),
                function(move |example: &Example| example.get_str("question") == Some(&asked)),
                function(move |prediction: &Prediction| prediction.get_str("shout") == Some(&shouted)),
            )
            .times(1)
            .returning(move |_, _, _| Ok(Score::new(f64::from(number))));
    }
    let program = Asker::new(1).with_metric(judge);
    let runner = RolloutRunner::new(&program, Arc::new(Restless::default()));
    let traces = runner.run(&jobs(4)).await.unwrap();
    let scores: Vec<_> = traces.iter().map(|trace| trace.score_value().unwrap()).collect();
    assert_eq!(scores, [0.0, 1.0, 2.0, 3.0]);
}

#[tokio::test]
async fn a_metric_is_not_asked_about_what_was_not_answered() {
    let mut judge = MockJudge::new();
    judge.expect_score().never();
    let mut model = MockModel::known();
    model.expect_complete().returning(|_, _| Err(LmError::ContextLength { message: "too long".into() }));
    let program = Asker::new(1).with_metric(judge);
    let runner = RolloutRunner::new(&program, Arc::new(model));
    for trace in runner.run(&jobs(2)).await.unwrap() {
        // A prompt that does not fit the window is the prompt's own failure.
        assert_eq!(trace.evidence(), Some(0.0));
    }
}

#[tokio::test]
async fn a_store_that_fails_ends_the_run_with_its_words() {
    let program = Asker::new(1).with_metric(always_right());
    let check = async |store: MockStore, doing: &str| {
        let runner = RolloutRunner::new(&program, Arc::new(Restless::default())).store(Arc::new(store) as _);
        let error = run(&runner, &jobs(3)).await.unwrap_err();
        assert!(error.to_string().contains(doing), "{error}");
        let Error::Store { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.to_string(), "disk full");
    };
    let mut unreadable = MockStore::new();
    unreadable.expect_get().times(1).returning(|_| anyhow::bail!("disk full"));
    unreadable.expect_put().never();
    check(unreadable, "looking up").await;
    let mut unwritable = MockStore::new();
    unwritable.expect_get().returning(|_| Ok(None));
    unwritable.expect_put().with(always(), always()).times(1).returning(|_, _| anyhow::bail!("disk full"));
    check(unwritable, "keeping").await;
}
