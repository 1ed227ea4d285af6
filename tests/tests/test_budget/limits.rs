//! Limits of calls, tokens and money: never overshot, and the same at any concurrency.

use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::{Budget, Limit};
use promptopt_core::program::{Evaluator, ModuleExt as _};
use promptopt_gepa::GEPA;
use promptopt_run::{Ledger, Optimizer, RolloutJob, RolloutRunner, StopReason};
use promptopt_testkit::{HiddenRules, toy};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::interleavings::is_nothing;
use super::support::Auditor;
use crate::support::{self, text};

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// A budget of one kind, between nothing and what a run here takes without one.
fn budgets(calls: u64) -> impl Strategy<Value = Budget> {
    let of = move |limit: Limit, share: f64| {
        let amount = |each: f64| Some((share * calls as f64 * each) as u64);
        let mut budget = Budget::default();
        match limit {
            Limit::Calls => budget.calls = amount(1.0),
            Limit::PromptTokens => budget.prompt_tokens = amount(300.0),
            Limit::CompletionTokens => budget.completion_tokens = amount(200.0),
            Limit::Tokens => budget.tokens = amount(400.0),
            _ => {
                budget.money = amount(200_000.0).map(promptopt_core::money::Money::from_nanos);
                budget.calls = amount(2.0);
            }
        }
        budget
    };
    let kinds = vec![Limit::Calls, Limit::PromptTokens, Limit::CompletionTokens, Limit::Tokens, Limit::Money];
    (prop::sample::select(kinds), 0.0..1.0_f64).prop_map(move |(limit, share)| of(limit, share))
}

#[test]
fn a_batch_under_any_budget_is_that_of_one_rollout_after_the_other() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let task = HiddenRules::new(6, 5);
    let examples = task.examples(40);
    let run = |budget: Budget, concurrency: usize, two_stages: bool| {
        let program: Box<dyn Evaluator> = if two_stages {
            Box::new(toy::TwoStage::default().with_metric(toy::exact_answer()))
        } else {
            Box::new(toy::answerer().with_metric(toy::exact_answer()))
        };
        let model = Auditor::new(task.model(5), budget);
        let ledger = Arc::new(Ledger::new(budget));
        let runner = RolloutRunner::new(&*program, model.clone() as Arc<dyn LanguageModel>)
            .concurrency(concurrency)
            .ledger(Arc::clone(&ledger));
        let jobs: Vec<_> = examples
            .iter()
            .map(|example| RolloutJob::new(Arc::default(), Arc::new(example.clone())))
            .collect();
        let batch = runtime.block_on(support::run(&runner, &jobs)).unwrap();
        let spent = model.audit();
        let made = batch.made();
        (spent, ledger.spending(), ledger.reserved(), made, batch.stop, ledger.exhausted(), runner.totals())
    };
    let strategy = (budgets(60), any::<bool>());
    TestRunner::new(config(48))
        .run(&strategy, |(budget, two_stages)| {
            let one = run(budget, 1, two_stages);
            for concurrency in [1, 3, 32] {
                let this = run(budget, concurrency, two_stages);
                let spent = this.0.clone().map_err(TestCaseError::fail)?;
                prop_assert_eq!(spent, this.1, "the ledger knows what was spent");
                prop_assert!(is_nothing(this.2), "nothing stays reserved");
                prop_assert_eq!(this.4.is_some(), this.3 < 40);
                prop_assert_eq!(this.4.is_some(), this.5.is_some());
                prop_assert_eq!(&this, &one, "at concurrency {}", concurrency);
            }
            Ok(())
        })
        .unwrap();
}

fn optimizers(budget: Budget, concurrency: usize) -> Vec<Box<dyn Optimizer>> {
    let miprov2 = MIPROv2::builder()
        .num_candidates(4)
        .num_trials(6)
        .minibatch_size(8)
        .budget(budget)
        .concurrency(concurrency)
        .seed(3)
        .build();
    let copro = COPRO::builder().breadth(3).depth(2).budget(budget).concurrency(concurrency).seed(3).build();
    let gepa = GEPA::builder()
        .max_metric_calls(250)
        .budget(budget)
        .concurrency(concurrency)
        .parallel_proposals(2)
        .seed(3)
        .build();
    vec![Box::new(miprov2), Box::new(copro), Box::new(gepa)]
}

#[test]
fn no_optimizer_overshoots_any_limit_and_each_ends_the_same_at_any_concurrency() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let task = HiddenRules::new(6, 5);
    let strategy = (budgets(500), 0..3_usize);
    TestRunner::new(config(24))
        .run(&strategy, |(budget, which)| {
            let mut ends = Vec::new();
            for concurrency in [1, 3, 32] {
                let model = Auditor::new(task.model(5), budget);
                let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
                let optimizer = optimizers(budget, concurrency).swap_remove(which);
                let result = runtime.block_on(optimizer.compile(&mut program, task.examples(50)));
                let spent = model.audit().map_err(TestCaseError::fail)?;
                prop_assert_eq!(spent.beyond(&budget), None);
                if let Ok(outcome) = &result {
                    prop_assert_eq!(outcome.stop == StopReason::Budget, outcome.exhausted.is_some());
                    prop_assert_eq!(outcome.spending.total().calls, spent.calls);
                    prop_assert_eq!(outcome.spending.total().money, spent.money);
                }
                ends.push(result.map(|outcome| text(&outcome)).map_err(|error| error.to_string()));
            }
            prop_assert_eq!(&ends[0], &ends[1]);
            prop_assert_eq!(&ends[0], &ends[2]);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_budget_of_calls_is_used_up_but_for_what_one_rollout_may_take() {
    let task = HiddenRules::new(6, 5);
    for (budget, concurrency) in [(1, 8), (2, 1), (7, 8), (8, 3), (25, 32)] {
        let program = toy::answerer().with_metric(toy::exact_answer());
        let model = Arc::new(task.model(5));
        let runner = RolloutRunner::new(&program, model.clone() as Arc<dyn LanguageModel>)
            .concurrency(concurrency)
            .ledger(Arc::new(Ledger::new(Budget::calls(budget))));
        let jobs: Vec<_> = task
            .examples(60)
            .into_iter()
            .map(|example| RolloutJob::new(Arc::default(), Arc::new(example)))
            .collect();
        let batch = support::run(&runner, &jobs).await.unwrap();
        assert_eq!(batch.stop, Some(StopReason::Budget));
        assert!(model.calls() + 1 >= budget && model.calls() <= budget, "{} of {budget}", model.calls());
    }
}

#[tokio::test]
async fn of_two_options_the_smaller_limit_holds() {
    let task = HiddenRules::new(6, 5);
    for (max_calls, budget) in [(90, 400), (400, 90)] {
        let model = Arc::new(task.model(5));
        let mut program = toy::answerer().with_model(model.clone()).with_metric(toy::exact_answer());
        let optimizer = MIPROv2::builder().max_calls(max_calls).budget(Budget::calls(budget)).build();
        let outcome = optimizer.compile(&mut program, task.examples(60)).await.unwrap();
        assert_eq!((outcome.stop, outcome.exhausted), (StopReason::Budget, Some(Limit::Calls)));
        assert!(model.calls() <= 90, "{}", model.calls());
    }
}
