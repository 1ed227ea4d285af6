//! Rules that are learnt from demos alone.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{
    Demo, Example, LanguageModel, LmError, LmReply, LmRequest, Metric, Module, Price, Prompts, Role,
};

use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt, stated};
use crate::simulated::requested_fields;
use crate::{HiddenRules, SimulatedLm, toy};

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
        Arc::new(Unheeding(self.0.model(seed)))
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        let mut prompt = stated(&self.0);
        for rule in self.0.rules() {
            let fields = [("question", &rule.cue), ("answer", &rule.value)];
            prompt.demos.push(Demo {
                fields: fields
                    .map(|(name, text)| (name.to_owned(), text.as_str().into()))
                    .into_iter()
                    .collect(),
                ..Demo::default()
            });
        }
        one_prompt(prompt)
    }
}

/// A model that does not see the instruction of the task, only its fields and demos.
#[derive(Debug)]
struct Unheeding(SimulatedLm);

#[async_trait]
impl LanguageModel for Unheeding {
    fn id(&self) -> String {
        format!("unheeding {}", self.0.id())
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        if !requested_fields(request).iter().any(|field| field == "answer") {
            return self.0.complete(request).await;
        }
        let mut request = request.clone();
        for message in request.messages.iter_mut().filter(|message| message.role == Role::System) {
            if let Some((form, _)) = message.content.split_once("your objective is:") {
                message.content = form.to_owned();
            }
        }
        self.0.complete(&request).await
    }

    fn price(&self) -> Option<Price> {
        self.0.price()
    }
}
