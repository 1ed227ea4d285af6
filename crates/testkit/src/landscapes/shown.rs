//! Rules that are learnt from demos alone.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::{LanguageModel, Role};
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::{Demo, Prompts};

use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt, stated};
use crate::simulated::requested_fields;
use crate::{HiddenRules, SimulatedLm, around, toy};

/// Kinds of input; eight demos can show them all.
const KINDS: usize = 6;

pub(super) struct Shown(HiddenRules);

impl Shown {
    pub(super) fn new(seed: u64) -> Self {
        Self(HiddenRules::new(KINDS, TASK_SEEDS + seed))
    }
}

impl Task for Shown {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.0.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::answerer())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(unheeding(self.0.model(seed)))
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        let mut prompt = stated(&self.0);
        for rule in self.0.rules() {
            let fields = [("question", &rule.cue), ("answer", &rule.value)];
            prompt.demos.push(Demo::new(
                fields.map(|(name, text)| (name.to_owned(), text.as_str().into())).into_iter().collect(),
            ));
        }
        one_prompt(prompt)
    }
}

/// A model that does not see the instruction of the task, only its fields and demos.
fn unheeding(model: SimulatedLm) -> impl LanguageModel {
    let profile = model.profile();
    let id = format!("unheeding {}", profile.id);
    let model = around(model, |next, mut request| async move {
        if requested_fields(&request).iter().any(|field| field == "answer") {
            for message in request.messages.iter_mut().filter(|message| message.role == Role::System) {
                if let Some((form, _)) = message.text().split_once("your objective is:") {
                    message.content = form.into();
                }
            }
        }
        next.complete(&request).await
    });
    model.with_profile(profile.with_id(id))
}
