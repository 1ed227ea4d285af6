//! Who writes instructions where something stands by the prompt model.

use std::collections::HashSet;
use std::sync::Arc;

use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::ModuleExt as _;
use promptopt_gepa::GEPA;
use promptopt_proposer::TemplateProposer;
use promptopt_run::{Optimizer as _, Outcome, RunOptions, Strategy};
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};

/// The optimizers that have whole instructions written.
fn strategies(options: &RunOptions) -> [Box<dyn Strategy>; 3] {
    [
        Box::new(MIPROv2::default().with_run_options(options.clone())),
        Box::new(COPRO::default().with_run_options(options.clone())),
        Box::new(GEPA::default().with_run_options(options.clone())),
    ]
}

/// A run of every optimizer with templates standing by a prompt model, and whether the forecast has its calls.
fn outcomes(writer: impl Fn() -> Arc<dyn LanguageModel>, concurrency: usize) -> Vec<Outcome> {
    let task = HiddenRules::new(6, 3);
    let options = RunOptions::builder()
        .task_model(Arc::new(task.model(3)))
        .prompt_model(writer())
        .fallback_writer(Arc::new(TemplateProposer::default()))
        .concurrency(concurrency)
        .max_calls(400)
        .build();
    let run = |strategy: Box<dyn Strategy>| {
        let mut program = toy::answerer().with_metric(toy::exact_answer());
        let forecast = strategy.estimate(&program, &task.examples(60)).unwrap().unwrap();
        let outcome = pollster::block_on(strategy.compile(&mut program, task.examples(60))).unwrap();
        let prompt = forecast.stages.iter().filter(|stage| stage.model == promptopt_run::ModelRole::Prompt);
        let (low, high) =
            prompt.fold((0, 0), |sum, stage| (sum.0 + stage.calls.low, sum.1 + stage.calls.high));
        let took = outcome.spending.prompt.calls;
        assert!((low..=high).contains(&took), "{}: {took} of {low} to {high}", outcome.optimizer);
        assert!(forecast.stages.iter().any(|stage| stage.stage == "trial texts" && stage.calls.high == 3));
        outcome
    };
    strategies(&options).into_iter().map(run).collect()
}

fn instructions(outcome: &Outcome) -> HashSet<&str> {
    outcome.candidates.iter().filter_map(|candidate| candidate.instruction("answer")).collect()
}

#[test]
fn a_model_that_cannot_write_is_asked_for_its_trial_and_no_more() {
    let writer = || Arc::new(ScriptedLm::new(|_| Ok("I'm sorry, but I cannot do that.".to_owned()))) as _;
    for outcome in outcomes(writer, 8) {
        let name = &outcome.optimizer;
        assert_eq!(outcome.spending.prompt.calls, 3, "{name}");
        let note = "0 of 3 instructions that the prompt model wrote on trial can serve (the last: the model declined";
        assert!(outcome.notes.iter().any(|one| one.starts_with(note)), "{name}: {:?}", outcome.notes);
        assert!(instructions(&outcome).len() > 2, "{name} tried nothing that was written without it");
    }
}

#[test]
fn a_model_that_writes_well_writes_on() {
    let task = HiddenRules::new(6, 3);
    let writer = || Arc::new(HiddenRules::new(6, 3).model(3)) as Arc<dyn LanguageModel>;
    let alone = outcomes(writer, 8);
    for (outcome, other) in alone.iter().zip(outcomes(writer, 1)) {
        let name = &outcome.optimizer;
        assert!(outcome.spending.prompt.calls > 3, "{name}");
        let written = instructions(outcome);
        let is_taught = |text: &&&str| task.rules().iter().any(|rule| text.contains(&rule.sentence()));
        assert!(written.iter().filter(is_taught).count() > 2, "{name}");
        assert_eq!((&outcome.candidates, &outcome.notes), (&other.candidates, &other.notes), "{name}");
    }
}

#[test]
fn a_model_that_only_its_trial_finds_writing_is_given_up_after_its_first_round() {
    let task = HiddenRules::new(6, 3);
    let writer = ScriptedLm::new(|request| {
        let asked = request.messages.last().map_or("", |message| message.text());
        let is_trial = asked.contains("Write a better instruction for that model");
        let text = format!("Read the question, and answer it in way {}.", request.sample_index);
        Ok(if is_trial { text } else { "I'm sorry, but I cannot do that.".to_owned() })
    });
    let options = RunOptions::builder()
        .task_model(Arc::new(task.model(3)))
        .prompt_model(Arc::new(writer))
        .fallback_writer(Arc::new(TemplateProposer::default()))
        .max_calls(400)
        .build();
    let mut program = toy::answerer().with_metric(toy::exact_answer());
    let optimizer = MIPROv2::default().with_run_options(options);
    let outcome = pollster::block_on(optimizer.compile(&mut program, task.examples(60))).unwrap();
    let note = "3 of 15 texts of the prompt model can serve, so the others are written without it";
    assert!(outcome.notes.iter().any(|one| one == note), "{:?}", outcome.notes);
}
