//! Budgets are kept, timing does not show, and a run that is ended keeps what it found.

use promptopt_testkit::conformance::OutOfOrder;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::support::peaking;

#[tokio::test]
async fn the_same_seed_gives_the_same_outcome_at_any_concurrency() {
    let task = HiddenRules::new(6, 5);
    for ignoring in [false, true] {
        let mut outcomes = Vec::new();
        for concurrency in [1, 3, 32] {
            let model = if ignoring { task.model(5).ignoring_n() } else { task.model(5) };
            let mut module = program(Arc::new(OutOfOrder::new(model)));
            let optimizer = COPRO::builder().breadth(5).depth(2).concurrency(concurrency).seed(3).build();
            let outcome = optimizer.compile(&mut module, task.examples(80)).await.unwrap();
            outcomes.push((text(&outcome), module.candidate()));
        }
        assert_eq!(outcomes[0], outcomes[1]);
        assert_eq!(outcomes[0], outcomes[2]);
    }
}

#[tokio::test]
async fn as_many_requests_are_under_way_as_are_allowed() {
    let task = HiddenRules::new(6, 5);
    for concurrency in [1, 16] {
        let (model, peak) = peaking(OutOfOrder::new(task.model(5).ignoring_n()));
        let optimizer = COPRO::builder().breadth(4).depth(1).concurrency(concurrency).build();
        optimizer.compile(&mut program(model), task.examples(60)).await.unwrap();
        assert_eq!(peak.load(Ordering::SeqCst), concurrency as u64);
    }
}

#[test]
fn no_budget_is_overshot_and_it_means_the_same_at_any_concurrency() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let task = HiddenRules::new(6, 5);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let rollouts = prop::option::of(0_u64..300);
    runner
        .run(&(0_u64..600, rollouts, any::<bool>(), any::<bool>()), |(budget, rollouts, racing, ignoring)| {
            let mut ends = Vec::new();
            for concurrency in [1, 32] {
                let model = if ignoring { task.model(5).ignoring_n() } else { task.model(5) };
                let model = Arc::new(OutOfOrder::new(model));
                let judged = Arc::new(AtomicU64::new(0));
                let counter = Arc::clone(&judged);
                let metric = metric_fn(move |example: &Example, prediction: &Prediction| {
                    counter.fetch_add(1, Ordering::SeqCst);
                    example.get("answer") == prediction.get("answer")
                });
                let mut module = toy::answerer().with_model(model.clone()).with_metric(metric);
                let optimizer = COPRO::builder()
                    .breadth(4)
                    .depth(2)
                    .concurrency(concurrency)
                    .racing(racing)
                    .max_calls(budget)
                    .maybe_max_metric_calls(rollouts)
                    .build();
                let result = runtime.block_on(optimizer.compile(&mut module, task.examples(80)));
                prop_assert!(model.calls() <= budget, "{} of {budget}", model.calls());
                let judged = judged.load(Ordering::SeqCst);
                prop_assert!(rollouts.is_none_or(|most| judged <= most), "{judged} of {rollouts:?}");
                if let Ok(outcome) = &result {
                    prop_assert_eq!(outcome.spending.total().calls, model.calls());
                    prop_assert!(outcome.selected.mean >= outcome.baseline.mean);
                    // Of 48 rows as many as a sixth of the calls pays for, but 30 at least.
                    let rows = if racing { 48.min(30.max(budget as usize / 6)) } else { 48 };
                    prop_assert_eq!(outcome.selected.n, rows);
                }
                ends.push(result.map(|outcome| text(&outcome)).map_err(|error| error.to_string()));
            }
            prop_assert_eq!(&ends[0], &ends[1]);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_budget_for_a_part_of_the_run_still_brings_full_evaluations() {
    let task = HiddenRules::new(6, 5);
    for budget in [250, 300, 400] {
        let optimizer = COPRO::builder().max_calls(budget).build();
        let outcome = compile(&optimizer, task.model(5), task.examples(100)).await.unwrap();
        let full = outcome.trials.iter().filter(|trial| trial.kind == TrialKind::FULL).count();
        assert!(full >= 1, "{budget}: {:?}", outcome.trials);
        assert!(outcome.improved(), "{budget}");
    }
}

#[tokio::test]
async fn a_budget_that_ends_the_run_is_the_reason() {
    let task = HiddenRules::new(6, 5);
    let optimizer = COPRO::builder().max_calls(40).build();
    let outcome = compile(&optimizer, task.model(5), task.examples(100)).await.unwrap();
    assert_eq!((outcome.stop, outcome.best), (StopReason::Budget, 0));
    assert!(outcome.spending.total().calls <= 40);

    let optimizer = COPRO::builder().max_metric_calls(150).build();
    let outcome = compile(&optimizer, task.model(5), task.examples(100)).await.unwrap();
    assert_eq!(outcome.stop, StopReason::Budget);
    assert!(outcome.spending.task.calls <= 150);
}

/// A rollout may take two calls and takes one, so two and a half evaluations are room for a second one.
#[tokio::test]
async fn a_small_budget_is_planned_at_what_rollouts_cost_so_far() {
    let task = HiddenRules::new(6, 5);
    let mut examples = task.examples(200);
    let selection = examples.split_off(100);
    let optimizer = COPRO::builder().max_calls(250).valset(selection).build();
    let outcome = compile(&optimizer, task.model(5), examples).await.unwrap();
    assert!(outcome.improved(), "{:?}", outcome.trials);
    let calls = outcome.spending.total().calls;
    assert!((201..=250).contains(&calls), "{calls}");
}

#[tokio::test]
async fn cancellation_ends_with_the_best_so_far() {
    let task = HiddenRules::new(6, 5);
    let cancellation = Cancellation::new();
    let (flag, trials) = (cancellation.clone(), AtomicU64::new(0));
    let observer = move |event: &Event| {
        if matches!(event, Event::Trial(_)) && trials.fetch_add(1, Ordering::SeqCst) == 4 {
            flag.cancel();
        }
    };
    let mut module = program(Arc::new(task.model(5)));
    let optimizer =
        COPRO::builder().breadth(6).observer(Arc::new(observer)).cancellation(cancellation).build();
    let outcome = optimizer.compile(&mut module, task.examples(80)).await.unwrap();
    assert_eq!(outcome.stop, StopReason::Cancelled);
    assert_eq!(depths(&outcome).len(), 1);
    assert!(outcome.improved(), "what was found until then is kept");
    assert_eq!(module.candidate().prompts, outcome.winner().unwrap().prompts);
}

#[tokio::test]
async fn cancelled_before_it_begins_it_says_so() {
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let optimizer = COPRO::builder().cancellation(cancellation).build();
    let error = compile(&optimizer, Stage::answering("no"), same_answer(20)).await.unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
}

#[tokio::test]
async fn never_worse_than_the_start_on_the_selection_set() {
    for seed in 0..6 {
        let task = HiddenRules::new(8, seed);
        let optimizer = COPRO::builder().breadth(4).depth(2).seed(seed).max_calls(250).build();
        let outcome = compile(&optimizer, task.model(seed), task.examples(70)).await.unwrap();
        assert!(outcome.selected.mean >= outcome.baseline.mean, "seed {seed}");
    }
}
