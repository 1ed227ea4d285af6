//! Turns of phrase that help or harm a little.

use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::{Prompt, Prompts};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::behaviour::{BehavingLm, Behaviour, Chance, wrong_answer};
use super::landscape::Task;
use super::rules::{TASK_SEEDS, one_prompt};
use crate::simulated::Chat;
use crate::{HiddenRules, Rule, toy};

const PHRASES: [&str; 8] = [
    "Weigh every word.",
    "Name the key fact first.",
    "Doubt the obvious.",
    "Keep to the letter.",
    "Answer as a clerk would.",
    "Check the numbers twice.",
    "Prefer the short form.",
    "Look for exceptions.",
];
/// What the phrases do, in some order.
const EFFECTS: [f64; 8] = [0.15, 0.12, 0.08, 0.05, 0.0, -0.05, -0.08, -0.12];
/// How often the answer is right without any.
const PLAIN: f64 = 0.4;
/// How often the prompt model writes a phrase that it does not see,
const INVENTED: f64 = 0.25;
/// and one that it sees most often.
const REPEATED: f64 = 0.8;

pub(super) struct Wording {
    task: HiddenRules,
    known: Known,
}

#[derive(Clone)]
struct Known {
    rules: Vec<Rule>,
    effects: Vec<(&'static str, f64)>,
}

impl Wording {
    pub(super) fn new(seed: u64) -> Self {
        let task = HiddenRules::new(12, TASK_SEEDS + seed);
        let mut effects = EFFECTS;
        effects.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let effects = PHRASES.into_iter().zip(effects).collect();
        Self { known: Known { rules: task.rules().to_vec(), effects }, task }
    }
}

impl Task for Wording {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.task.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::answerer())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(BehavingLm { name: "wording".to_owned(), behaviour: self.known.clone(), seed })
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        let good = self.known.effects.iter().filter(|(_, effect)| *effect > 0.0);
        one_prompt(Prompt::new(good.map(|(phrase, _)| *phrase).collect::<Vec<_>>().join(" ")))
    }
}

impl Behaviour for Known {
    fn value(&self, field: &str, chat: &Chat<'_>, chance: Chance) -> Option<String> {
        let rule = self.rules.iter().find(|rule| field == "answer" && chat.question.contains(&rule.cue))?;
        let used = self.effects.iter().filter(|(phrase, _)| chat.instruction.contains(phrase));
        if chance.of("answer") < PLAIN + used.map(|(_, effect)| effect).sum::<f64>() {
            return Some(rule.value.clone());
        }
        Some(wrong_answer(&self.rules, rule, chance))
    }

    fn write_up(&self, text: &str, chance: Chance) -> String {
        let times = |phrase: &str| text.matches(phrase).count() as f64;
        let most = self.effects.iter().map(|(phrase, _)| times(phrase)).fold(1.0, f64::max);
        let phrases = self.effects.iter().map(|(phrase, _)| *phrase).filter(|phrase| {
            let share = times(phrase) / most;
            chance.of(phrase) < INVENTED + (REPEATED - INVENTED) * share
        });
        std::iter::once("Read the text and answer.").chain(phrases).collect::<Vec<_>>().join(" ")
    }
}
