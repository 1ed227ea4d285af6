//! Rules that do not all fit into the prompt.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::{Prompt, Prompts};

use super::behaviour::{BehavingLm, Behaviour, Chance, instruction, wrong_answer};
use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt};
use crate::simulated::{Chat, TAUGHT, UNTAUGHT, noticed};
use crate::{HiddenRules, Rule, toy};

/// The characters of a prompt that is heeded: an opening, an ending, and eight rules.
const MOST_CHARS: usize = 460;
const FITTING: usize = 8;

pub(super) struct Bounded(HiddenRules);

#[derive(Clone)]
struct Known(Vec<Rule>);

impl Bounded {
    pub(super) fn new(seed: u64) -> Self {
        Self(HiddenRules::new(12, TASK_SEEDS + seed))
    }
}

impl Task for Bounded {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.0.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::answerer())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(BehavingLm { name: "bounded", behaviour: Known(self.0.rules().to_vec()), seed })
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        let some = self.0.rules().iter().take(FITTING).map(Rule::sentence);
        one_prompt(Prompt::new(some.collect::<Vec<_>>().join(" ")))
    }
}

impl Behaviour for Known {
    fn value(&self, field: &str, chat: &Chat<'_>, chance: Chance) -> Option<String> {
        let rule = self.0.iter().find(|rule| field == "answer" && chat.question.contains(&rule.cue))?;
        let taught = chat.prompt_chars() <= MOST_CHARS && chat.teaches(rule);
        let right = chance.of("answer") < if taught { TAUGHT } else { UNTAUGHT };
        Some(if right { rule.value.clone() } else { wrong_answer(&self.0, rule, chance) })
    }

    fn write_up(&self, text: &str, chance: Chance) -> String {
        instruction(noticed(&self.0, text, |rule| chance.of(&rule.cue)), chance)
    }
}
