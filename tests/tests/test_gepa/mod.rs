//! GEPA through `compile`, on scripted and simulated models: steps, gate, merges, stops, bad input
//! and the benchmark.

mod edge_cases;
mod gate;
mod images;
mod options;
mod simulation;
mod steps;

use std::sync::{Arc, Mutex};

use promptopt_core::data::Example;
use promptopt_core::program::ModuleExt as _;
use promptopt_gepa::GEPA;
use promptopt_run::{Error, Optimizer as _, Outcome};
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};

/// Compiles the one-predictor program on the hidden-rules model.
async fn compiled(optimizer: &GEPA, task: &HiddenRules, examples: usize) -> Outcome {
    let mut program = toy::answerer().with_model(Arc::new(task.model(5))).with_metric(toy::exact_answer());
    optimizer.compile(&mut program, task.examples(examples)).await.unwrap()
}

/// Examples `question n -> yes`.
fn same_answer(count: usize) -> Vec<Example> {
    (0..count)
        .map(|number| {
            Example::new(
                [("question", format!("question {number}")), ("answer", "yes".to_owned())],
                ["question"],
            )
        })
        .collect()
}

/// A model that answers `yes` when its instruction holds `word`, else `no`, and that reflects with
/// the replies given, one after the other.
fn reflecting(word: &'static str, replies: Vec<String>) -> ScriptedLm {
    let replies = Mutex::new(replies.into_iter());
    ScriptedLm::new(move |request| {
        if request.messages.len() == 1 {
            return Ok(replies.lock().unwrap().next().unwrap_or_default());
        }
        let right = request.messages[0].text().contains(word);
        Ok(ScriptedLm::chat_reply([("answer", if right { "yes" } else { "no" })]))
    })
}

fn fenced(text: &str) -> String {
    format!("I would write:\n```\n{text}\n```")
}
