//! Two predictors that must share a notation.

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
use super::rules::TASK_SEEDS;
use crate::simulated::Chat;
use crate::{HiddenRules, Rule, toy};

/// What both use unless they are told something else.
const DEFAULT: &str = "prose";
const NOTATIONS: [&str; 4] = ["ledger", "outline", "tabular", "verse"];
/// How often a pair is right that shares the default notation, and the others in some order.
const DEFAULT_QUALITY: f64 = 0.35;
const QUALITIES: [f64; 4] = [0.5, 0.65, 0.8, 0.95];
/// How often a pair is right whose notations differ.
const MISFIT: f64 = 0.15;
/// How often the prompt model stays with a notation that it sees.
const REPEATED: f64 = 0.5;

pub(super) struct Notation {
    task: HiddenRules,
    known: Known,
}

#[derive(Clone)]
struct Known {
    rules: Vec<Rule>,
    /// Notation -> how often a pair that shares it is right.
    qualities: Vec<(&'static str, f64)>,
}

impl Notation {
    pub(super) fn new(seed: u64) -> Self {
        let task = HiddenRules::new(12, TASK_SEEDS + seed);
        let mut order = QUALITIES;
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let others = NOTATIONS.into_iter().zip(order);
        let qualities = std::iter::once((DEFAULT, DEFAULT_QUALITY)).chain(others).collect();
        Self { known: Known { rules: task.rules().to_vec(), qualities }, task }
    }
}

impl Task for Notation {
    fn examples(&self, n: usize) -> Vec<Example> {
        self.task.examples(n)
    }

    fn program(&self) -> Box<dyn Module> {
        Box::new(toy::TwoStage::default())
    }

    fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        Arc::new(BehavingLm { name: "notation".to_owned(), behaviour: self.known.clone(), seed })
    }

    fn metric(&self) -> Arc<dyn Metric> {
        Arc::new(toy::exact_answer())
    }

    fn oracle(&self) -> Prompts {
        let best = self.known.qualities.iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let prompt = Prompt::new(sentence(best.map_or(DEFAULT, |(notation, _)| notation)));
        [("classify", prompt.clone()), ("answer", prompt)].into_iter().collect()
    }
}

fn sentence(notation: &str) -> String {
    format!("The topic is in {notation} notation.")
}

impl Known {
    /// The first notation that a text names.
    fn named(&self, text: &str) -> Option<&'static str> {
        let found = self
            .qualities
            .iter()
            .filter_map(|(name, _)| Some((text.find(&format!("{name} notation"))?, *name)));
        found.min().map(|(_, name)| name)
    }
}

impl Behaviour for Known {
    fn value(&self, field: &str, chat: &Chat<'_>, chance: Chance) -> Option<String> {
        let told = self.named(chat.instruction).unwrap_or(DEFAULT);
        let rule = self.rules.iter().find(|rule| chat.question.contains(&rule.cue))?;
        match field {
            "topic" => {
                let entry = chat.question.split_whitespace().last().unwrap_or_default();
                Some(format!("{} of {entry} ({told} notation)", rule.cue))
            }
            "answer" => {
                let written = self.named(chat.question).unwrap_or(DEFAULT);
                let shared = self.qualities.iter().find(|(name, _)| *name == told && *name == written);
                if chance.of("answer") < shared.map_or(MISFIT, |(_, quality)| *quality) {
                    return Some(rule.value.clone());
                }
                Some(wrong_answer(&self.rules, rule, chance))
            }
            _ => None,
        }
    }

    fn write_up(&self, text: &str, chance: Chance) -> String {
        let names: Vec<_> = self.qualities.iter().map(|(name, _)| *name).collect();
        let seen: Vec<_> =
            names.iter().copied().filter(|name| text.contains(&format!("{name} notation"))).collect();
        let stays = !seen.is_empty() && chance.of("stays") < REPEATED;
        let from = if stays { &seen } else { &names };
        let notation = chance.pick("notation", from).copied().unwrap_or(DEFAULT);
        let manners = ["with care", "exactly", "briefly", "in full", "without haste", "to the letter"];
        let manner = chance.pick("manner", &manners).copied().unwrap_or_default();
        format!("Read the text and answer {manner}. {}", sentence(notation))
    }
}
