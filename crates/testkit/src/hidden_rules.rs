//! A task of hidden rules.

use promptopt_core::data::Example;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{Knowledge, Rule, SimulatedLm};

const CUES: [&str; 16] = [
    "amber", "birch", "cobalt", "dahlia", "ember", "falcon", "granite", "heron", "indigo", "juniper",
    "kestrel", "lotus", "marble", "nectar", "onyx", "poppy",
];
pub(crate) const VALUES: [&str; 6] = ["K4", "M7", "P2", "R9", "T5", "W3"];
const TOPICS: [&str; 6] = ["north-desk", "south-desk", "east-desk", "west-desk", "upper-desk", "lower-desk"];
const FILLERS: [&str; 8] = [
    "A visitor left a note about",
    "Nobody at the counter expected",
    "Please look into the matter of",
    "The morning list begins with",
    "There was a long talk about",
    "We have heard too little of",
    "Somebody wrote three pages on",
    "It is not clear who ordered",
];
const TAILS: [&str; 6] =
    ["last week", "by the gate", "for the archive", "in two copies", "once more", "without delay"];

/// Questions that each mention one of several cues; every cue has its own answer, which nothing
/// but the examples tells.
#[derive(Debug, Clone)]
pub struct HiddenRules {
    rules: Vec<Rule>,
    seed: u64,
}

impl HiddenRules {
    /// A task with up to sixteen rules.
    pub fn new(rules: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rules = CUES
            .iter()
            .take(rules)
            .map(|cue| Rule {
                field: "answer".to_owned(),
                cue: (*cue).to_owned(),
                value: VALUES.choose(&mut rng).copied().unwrap_or("K4").to_owned(),
            })
            .collect();
        Self { rules, seed }
    }

    /// The rules, which only tests may know.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The same task for a program of two predictors: `question -> topic`, then
    /// `topic -> answer`. Both have rules of their own.
    #[must_use]
    pub fn in_two_stages(&self) -> Self {
        let mut rules = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let topic = TOPICS.get(index % TOPICS.len()).copied().unwrap_or("desk");
            rules.push(Rule { field: "topic".to_owned(), cue: rule.cue.clone(), value: topic.to_owned() });
        }
        for (topic, value) in TOPICS.iter().zip(VALUES) {
            rules.push(Rule {
                field: "answer".to_owned(),
                cue: (*topic).to_owned(),
                value: value.to_owned(),
            });
        }
        Self { rules, seed: self.seed }
    }

    /// The first `n` examples of this task, `question -> answer`, with the rules in random order.
    pub fn examples(&self, n: usize) -> Vec<Example> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5EED);
        let cues: Vec<_> = self.rules.iter().filter(|rule| CUES.contains(&rule.cue.as_str())).collect();
        (0..n)
            .filter_map(|number| {
                let rule = cues.choose(&mut rng)?;
                let (filler, tail) = (FILLERS.choose(&mut rng)?, TAILS.choose(&mut rng)?);
                let question =
                    format!("{filler} {} {tail}, entry {number}-{}.", rule.cue, rng.random_range(100..1000));
                Some(Example::new(
                    [("question", question), ("answer", self.answer(rule).to_owned())],
                    ["question"],
                ))
            })
            .collect()
    }

    /// The answer behind a rule, through a second one where there are two stages.
    fn answer<'a>(&'a self, rule: &'a Rule) -> &'a str {
        match self.rules.iter().find(|next| next.cue == rule.value) {
            Some(next) => &next.value,
            None => &rule.value,
        }
    }

    /// A model that can do this task once it is taught.
    pub fn model(&self, seed: u64) -> SimulatedLm {
        SimulatedLm::new(Knowledge::Rules(self.rules.clone()), seed)
    }
}
