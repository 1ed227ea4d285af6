//! Tasks in which no prompt does better than the one at the start.

use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::{Prompt, Prompts};

use super::behaviour::{BehavingLm, Behaviour, Chance};
use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt};
use crate::simulated::{Chat, coin};
use crate::{HiddenRules, Rule, toy};

/// Of the examples, this part is as easy or hard under every prompt.
const ALIKE: f64 = 0.6;
/// Of other prompts, this part does as well as the one at the start,
const EQUAL: f64 = 0.2;
/// this part less well by at most so much,
const WORSE: (f64, f64) = (0.6, 0.08);
/// and the others by at most so much.
const FAR_WORSE: f64 = 0.2;

pub(super) struct Ceiling {
    task: HiddenRules,
    known: Known,
}

#[derive(Clone)]
struct Known {
    rules: Vec<Rule>,
    /// How often the model is right under the prompt at the start, and what that says.
    level: f64,
    original: String,
    /// Whether other prompts may be worse.
    falls: bool,
    seed: u64,
}

impl Ceiling {
    pub(super) fn new(level: f64, falls: bool, seed: u64) -> Self {
        let task = HiddenRules::new(12, TASK_SEEDS + seed);
        let original = toy::answerer().predictors().first().map(|one| one.prompt().instruction.clone());
        let original = letters(&original.unwrap_or_default());
        Self { known: Known { rules: task.rules().to_vec(), level, original, falls, seed }, task }
    }
}

impl Task for Ceiling {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.task.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::answerer())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        let level = (self.known.level * 100.0).round();
        let name = format!("ceiling {level}{}", if self.known.falls { "" } else { " flat" });
        Arc::new(BehavingLm { name, behaviour: self.known.clone(), seed })
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        let program = self.program();
        let own = program.predictors().first().map(|one| one.prompt().clone());
        one_prompt(own.unwrap_or_else(|| Prompt::new("")))
    }

    fn true_score(&self, prompts: &Prompts) -> Option<f64> {
        let prompt = prompts.get("answer")?;
        Some(self.known.score(&letters(&prompt.instruction), prompt.demos.len()))
    }
}

/// A text without its spaces, which formats add to.
fn letters(text: &str) -> String {
    text.split_whitespace().collect()
}

impl Known {
    /// How often the model is right with an instruction and so many demos.
    fn score(&self, instruction: &str, demos: usize) -> f64 {
        if !self.falls || (demos == 0 && instruction == self.original) {
            return self.level;
        }
        let prompt = ContentHash::of(&(self.seed, instruction, demos));
        let (kind, by) = (coin(prompt, "kind"), coin(prompt, "by"));
        self.level
            - match kind {
                kind if kind < EQUAL => 0.0,
                kind if kind < EQUAL + WORSE.0 => WORSE.1 * by,
                _ => FAR_WORSE * by,
            }
    }
}

impl Behaviour for Known {
    fn value(&self, field: &str, chat: &Chat<'_>, chance: Chance) -> Option<String> {
        let rule = self.rules.iter().find(|rule| field == "answer" && chat.question.contains(&rule.cue))?;
        let instruction = chat.instruction.rsplit("your objective is:").next().unwrap_or_default();
        let row = ContentHash::of(&(self.seed, chat.question));
        let chance_of_row =
            if coin(row, "alike") < ALIKE { coin(row, "answer") } else { chance.of("answer") };
        if chance_of_row < self.score(&letters(instruction), chat.demos.len()) {
            return Some(rule.value.clone());
        }
        let wrong: Vec<_> = self.rules.iter().filter(|other| other.value != rule.value).collect();
        Some(chance.pick("wrong", &wrong).map_or_else(|| "unknown".to_owned(), |other| other.value.clone()))
    }

    fn write_up(&self, _text: &str, chance: Chance) -> String {
        const MANNERS: [&str; 6] =
            ["with care", "briefly", "in full", "without haste", "to the letter", "as an expert would"];
        const HINTS: [&str; 6] = [
            "Read the question twice.",
            "Look at every word.",
            "Mind the details.",
            "Think before the answer.",
            "Check the answer once more.",
            "Leave nothing out.",
        ];
        let pick = |about, from| chance.pick(about, from).copied().unwrap_or_default();
        format!(
            "Give the answer {}. {} {}",
            pick("manner", &MANNERS),
            pick("hint", &HINTS),
            pick("more", &HINTS)
        )
    }
}
