//! Rules that nobody states.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::{Prompt, Prompts};

use super::landscape::Task;
use crate::{HiddenRules, Rule, toy};

/// Seeds of the task begin here, so that task and model never share one.
pub(super) const TASK_SEEDS: u64 = 1000;

pub(super) struct Rules(HiddenRules);

impl Rules {
    pub(super) fn new(seed: u64) -> Self {
        Self(HiddenRules::new(12, TASK_SEEDS + seed))
    }
}

impl Task for Rules {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.0.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::answerer())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(self.0.model(seed))
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        one_prompt(stated(&self.0))
    }
}

/// All rules of a task as an instruction.
pub(super) fn stated(task: &HiddenRules) -> Prompt {
    Prompt::new(task.rules().iter().map(Rule::sentence).collect::<Vec<_>>().join(" "))
}

/// Prompts of a program whose one predictor is `answer`.
pub(super) fn one_prompt(prompt: Prompt) -> Prompts {
    [("answer", prompt)].into_iter().collect()
}
