//! A model with knowledge gaps that a prompt can fill.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Example, plain_text};
use promptopt_core::lm::{
    Attempts, Completion, LanguageModel, LmError, LmReply, LmRequest, Message, ModelProfile, ResponseFormat,
    Role,
};
use promptopt_core::money::{Price, Usage};
use serde_json::Value;

/// What a simulated model would know if a prompt taught it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Knowledge {
    /// Rules: an input that holds the cue is answered with the value. A prompt teaches a rule
    /// when its instruction states cue and value in one sentence, or a demo shows them.
    Rules(Vec<Rule>),
    /// The answers of a data set. A prompt teaches a value when its instruction names it or a
    /// demo answers with it; where values hardly repeat, any demo teaches the form.
    Answers {
        /// Text of the inputs -> answer, by output field.
        answers: HashMap<(String, String), String>,
        /// Whether a prompt must teach the very value.
        by_value: bool,
    },
}

/// An input that holds `cue` has `value` in `field`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rule {
    /// The output field it decides.
    pub field: String,
    /// What to look for in the inputs.
    pub cue: String,
    /// What to answer.
    pub value: String,
}

impl Rule {
    /// The rule in a sentence.
    pub fn sentence(&self) -> String {
        format!("When the text mentions {}, the {} is {}.", self.cue, self.field, self.value)
    }
}

/// A model that is right 95 % of the time about what the prompt teaches and 25 % otherwise. Asked
/// for fields it has no knowledge of, it is a prompt model: it writes the rules that it can see
/// in its request, in examples (noticed half of the time) or stated (repeated 9 times of 10).
///
/// A pure function of its seed and the messages and temperature of a request.
#[derive(Debug)]
pub struct SimulatedLm {
    knowledge: Knowledge,
    /// The different answers of a data set, by output field.
    values: BTreeMap<String, BTreeSet<String>>,
    seed: u64,
    untaught: f64,
    honours_n: bool,
    calls: AtomicU64,
}

pub(crate) const TAUGHT: f64 = 0.95;
pub(crate) const UNTAUGHT: f64 = 0.25;
const NOTICED_IN_EXAMPLE: f64 = 0.5;
const REPEATED_STATEMENT: f64 = 0.9;
/// What every instruction begins with that a prompt model writes, and one of the ways in which it ends.
pub(crate) const OPENING: &str = "Read the text and answer with care.";
pub(crate) const WORDINGS: [&str; 5] =
    ["Think first.", "Be exact.", "Mind the details.", "Use the rules given here.", "Answer briefly."];
/// The most completions of one request.
pub(crate) const MAX_COMPLETIONS: u32 = 128;
/// Where values of a data set repeat less than this on average, only the form can be taught.
const MIN_REPEATS: usize = 5;

impl SimulatedLm {
    /// A model over some knowledge.
    pub fn new(knowledge: Knowledge, seed: u64) -> Self {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        if let Knowledge::Answers { answers, .. } = &knowledge {
            for ((field, _), value) in answers {
                let known = values.entry(field.clone()).or_default();
                if !known.contains(value) {
                    known.insert(value.clone());
                }
            }
        }
        Self { knowledge, values, seed, untaught: UNTAUGHT, honours_n: true, calls: AtomicU64::new(0) }
    }

    /// A model over the answers of a data set, for trying any task without a real model.
    pub fn over_examples<'a>(examples: impl IntoIterator<Item = &'a Example>, seed: u64) -> Self {
        let mut answers = HashMap::new();
        for example in examples {
            let question = inputs_text(example.inputs().iter());
            for (name, value) in &example.labels() {
                answers.insert((name.clone(), question.clone()), plain_text(value));
            }
        }
        let distinct = answers.values().collect::<BTreeSet<_>>().len();
        let by_value = distinct * MIN_REPEATS <= answers.len();
        Self::new(Knowledge::Answers { answers, by_value }, seed)
    }

    /// How often it is right about what the prompt does not teach, from 0 to 1. Default: 0.25.
    #[must_use]
    pub fn with_untaught(mut self, share: f64) -> Self {
        self.untaught = share;
        self
    }

    /// Gives one completion whatever `n` a request has, as some servers do.
    #[must_use]
    pub fn ignoring_n(mut self) -> Self {
        self.honours_n = false;
        self
    }

    /// How many requests it has answered.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// The completion of a request with this index among its `n`.
    fn answer(&self, request: &LmRequest, index: u32) -> String {
        let mut hash = ContentHash::of(&(self.seed, &request.messages, request.sampling.temperature));
        if index > 0 {
            hash = ContentHash::join([hash.as_bytes(), &index.to_le_bytes()]);
        }
        let fields = requested_fields(request);
        if fields.is_empty() {
            // A bare prompt, whose answer is read from between fences.
            return format!("Here is what I would write.\n```\n{}\n```", self.write_up(request, hash));
        }
        let answered: Vec<_> = fields.iter().map(|field| self.field_value(field, request, hash)).collect();
        let known = answered.iter().any(Option::is_some);
        let values = fields.iter().zip(answered).map(|(field, value)| {
            let other =
                || if known { "It follows from the text.".to_owned() } else { self.write_up(request, hash) };
            (field.clone(), value.unwrap_or_else(other))
        });
        if request.response_format == ResponseFormat::Text && !asks_for_json(request) {
            let sections: String =
                values.map(|(field, value)| format!("[[ ## {field} ## ]]\n{value}\n\n")).collect();
            sections + "[[ ## completed ## ]]"
        } else {
            Value::Object(values.map(|(field, value)| (field, Value::from(value))).collect()).to_string()
        }
    }

    /// The value of a field the model has knowledge of; wrong when the coin says so.
    fn field_value(&self, field: &str, request: &LmRequest, hash: ContentHash) -> Option<String> {
        let chat = Chat::of(request)?;
        let (right, taught, others) = match &self.knowledge {
            Knowledge::Rules(rules) => {
                let mine = || rules.iter().filter(|rule| rule.field == field);
                let rule = mine().find(|rule| chat.question.contains(&rule.cue))?;
                let others: BTreeSet<&str> = mine().map(|rule| rule.value.as_str()).collect();
                (rule.value.as_str(), chat.teaches(rule), others)
            }
            Knowledge::Answers { answers, by_value } => {
                let question = inputs_text(sections(chat.question).iter().map(|(name, text)| (name, text)));
                let right = answers.get(&(field.to_owned(), question))?;
                let others = self.values.get(field).into_iter().flatten().map(String::as_str).collect();
                (right.as_str(), chat.teaches_value(right, *by_value), others)
            }
        };
        let chance = if taught { TAUGHT } else { self.untaught };
        if coin(hash, field) < chance {
            return Some(right.to_owned());
        }
        let wrong: Vec<_> = others.into_iter().filter(|value| *value != right).collect();
        let pick = (coin(hash, "wrong") * wrong.len() as f64) as usize;
        Some(wrong.get(pick).copied().unwrap_or("unknown").to_owned())
    }

    /// What a prompt model writes: the rules it can see in its request.
    fn write_up(&self, request: &LmRequest, hash: ContentHash) -> String {
        let text: String =
            request.messages.iter().map(|message| message.text()).collect::<Vec<_>>().join("\n");
        let mut written = vec![OPENING.to_owned()];
        match &self.knowledge {
            Knowledge::Rules(rules) => {
                let noticed = noticed(rules, &text, |rule| coin(hash, &rule.cue));
                written.extend(noticed.map(Rule::sentence));
            }
            Knowledge::Answers { .. } => {
                let values: BTreeSet<&String> = self.values.values().flatten().collect();
                let seen = values.iter().filter(|value| text.contains(value.as_str()));
                let noticed: Vec<_> = seen
                    .filter(|value| coin(hash, value) < NOTICED_IN_EXAMPLE)
                    .take(20)
                    .map(|value| value.as_str())
                    .collect();
                if !noticed.is_empty() {
                    written.push(format!("Typical answers are {}.", noticed.join(", ")));
                }
            }
        }
        // Different requests are worded differently even when they say the same.
        let pick = (coin(hash, "wording") * WORDINGS.len() as f64) as usize;
        written.extend(WORDINGS.get(pick).map(|&wording| wording.to_owned()));
        written.join(" ")
    }
}

#[async_trait]
impl LanguageModel for SimulatedLm {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new(format!("simulated seed={}", self.seed)).with_price(Price::FREE)
    }

    async fn complete(&self, request: &LmRequest, _attempts: &Attempts) -> Result<LmReply, LmError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let count = if self.honours_n { request.n.clamp(1, MAX_COMPLETIONS) } else { 1 };
        let completions: Vec<_> =
            (0..count).map(|index| Completion::new(self.answer(request, index))).collect();
        let usage = usage(request, &completions);
        Ok(LmReply::new(completions, usage))
    }
}

/// What a request and its completions take: four bytes to a token, and eight tokens to a call of a tool.
pub(crate) fn usage(request: &LmRequest, completions: &[Completion]) -> Usage {
    let tokens = |text: &str| (text.len() / 4) as u64 + 1;
    let written = |completion: &Completion| tokens(&completion.text) + 8 * completion.tool_calls.len() as u64;
    Usage::call(
        request.messages.iter().map(|message| tokens(message.text())).sum(),
        completions.iter().map(written).sum(),
    )
}

/// A task request taken apart.
pub(crate) struct Chat<'a> {
    pub(crate) instruction: &'a str,
    pub(crate) demos: Vec<(&'a str, &'a str)>,
    pub(crate) question: &'a str,
}

impl<'a> Chat<'a> {
    pub(crate) fn of(request: &'a LmRequest) -> Option<Self> {
        let is = |role| move |message: &&Message| message.role == role;
        let instruction = request.messages.iter().find(is(Role::System)).map_or("", |message| message.text());
        let (question, before) = request.messages.split_last()?;
        let mut demos = Vec::new();
        for pair in before.iter().filter(|message| message.role != Role::System).collect::<Vec<_>>().chunks(2)
        {
            if let [user, assistant] = pair {
                demos.push((user.text(), assistant.text()));
            }
        }
        // What is asked for in the closing line is no part of the question.
        let question = question.text().split("\n\nRespond with ").next()?;
        Some(Self { instruction, demos, question })
    }

    pub(crate) fn teaches(&self, rule: &Rule) -> bool {
        let shown =
            |(user, assistant): &(&str, &str)| user.contains(&rule.cue) && assistant.contains(&rule.value);
        states(self.instruction, &rule.cue, &rule.value) || self.demos.iter().any(shown)
    }

    /// The characters of the instruction and of all demos.
    pub(crate) fn prompt_chars(&self) -> usize {
        let objective = self.instruction.rsplit("your objective is:").next().unwrap_or_default();
        let demos =
            self.demos.iter().map(|(user, assistant)| user.chars().count() + assistant.chars().count());
        objective.trim().chars().count() + demos.sum::<usize>()
    }

    fn teaches_value(&self, value: &str, by_value: bool) -> bool {
        let objective = self.instruction.rsplit("your objective is:").next().unwrap_or_default();
        let shown = |(_, assistant): &(&str, &str)| !by_value || assistant.contains(value);
        self.demos.iter().any(shown) || (by_value && objective.contains(value))
    }
}

/// The rules that a prompt model writes down of those that it can see in a text: one that is stated 9 times of 10, one
/// that an example shows half of the time. `draw` is a number in [0, 1) for each.
pub(crate) fn noticed<'r>(
    rules: &'r [Rule],
    text: &str,
    draw: impl Fn(&Rule) -> f64,
) -> impl Iterator<Item = &'r Rule> {
    rules.iter().filter(move |rule| {
        let chance = if states(text, &rule.cue, &rule.value) {
            REPEATED_STATEMENT
        } else if shows(text, rule) {
            NOTICED_IN_EXAMPLE
        } else {
            0.0
        };
        draw(rule) < chance
    })
}

/// Whether a text states cue and value in one sentence.
pub(crate) fn states(text: &str, cue: &str, value: &str) -> bool {
    text.split(['.', '\n']).any(|sentence| sentence.contains(cue) && sentence.contains(value))
}

/// Whether a text shows an example: the cue, and the value on one of the next lines.
fn shows(text: &str, rule: &Rule) -> bool {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.windows(4).any(|window| {
        let (first, rest) = (window.first(), window.get(1..).unwrap_or_default());
        first.is_some_and(|line| line.contains(&rule.cue))
            && rest.iter().any(|line| line.contains(&rule.value))
    })
}

/// Whether the system message asks for JSON, which some clients do without a response format.
fn asks_for_json(request: &LmRequest) -> bool {
    request.messages.first().is_some_and(|message| message.text().contains("Outputs will be a JSON object"))
}

/// The output fields that a request in chat form asks for, from the list in its system message. None where it is a bare
/// text.
pub fn requested_fields(request: &LmRequest) -> Vec<String> {
    let system = request.messages.first().map_or("", |message| message.text());
    let outputs = system.split("Your output fields are:\n").nth(1).unwrap_or_default();
    outputs
        .lines()
        .take_while(|line| line.starts_with(|letter: char| letter.is_ascii_digit()))
        .filter_map(|line| line.split('`').nth(1).map(str::to_owned))
        .collect()
}

/// The fields of a user message in chat form.
fn sections(message: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for part in message.split("[[ ## ").skip(1) {
        if let Some((name, text)) = part.split_once(" ## ]]") {
            found.push((name.to_owned(), Value::from(text.trim())));
        }
    }
    found
}

fn inputs_text<'a>(inputs: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    inputs.map(|(name, value)| format!("{name}={}", plain_text(value).trim())).collect::<Vec<_>>().join("\n")
}

/// A number in [0, 1) that depends on nothing but its arguments.
pub(crate) fn coin(hash: ContentHash, about: &str) -> f64 {
    let bits = ContentHash::join([hash.as_bytes(), about.as_bytes()]).as_u64() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HiddenRules, toy};
    use futures_util::FutureExt as _;
    use promptopt_core::program::{CallContext, Module as _, Predictor as _};
    use promptopt_core::prompt::Prompt;
    use std::sync::Arc;

    fn share_right(instruction: impl Fn(&HiddenRules) -> String) -> f64 {
        let task = HiddenRules::new(12, 3);
        let mut program = toy::answerer();
        program.set_prompt(Prompt::new(instruction(&task)));
        let context = CallContext::new(Arc::new(task.model(1)));
        let examples = task.examples(400);
        let right = examples.iter().filter(|example| {
            let prediction = program.run(&context, &example.inputs()).now_or_never().unwrap().unwrap();
            prediction.get("answer") == example.get("answer")
        });
        right.count() as f64 / examples.len() as f64
    }

    #[test]
    fn what_the_prompt_teaches_is_known() {
        let untaught = share_right(|_| "Answer.".to_owned());
        let taught =
            share_right(|task| task.rules().iter().map(Rule::sentence).collect::<Vec<_>>().join(" "));
        assert!((0.18..0.32).contains(&untaught), "{untaught}");
        assert!((0.92..0.98).contains(&taught), "{taught}");
    }
}
