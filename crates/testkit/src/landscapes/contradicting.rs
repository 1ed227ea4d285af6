//! Rules, and others that contradict them.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::Prompts;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::behaviour::{BehavingLm, Behaviour, Chance, instruction};
use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt, stated};
use crate::simulated::{Chat, TAUGHT, UNTAUGHT, noticed};
use crate::{HiddenRules, Rule, toy};

/// The share of rows that are labelled by the other rule of their cue.
const OTHERS: f64 = 0.25;

pub(super) struct Contradicting {
    task: HiddenRules,
    known: Known,
    seed: u64,
}

#[derive(Clone)]
struct Known {
    /// What most rows say.
    rules: Vec<Rule>,
    /// What others say, cue by cue.
    others: Vec<Rule>,
}

impl Contradicting {
    pub(super) fn new(seed: u64) -> Self {
        let task = HiddenRules::new(12, TASK_SEEDS + seed);
        let rules = task.rules().to_vec();
        let other = |rule: &Rule| {
            let different = rules.iter().map(|one| &one.value).filter(|value| **value != rule.value);
            // The next in the alphabet, and behind the last one the first.
            let next =
                different.clone().filter(|value| **value > rule.value).min().or_else(|| different.min());
            Rule { value: next.unwrap_or(&rule.value).clone(), ..rule.clone() }
        };
        let others = rules.iter().map(other).collect();
        Self { known: Known { rules, others }, task, seed }
    }
}

impl Task for Contradicting {
    fn examples(&self, n: usize) -> Vec<Example> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let relabelled = |row: Example| {
            let mut fields = row.fields().clone();
            let question = row.get_str("question").unwrap_or_default();
            let other = self.known.others.iter().find(|rule| question.contains(&rule.cue));
            if let (true, Some(rule)) = (rng.random::<f64>() < OTHERS, other) {
                fields.insert("answer".to_owned(), rule.value.as_str().into());
            }
            Example::new(fields, ["question"])
        };
        self.task.examples(n).into_iter().map(relabelled).collect()
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::answerer())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(BehavingLm { name: "contradicting", behaviour: self.known.clone(), seed })
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        one_prompt(stated(&self.task))
    }
}

impl Behaviour for Known {
    fn value(&self, field: &str, chat: &Chat<'_>, chance: Chance) -> Option<String> {
        let both = self.rules.iter().zip(&self.others);
        let (rule, other) =
            both.into_iter().find(|(rule, _)| field == "answer" && chat.question.contains(&rule.cue))?;
        let follows = match (chat.teaches(rule), chat.teaches(other)) {
            (true, true) => {
                if chance.of("which") < 0.5 {
                    rule
                } else {
                    other
                }
            }
            (false, true) => other,
            (_, false) => rule,
        };
        let taught = chat.teaches(follows);
        if chance.of("answer") < if taught { TAUGHT } else { UNTAUGHT / (1.0 - OTHERS) } {
            return Some(follows.value.clone());
        }
        let wrong: Vec<_> =
            self.rules.iter().filter(|one| ![&rule.value, &other.value].contains(&&one.value)).collect();
        Some(chance.pick("wrong", &wrong).map_or_else(|| "unknown".to_owned(), |one| one.value.clone()))
    }

    fn write_up(&self, text: &str, chance: Chance) -> String {
        let of_most = noticed(&self.rules, text, |rule| chance.of(&rule.cue));
        let of_others = noticed(&self.others, text, |rule| chance.of(&format!("other {}", rule.cue)));
        instruction(of_most.chain(of_others), chance)
    }
}
