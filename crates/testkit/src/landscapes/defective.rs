//! Rules under an instruction that does harm.

use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{LanguageModel, Role};
use promptopt_core::program::{Metric, Module, Predictor as _};
use promptopt_core::prompt::{Prompt, Prompts};

use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt, stated};
use crate::simulated::{OPENING, coin, requested_fields};
use crate::{HiddenRules, SimulatedLm, around, toy};

/// The demand: an answer in this form is not the expected one.
const HARM: &str = "Put the answer between asterisks.";
/// How often the model does what it demands.
const OBEYED: f64 = 0.6;
/// What stands before an answer.
const ANSWER: &str = "[[ ## answer ## ]]\n";

pub(super) struct Defective(HiddenRules);

impl Defective {
    pub(super) fn new(seed: u64) -> Self {
        Self(HiddenRules::new(12, TASK_SEEDS + seed))
    }
}

impl Task for Defective {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.0.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        let mut program = toy::answerer();
        program.set_prompt(Prompt::new(format!("{OPENING} {HARM}")));
        Box::new(program)
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(obedient(self.0.model(seed)))
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        one_prompt(stated(&self.0))
    }
}

/// A model that does what the demand says, and writes it into an instruction as often as the instructions make it that
/// are shown.
fn obedient(model: SimulatedLm) -> impl LanguageModel {
    let profile = model.profile();
    let id = format!("obedient {}", profile.id);
    let model = around(model, |next, request| async move {
        let mut reply = next.complete(&request).await?;
        let seen = ContentHash::of(&(&request.messages, request.sampling.temperature));
        let chance = |index: usize| coin(seen, &format!("harm {index}"));
        let is_task = requested_fields(&request).iter().any(|field| field == "answer");
        let system = request.messages.iter().filter(|message| message.role == Role::System);
        let told = if is_task { system.collect() } else { request.messages.iter().collect::<Vec<_>>() };
        let count =
            |text: &str| told.iter().map(|message| message.text().matches(text).count()).sum::<usize>();
        let (harmful, all) = (count(HARM), count(OPENING));
        for (index, completion) in reply.completions.iter_mut().enumerate() {
            let text = &mut completion.text;
            if !is_task {
                if chance(index) < harmful as f64 / all.max(1) as f64 {
                    *text = text.replace(OPENING, &format!("{OPENING} {HARM}"));
                }
            } else if harmful > 0
                && chance(index) < OBEYED
                && let Some((before, rest)) = text.split_once(ANSWER)
            {
                let (answer, after) = rest.split_once('\n').unwrap_or((rest, ""));
                *text = format!("{before}{ANSWER}*{answer}*\n{after}");
            }
        }
        Ok(reply)
    });
    model.with_profile(profile.with_id(id))
}
