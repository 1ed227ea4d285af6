//! SIMBA on tasks that demos and rules teach.

use std::sync::{Arc, Mutex};

use promptopt_core::lm::{LanguageModel, LmRequest};
use promptopt_core::program::ModuleExt as _;
use promptopt_run::{Error, Event, Optimizer as _, Outcome, TrialKind};
use promptopt_simba::SIMBA;
use promptopt_testkit::{HiddenRules, around, toy};

fn small() -> SIMBA {
    SIMBA::builder().minibatch_size(12).num_candidates(4).max_steps(5).build()
}

fn compiled(optimizer: &SIMBA, model: impl LanguageModel + 'static) -> Result<Outcome, Error> {
    let task = HiddenRules::new(8, 2);
    let mut program = toy::answerer().with_model(Arc::new(model)).with_metric(toy::exact_answer());
    pollster::block_on(optimizer.compile(&mut program, task.examples(100)))
}

#[test]
fn it_learns_by_demos_and_by_rules() {
    let outcome = compiled(&small(), HiddenRules::new(8, 2).model(2)).unwrap();
    assert!(outcome.selected.mean > outcome.baseline.mean + 0.2, "{:?}", outcome.selected);
    for kind in ["demo", "rule"] {
        assert!(outcome.candidates.iter().any(|one| one.origin.kind == kind), "no candidate by a {kind}");
    }
    let steps = outcome.trials.iter().filter(|trial| trial.kind == TrialKind::new("step"));
    assert!(steps.clone().count() > 5 && steps.clone().all(|trial| trial.examples == 12));
}

#[test]
fn a_rule_is_appended_and_never_replaces_the_instruction() {
    let mut optimizer = small();
    optimizer.max_demos = 0;
    let outcome = compiled(&optimizer, HiddenRules::new(8, 2).model(2)).unwrap();
    let original = outcome.candidates[0].instruction("answer").unwrap().to_owned();
    let others = &outcome.candidates[1..];
    assert!(!others.is_empty());
    for candidate in others {
        assert!(["rule", "without rules"].contains(&&*candidate.origin.kind), "{:?}", candidate.origin);
        let instruction = candidate.instruction("answer").unwrap();
        assert!(instruction.len() > original.len() && instruction.starts_with(&original), "{instruction}");
    }
}

#[test]
fn the_runs_of_an_example_are_at_rising_temperatures() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let model = around(HiddenRules::new(8, 2).model(2), move |next, request: LmRequest| {
        told.lock().unwrap().push(request.sampling.temperature);
        async move { next.complete(&request).await }
    });
    let mut optimizer = small();
    optimizer.max_steps = 1;
    compiled(&optimizer, model).unwrap();
    let seen = seen.lock().unwrap();
    for temperature in [0.5, 0.625, 0.75, 0.875] {
        let count = seen.iter().filter(|found| **found == Some(temperature)).count();
        assert_eq!(count, 12, "at {temperature}");
    }
}

#[test]
fn no_predictor_keeps_more_demos_than_it_may() {
    let mut optimizer = small();
    (optimizer.max_demos, optimizer.max_steps) = (2, 8);
    let outcome = compiled(&optimizer, HiddenRules::new(8, 2).model(2)).unwrap();
    let demos = outcome.candidates.iter().map(|one| one.prompts.get("answer").unwrap().demos.len());
    assert!(demos.max().unwrap() <= 2);
}

#[test]
fn what_the_prompt_model_is_asked() {
    let asked = Arc::new(Mutex::new(None));
    let told = Arc::clone(&asked);
    let model = around(HiddenRules::new(8, 2).model(2), move |next, request: LmRequest| {
        if request.messages.iter().any(|message| message.text().contains("better_run")) {
            told.lock().unwrap().get_or_insert(request.clone());
        }
        async move { next.complete(&request).await }
    });
    let mut optimizer = small();
    optimizer.max_demos = 0;
    compiled(&optimizer, model).unwrap();
    let request = asked.lock().unwrap().take().unwrap();
    let chat: Vec<String> =
        request.messages.iter().map(|message| format!("{:?}:\n{}", message.role, message.text())).collect();
    insta::assert_snapshot!(chat.join("\n\n"));
}

#[test]
fn proposals_are_told_to_the_observer() {
    let rules = Arc::new(Mutex::new(0));
    let told = Arc::clone(&rules);
    let mut optimizer = small();
    optimizer.max_demos = 0;
    optimizer.observer = Some(Arc::new(move |event: &Event| {
        if matches!(event, Event::Proposal { dropped: None, .. }) {
            *told.lock().unwrap() += 1;
        }
    }));
    let outcome = compiled(&optimizer, HiddenRules::new(8, 2).model(2)).unwrap();
    assert!(*rules.lock().unwrap() >= outcome.candidates.len() - 1);
}
