//! Tasks with something to gain from another prompt, and tasks with nothing.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Example};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::program::{Metric, Module};

use super::behaviour::{BehavingLm, Behaviour, Chance};
use super::landscape::Task;
use super::rules::{Rules, TASK_SEEDS};
use super::shown::Shown;
use crate::simulated::{Chat, coin};
use crate::{HiddenRules, Rule, toy};

const TRAIN: usize = 60;
const SELECTION: usize = 60;

/// A simulated task of which it is known whether another prompt would gain. All of it follows from a number.
///
/// ```
/// use promptopt_testkit::HeadroomTask;
///
/// let tasks: Vec<_> = (0..100).map(HeadroomTask::new).collect();
/// assert_eq!(tasks.iter().filter(|task| task.has_headroom).count(), 50);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct HeadroomTask {
    /// Its kind, such as `form` or `ceiling`.
    pub name: &'static str,
    /// Whether another prompt gains.
    pub has_headroom: bool,
    /// Examples that demos are taken from.
    pub train: Vec<Example>,
    /// Examples that prompts are compared on.
    pub selection: Vec<Example>,
    program: Arc<dyn Fn() -> Box<dyn Module> + Send + Sync>,
    model: Arc<dyn LanguageModel>,
}

/// How the chance of a right answer depends on the prompt and the row.
#[derive(Clone, Copy)]
enum Odds {
    /// The answer is known, and comes without other words more often where nothing but it is asked for.
    Form { before: f64, after: f64 },
    /// It is found more often step by step.
    Steps { before: f64, after: f64 },
    /// Whatever the prompt.
    Fixed(f64),
    /// This share of the rows is known, whatever the prompt.
    Known(f64),
}

impl HeadroomTask {
    /// The task of a number: eight kinds in turn, of which every other one has headroom.
    pub fn new(number: u64) -> Self {
        let hash = ContentHash::of(&("headroom task", number));
        let between = |about: &str, low: f64, high: f64| low + (high - low) * coin(hash, about);
        let fixed = |about, low, high| Odds::Fixed(between(about, low, high));
        match number % 8 {
            0 => {
                let odds =
                    Odds::Form { before: between("before", 0.0, 0.4), after: between("after", 0.7, 0.95) };
                Self::answered("form", true, number, odds, false)
            }
            1 => Self::answered("ceiling", false, number, fixed("chance", 0.88, 0.97), false),
            2 => Self::taught("demos", number, &Shown::new(number)),
            3 => Self::answered("knowledge", false, number, Odds::Known(between("share", 0.3, 0.7)), false),
            4 => {
                let before = between("before", 0.15, 0.5);
                let odds = Odds::Steps { before, after: before + between("gain", 0.25, 0.45) };
                Self::answered("instruction", true, number, odds, false)
            }
            5 => Self::answered("coins", false, number, fixed("chance", 0.3, 0.7), false),
            6 => Self::taught("rules", number, &Rules::new(number)),
            _ => Self::answered("coins at each draw", false, number, fixed("chance", 0.3, 0.7), true),
        }
    }

    fn taught(name: &'static str, number: u64, task: &dyn Task) -> Self {
        Self::with(name, true, task.examples(TRAIN + SELECTION), task.model(number))
    }

    fn answered(name: &'static str, has_headroom: bool, number: u64, odds: Odds, by_draw: bool) -> Self {
        let rules = HiddenRules::new(12, TASK_SEEDS + number);
        let answers = Answers { rules: rules.rules().to_vec(), odds };
        let model = AnsweringLm { name, answers, seed: number, by_draw };
        Self::with(name, has_headroom, rules.examples(TRAIN + SELECTION), Arc::new(model))
    }

    fn with(
        name: &'static str,
        has_headroom: bool,
        mut train: Vec<Example>,
        model: Arc<dyn LanguageModel>,
    ) -> Self {
        let selection = train.split_off(TRAIN);
        let program = Arc::new(|| Box::new(toy::answerer()) as Box<dyn Module>);
        Self { name, has_headroom, train, selection, program, model }
    }

    /// The program, with a plain prompt.
    pub fn program(&self) -> Box<dyn Module> {
        (self.program)()
    }

    /// The model it runs on.
    pub fn model(&self) -> Arc<dyn LanguageModel> {
        Arc::clone(&self.model)
    }

    /// Whether the answer is exactly the expected one.
    pub fn metric(&self) -> impl Metric + use<> {
        toy::exact_answer()
    }
}

impl fmt::Debug for HeadroomTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HeadroomTask").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Answers {
    rules: Vec<Rule>,
    odds: Odds,
}

impl Behaviour for Answers {
    fn value(&self, field: &str, chat: &Chat<'_>, chance: Chance) -> Option<String> {
        let rule = self.rules.iter().find(|rule| rule.field == field && chat.question.contains(&rule.cue))?;
        let right = &rule.value;
        let says = |words: &str| chat.instruction.contains(words);
        let (odds, wrong) = match self.odds {
            Odds::Form { before, after } => {
                (if says("nothing but") { after } else { before }, format!("I think that it is {right}."))
            }
            Odds::Steps { before, after } => {
                (if says("step by step") { after } else { before }, String::new())
            }
            Odds::Fixed(odds) => (odds, String::new()),
            Odds::Known(share) => {
                let known = coin(ContentHash::of(chat.question), "known") < share;
                (if known { 0.95 } else { 0.03 }, String::new())
            }
        };
        let wrong = if wrong.is_empty() { "unknown".to_owned() } else { wrong };
        Some(if chance.of(field) < odds { right.clone() } else { wrong })
    }

    fn write_up(&self, _text: &str, _chance: Chance) -> String {
        "Answer with care.".to_owned()
    }
}

/// A model that answers so: the same at each draw, or not.
struct AnsweringLm {
    name: &'static str,
    answers: Answers,
    seed: u64,
    by_draw: bool,
}

impl AnsweringLm {
    fn at(&self, draw: u64) -> BehavingLm<Answers> {
        let seed = if self.by_draw { self.seed.wrapping_add(draw << 32) } else { self.seed };
        BehavingLm { name: self.name.to_owned(), behaviour: self.answers.clone(), seed }
    }
}

#[async_trait]
impl LanguageModel for AnsweringLm {
    fn profile(&self) -> ModelProfile {
        self.at(0).profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        self.at(request.sample_index).complete(request, attempts).await
    }
}
