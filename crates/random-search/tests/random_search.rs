//! Random search on a task that demos teach.

use std::sync::Arc;

use promptopt_core::program::ModuleExt as _;
use promptopt_random_search::RandomSearch;
use promptopt_run::{Error, Optimizer as _, StopReason, TrialKind};
use promptopt_testkit::{HiddenRules, toy};

#[test]
fn the_best_demo_set_is_installed_and_instructions_stay() {
    let task = HiddenRules::new(8, 2);
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let before = program.candidate();
    let optimizer = RandomSearch::builder().task_model(Arc::new(task.model(2))).num_sets(6).build();
    let outcome = pollster::block_on(optimizer.compile(&mut program, task.examples(80))).unwrap();
    assert!(outcome.selected.mean > outcome.baseline.mean + 0.2, "{:?}", outcome.selected);
    assert!(outcome.candidates.len() <= 1 + 6, "the original is one of the sets");
    assert_eq!(program.candidate().instruction("answer"), before.instruction("answer"));
    assert!(!program.candidate().prompts.get("answer").unwrap().demos.is_empty());
    assert!(outcome.candidates.iter().skip(1).all(|one| one.origin.kind == "demo set"));
}

#[test]
fn under_a_budget_one_set_finishes() {
    let task = HiddenRules::new(8, 2);
    for most in [60, 100, 200] {
        let mut program = toy::answerer().with_metric(toy::exact_answer());
        let optimizer =
            RandomSearch::builder().task_model(Arc::new(task.model(2))).max_metric_calls(most).build();
        let outcome = pollster::block_on(optimizer.compile(&mut program, task.examples(60))).unwrap();
        let full = outcome.trials.iter().filter(|trial| trial.kind == TrialKind::FULL).count();
        assert!(full > 0 || outcome.stop == StopReason::Budget, "{most}: {}", outcome.stop);
    }
}

#[test]
fn a_threshold_that_is_no_number_is_refused() {
    let task = HiddenRules::new(8, 2);
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let optimizer =
        RandomSearch::builder().task_model(Arc::new(task.model(2))).metric_threshold(f64::NAN).build();
    let error = pollster::block_on(optimizer.compile(&mut program, task.examples(60))).unwrap_err();
    assert!(matches!(error, Error::Stage { stage: "trace generation", .. }), "{error}");
}
