//! Two predictors with rules of their own.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::{Prompt, Prompts};

use super::landscape::Task;
use super::rules::TASK_SEEDS;
use crate::{HiddenRules, Rule, toy};

pub(super) struct Stages(HiddenRules);

impl Stages {
    pub(super) fn new(seed: u64) -> Self {
        Self(HiddenRules::new(12, TASK_SEEDS + seed).in_two_stages())
    }
}

impl Task for Stages {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.0.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::TwoStage::default())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(self.0.model(seed))
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        let of = |field: &str| {
            let own = self.0.rules().iter().filter(|rule| rule.field == field);
            Prompt::new(own.map(Rule::sentence).collect::<Vec<_>>().join(" "))
        };
        [("classify", of("topic")), ("answer", of("answer"))].into_iter().collect()
    }
}
