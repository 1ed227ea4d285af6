//! What every stage relies on when it has rollouts made: order, budget, store, failures.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

mod failures;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use promptopt_core::lm::{LmReply, lm_fn};
use promptopt_core::money::{Budget, Usage};
use promptopt_core::program::{Evaluator, Module, ModuleExt as _};
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_run::{Ledger, RolloutJob, RolloutRunner, StopReason};
use proptest::prelude::*;

use support::{Asker, Restless, Shelf, always_right, block_on, jobs, question, run};

#[tokio::test]
async fn traces_come_in_the_order_of_the_jobs_whatever_is_answered_first() {
    let program = Asker::new(1).with_metric(always_right());
    let jobs = jobs(40);
    let mut batches = Vec::new();
    for concurrency in [1, 32] {
        let model = Arc::new(Restless::default());
        let runner = RolloutRunner::new(&program, Arc::clone(&model) as _).concurrency(concurrency);
        let traces = runner.run(&jobs).await.unwrap();
        let asked: Vec<_> = jobs.iter().map(|job| job.example.get_str("question").unwrap()).collect();
        let answered: Vec<_> =
            traces.iter().map(|trace| trace.example.get_str("question").unwrap()).collect();
        assert_eq!(answered, asked);
        assert_eq!(*model.answered.lock().unwrap() == asked, concurrency == 1, "the model was not restless");
        batches.push(traces);
    }
    assert_eq!(batches[0], batches[1]);
}

#[tokio::test]
async fn no_more_rollouts_are_under_way_than_allowed() {
    let program = Asker::new(1).with_metric(always_right());
    for concurrency in [1, 3] {
        let most = Arc::new(AtomicUsize::new(0));
        let (noted, inside) = (Arc::clone(&most), Arc::new(AtomicUsize::new(0)));
        let crowded = lm_fn("crowded", move |_| {
            let (most, inside) = (Arc::clone(&noted), Arc::clone(&inside));
            async move {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok(LmReply::text("", Usage::call(1, 1)))
            }
        });
        let runner = RolloutRunner::new(&program, Arc::new(crowded)).concurrency(concurrency);
        runner.run(&jobs(20)).await.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), concurrency);
    }
}

#[tokio::test]
async fn equal_jobs_are_made_once_and_other_samples_are_other_jobs() {
    let program = Asker::new(1).with_metric(always_right());
    let model = Arc::new(Restless::default());
    let runner = RolloutRunner::new(&program, Arc::clone(&model) as _);
    let mut jobs = [jobs(2), jobs(2)].concat();
    jobs.push(jobs[0].clone().with_sample(7));
    let traces = runner.run(&jobs).await.unwrap();
    assert_eq!(model.calls(), 3);
    assert_eq!(traces[0], traces[2]);
    assert_eq!(model.asked.lock().unwrap().iter().filter(|request| request.sample_index == 7).count(), 1);
}

#[tokio::test]
async fn what_a_store_knows_is_not_run_again() {
    let program = Asker::new(1).with_metric(always_right());
    let store = Arc::new(Shelf::default());
    let model = Arc::new(Restless::default());
    let runner = || RolloutRunner::new(&program, Arc::clone(&model) as _).store(Arc::clone(&store) as _);
    let first = runner();
    let bought = first.run(&jobs(5)).await.unwrap();
    let second = runner();
    let known = second.run(&jobs(8)).await.unwrap();
    assert_eq!(model.calls(), 8);
    assert_eq!(bought[..], known[..5]);
    let totals = second.totals();
    assert_eq!((totals.made, totals.reused, totals.usage.calls), (3, 5, 3));

    // Another instruction is another rollout, even where the reply is the same.
    let prompts: Prompts = [("ask", Prompt::new("Shout louder."))].into_iter().collect();
    let mut job = jobs(1)[0].clone();
    job.prompts = prompts.into();
    runner().run(&[job]).await.unwrap();
    assert_eq!(model.calls(), 9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The reference is one rollout after the other, each admitted when its bound still fits.
    #[test]
    fn a_budget_is_never_exceeded_and_ends_at_the_same_job_at_any_concurrency(
        costs in proptest::collection::vec(1_u64..=3, 0..12),
        budget in 0_u64..=30,
        concurrency in prop::sample::select(vec![1_usize, 2, 3, 8, 32]),
    ) {
        let jobs: Vec<_> = costs
            .iter()
            .enumerate()
            .map(|(number, calls)| RolloutJob::new(Arc::default(), question(&format!("q{number}"), *calls)))
            .collect();
        let (mut spent, mut made) = (0, 0);
        for cost in &costs {
            if spent + 3 > budget {
                break;
            }
            (spent, made) = (spent + cost, made + 1);
        }

        let program = Asker::new(3).with_metric(always_right());
        let model = Arc::new(Restless::default());
        let ledger = Arc::new(Ledger::new(Budget::calls(budget)));
        let runner = RolloutRunner::new(&program, Arc::clone(&model) as _)
            .concurrency(concurrency)
            .ledger(Arc::clone(&ledger));
        let batch = block_on(run(&runner, &jobs)).unwrap();

        prop_assert!(model.calls() <= budget);
        let done: Vec<bool> = batch.traces.iter().map(Option::is_some).collect();
        let expected: Vec<bool> = (0..jobs.len()).map(|number| number < made).collect();
        prop_assert_eq!(done, expected);
        prop_assert_eq!(batch.stop, (made < jobs.len()).then_some(StopReason::Budget));
        // Nothing stays reserved.
        prop_assert_eq!((ledger.spent(), ledger.remaining()), (spent, Some(budget - spent)));
    }
}

#[tokio::test]
async fn a_rollout_may_make_more_calls_than_its_program_says_and_the_budget_holds() {
    let program = Asker::new(2).with_metric(always_right());
    let greedy = |count: usize| -> Vec<_> {
        let question = |number| question(&format!("question {number}"), 5);
        (0..count).map(|number| RolloutJob::new(Arc::default(), question(number))).collect()
    };
    for concurrency in [1, 4] {
        let model = Arc::new(Restless::default());
        let ledger = Arc::new(Ledger::new(Budget::calls(34)));
        let runner = RolloutRunner::new(&program, Arc::clone(&model) as _).ledger(Arc::clone(&ledger));
        let runner = runner.concurrency(concurrency);
        let batch = run(&runner, &greedy(4)).await.unwrap();
        assert!(batch.traces.iter().flatten().all(|trace| trace.error.is_none()));
        assert_eq!((batch.traces.len(), batch.stop, model.calls()), (4, None, 20));
        // What one made is what the next ones are planned by: with four calls left none begins.
        assert_eq!((runner.calls_per_rollout(), runner.remaining_calls()), (5, Some(14)));
        let batch = run(&runner, &greedy(7)[4..]).await.unwrap();
        let made = batch.traces.iter().flatten().count();
        assert_eq!((made, batch.stop, model.calls()), (2, Some(StopReason::Budget), 30));
        assert!(is_nothing_reserved(&ledger));
    }
}

fn is_nothing_reserved(ledger: &Ledger) -> bool {
    ledger.reserved() == Usage::default()
}

#[tokio::test]
async fn an_example_never_sees_the_demo_that_was_made_from_it() {
    let program = Asker::new(1).with_metric(always_right());
    let examples: Vec<_> = (0..4).map(|number| question(&format!("question {number}"), 1)).collect();
    let demos = examples
        .iter()
        .map(|example| Demo::new(example.fields().clone()).augmented().with_source(example.content_hash()))
        .collect();
    let prompts: Prompts = [("ask", Prompt::new("Shout.").with_demos(demos))].into_iter().collect();
    let prompts = Arc::new(prompts);
    let model = Arc::new(Restless::default());
    let runner = RolloutRunner::new(&program, Arc::clone(&model) as _);
    let jobs: Vec<_> =
        examples.iter().map(|example| RolloutJob::new(Arc::clone(&prompts), Arc::clone(example))).collect();
    runner.run(&jobs).await.unwrap();
    let asked = model.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    for request in asked.iter() {
        let (last, before) = request.messages.split_last().unwrap();
        let shown: Vec<_> = before[1..].iter().map(|message| message.text()).collect();
        assert_eq!(shown.len(), 3, "all other demos are shown");
        assert!(shown.iter().all(|demo| !demo.contains(last.text())), "{shown:?}");
    }
}

#[tokio::test]
async fn an_evaluator_behind_a_box_is_the_same_evaluator() {
    let boxed: Box<dyn Evaluator> = Box::new(Asker::new(3).with_metric(always_right()));
    assert_eq!(Module::calls_per_rollout(&boxed), 3);
    let runner = RolloutRunner::new(&boxed, Arc::new(Restless::default()));
    let traces = runner.run(&jobs(1)).await.unwrap();
    assert_eq!(traces[0].score_value(), Some(1.0));
}
