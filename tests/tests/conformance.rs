//! What every optimizer promises, whatever its algorithm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use miprov2::MIPROv2;
use promptopt_core::{
    Cancellation, Event, LanguageModel, LmError, LmReply, LmRequest, ModuleExt as _, Optimizer as _,
    StopReason,
};
use promptopt_testkit::{HiddenRules, SimulatedLm, toy};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{score, text};

/// A simulated model that answers out of order: each request waits for a number of turns that
/// depends on its text.
struct OutOfOrder(SimulatedLm);

#[async_trait]
impl LanguageModel for OutOfOrder {
    fn id(&self) -> String {
        self.0.id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let turns = request.messages.last().map_or(0, |message| message.content.len() * 7 % 13);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        self.0.complete(request).await
    }
}

fn optimizer(concurrency: usize, max_calls: Option<u64>) -> MIPROv2 {
    MIPROv2::builder()
        .num_candidates(5)
        .num_trials(8)
        .minibatch_size(8)
        .concurrency(concurrency)
        .maybe_max_calls(max_calls)
        .seed(3)
        .build()
}

#[tokio::test]
async fn the_same_seed_gives_the_same_outcome_at_any_concurrency() {
    let task = HiddenRules::new(6, 5);
    let mut outcomes = Vec::new();
    for concurrency in [1, 3, 32] {
        let model = Arc::new(OutOfOrder(task.model(5)));
        let mut program = toy::answerer().with_model(model).with_metric(toy::exact_answer());
        let outcome = optimizer(concurrency, None).compile(&mut program, task.examples(60)).await.unwrap();
        outcomes.push((text(&outcome), program.candidate()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[test]
fn no_budget_is_overshot_and_it_means_the_same_at_any_concurrency() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let task = HiddenRules::new(6, 5);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&(0_u64..400), |budget| {
            let mut ends = Vec::new();
            for concurrency in [1, 32] {
                let model = Arc::new(OutOfOrder(task.model(5)));
                let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
                let result = runtime
                    .block_on(optimizer(concurrency, Some(budget)).compile(&mut program, task.examples(60)));
                prop_assert!(model.0.calls() <= budget, "{} of {budget}", model.0.calls());
                ends.push(result.map(|outcome| text(&outcome)).map_err(|error| error.to_string()));
            }
            prop_assert_eq!(&ends[0], &ends[1]);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_program_of_two_predictors_improves_in_both() {
    let task = HiddenRules::new(6, 9).in_two_stages();
    let model: Arc<dyn LanguageModel> = Arc::new(task.model(9).with_untaught(0.5));
    let mut program = toy::TwoStage::default().with_metric(toy::exact_answer());
    let mut examples = task.examples(300);
    let test = examples.split_off(150);
    let before = score(&program, Arc::clone(&model), &test).await;
    let outcome = MIPROv2::builder()
        .task_model(Arc::clone(&model))
        .seed(1)
        .build()
        .compile(&mut program, examples)
        .await
        .unwrap();
    let after = score(&program, model, &test).await;
    assert!(after > before + 0.2, "{before} -> {after}");
    let winner = outcome.winner().unwrap();
    let original = &outcome.candidates[0];
    for path in ["classify", "answer"] {
        assert_ne!(winner.prompts.get(path), original.prompts.get(path), "{path} was not touched");
    }
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
    let mut program = toy::answerer().with_model(Arc::new(task.model(5))).with_metric(toy::exact_answer());
    let optimizer = MIPROv2::builder()
        .num_trials(12)
        .minibatch_size(8)
        .minibatch_full_eval_steps(2)
        .parallel_trials(2)
        .observer(Arc::new(observer))
        .cancellation(cancellation)
        .build();
    let outcome = optimizer.compile(&mut program, task.examples(80)).await.unwrap();
    assert_eq!(outcome.stop, StopReason::Cancelled);
    assert!(outcome.trials.len() < 12);
    assert!(outcome.improved(), "what was found until then is kept");
    assert_eq!(program.candidate().prompts, outcome.winner().unwrap().prompts);
}

#[tokio::test]
async fn never_worse_than_the_start_on_the_selection_set() {
    for seed in 0..8 {
        let task = HiddenRules::new(8, seed);
        let model = Arc::new(task.model(seed));
        let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
        let outcome = optimizer(8, Some(150)).compile(&mut program, task.examples(70)).await.unwrap();
        assert!(outcome.selected.mean >= outcome.baseline.mean, "seed {seed}");
        assert_eq!(outcome.spending.total().calls, model.calls(), "every call is counted, seed {seed}");
    }
}
