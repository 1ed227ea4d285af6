//! Rows of which few tell prompts apart.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::Prompts;

use super::behaviour::{BehavingLm, Behaviour, Chance, instruction, wrong_answer};
use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt, stated};
use crate::simulated::{Chat, TAUGHT, UNTAUGHT, noticed};
use crate::{HiddenRules, Rule, toy};

/// Kinds of input, of which the first ones can be taught, the last ones are hopeless, and all others are known.
const KINDS: usize = 16;
const TEACHABLE: usize = 4;
const HOPELESS: usize = 2;

pub(super) struct FewRows(HiddenRules);

#[derive(Clone)]
struct Known(Vec<Rule>);

impl FewRows {
    pub(super) fn new(seed: u64) -> Self {
        Self(HiddenRules::new(KINDS, TASK_SEEDS + seed))
    }
}

impl Task for FewRows {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.0.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::answerer())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(BehavingLm { name: "few-rows", behaviour: Known(self.0.rules().to_vec()), seed })
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        one_prompt(stated(&self.0))
    }
}

impl Behaviour for Known {
    fn value(&self, field: &str, chat: &Chat<'_>, chance: Chance) -> Option<String> {
        let is_asked = |rule: &Rule| field == "answer" && chat.question.contains(&rule.cue);
        let (kind, rule) = self.0.iter().enumerate().find(|(_, rule)| is_asked(rule))?;
        let right = match kind {
            kind if kind < TEACHABLE => {
                if chat.teaches(rule) {
                    TAUGHT
                } else {
                    UNTAUGHT
                }
            }
            kind if kind >= KINDS - HOPELESS => 1.0 - TAUGHT,
            _ => TAUGHT,
        };
        Some(if chance.of("answer") < right {
            rule.value.clone()
        } else {
            wrong_answer(&self.0, rule, chance)
        })
    }

    fn write_up(&self, text: &str, chance: Chance) -> String {
        instruction(noticed(&self.0, text, |rule| chance.of(&rule.cue)), chance)
    }
}
