//! What the prompt model is told.

use promptopt_core::data::Fields;
use promptopt_core::program::{Evaluator, Predictor};
use promptopt_core::prompt::PromptCandidate;
use promptopt_run::{Assignment, Brief};
use rand::Rng;
use serde_json::Value;

use crate::attempts::Attempt;
use crate::mistakes::{Mistakes, numbered};

const PROPOSE: &str = include_str!("../prompts/propose.md");
const REFINE: &str = include_str!("../prompts/refine.md");
const BEGIN: &str = include_str!("../prompts/begin.md");
const FIT: &str = include_str!("../prompts/fit.md");

const MODULE: (&str, &str) = ("module", "The module that the instruction is for: what it takes and gives.");
const INSTRUCTION: (&str, &str) = ("present_instruction", "The instruction that the module has now.");
const ATTEMPTS: (&str, &str) =
    ("attempts", "Instructions that were tried, each with its mean score; the lowest first.");
const MISTAKES: (&str, &str) =
    ("mistakes", "Runs of the program that went wrong under the best instruction so far.");
const OTHER: (&str, &str) =
    ("other_module", "Another module of the program, and the instruction it has just been given.");
const RUNS: (&str, &str) = ("runs", "Runs of the program since the other module has that instruction.");
const VARIANT: (&str, &str) = ("variant", "Which of several instructions this one is.");
const OUTPUT: (&str, &str) = ("proposed_instruction", "The new instruction, and nothing else.");

/// What an instruction begins with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Beginning {
    /// The instruction that the predictor has in the best candidate so far, or the ranked attempts, the worst first,
    /// where there are several.
    Attempts(Vec<Attempt>),
    /// Mistakes alone, so that nothing of the present instruction is taken over.
    Nothing,
    /// A change of another predictor, with its path and its new instruction.
    Change(String, String),
}

/// What instructions are to be written from.
pub(crate) struct Request<'a> {
    pub(crate) program: &'a dyn Evaluator,
    pub(crate) predictor: &'a dyn Predictor,
    /// The instruction it has in the best candidate so far.
    pub(crate) instruction: &'a str,
    pub(crate) beginning: Beginning,
    pub(crate) mistakes: &'a Mistakes,
}

impl<'a> Request<'a> {
    /// A request for a predictor, whose instruction is that of the best candidate so far.
    pub(crate) fn new(
        program: &'a dyn Evaluator,
        predictor: &'a dyn Predictor,
        best: &'a PromptCandidate,
        beginning: Beginning,
        mistakes: &'a Mistakes,
    ) -> Self {
        let instruction = best.instruction(predictor.path()).unwrap_or_default();
        Self { program, predictor, instruction, beginning, mistakes }
    }

    /// The fields that are told, in order.
    pub(crate) fn inputs(&self, variant: bool) -> Vec<(&'static str, &'static str)> {
        let told: &[_] = match &self.beginning {
            Beginning::Attempts(_) if self.is_ranked() => &[ATTEMPTS],
            Beginning::Attempts(_) => &[INSTRUCTION],
            Beginning::Nothing => &[],
            Beginning::Change(..) => &[INSTRUCTION, OTHER],
        };
        let records = self.mistakes.any(self.shows_all()).then_some(self.records());
        let variant = variant.then_some(VARIANT);
        [MODULE].into_iter().chain(told.iter().copied()).chain(records).chain(variant).collect()
    }

    /// The texts of a request that are the same for every task.
    pub(crate) fn fixed_texts(&self) -> impl Iterator<Item = &'static str> {
        [PROPOSE, REFINE, BEGIN, FIT].into_iter().chain(
            [MODULE, INSTRUCTION, ATTEMPTS, MISTAKES, OTHER, RUNS, VARIANT, OUTPUT].map(|field| field.1),
        )
    }

    pub(crate) fn brief<'b>(&self, inputs: &'b [(&'b str, &'b str)]) -> Brief<'b> {
        let instruction = match &self.beginning {
            Beginning::Attempts(_) if self.is_ranked() => REFINE,
            Beginning::Attempts(_) => PROPOSE,
            Beginning::Nothing => BEGIN,
            Beginning::Change(..) => FIT,
        };
        Brief::new("propose_instruction", instruction, inputs, OUTPUT)
    }

    /// One request. Each has its own choice of mistakes.
    pub(crate) fn assignment(&self, variant: Option<String>, draw: u64, rng: &mut impl Rng) -> Assignment {
        let mut inputs = Fields::new();
        let mut tell = |(name, _): (&str, &str), text: String| {
            inputs.insert(name.to_owned(), Value::from(text));
        };
        tell(MODULE, self.module());
        match &self.beginning {
            Beginning::Attempts(attempts) if self.is_ranked() => tell(ATTEMPTS, ranking(attempts)),
            Beginning::Attempts(_) => tell(INSTRUCTION, self.instruction.to_owned()),
            Beginning::Nothing => {}
            Beginning::Change(path, instruction) => {
                tell(INSTRUCTION, self.instruction.to_owned());
                tell(OTHER, format!("{path}:\n{}", instruction.trim()));
            }
        }
        if let Some(variant) = variant {
            tell(VARIANT, variant);
        }
        let assignment = Assignment::new(inputs).with_draw(draw);
        match self.mistakes.texts(self.predictor.path(), self.shows_all(), rng) {
            none if none.is_empty() => assignment,
            records => {
                let heading = if self.shows_all() { "Run" } else { "Mistake" };
                assignment.with_records(self.records().0, records, move |texts| numbered(heading, texts))
            }
        }
    }

    /// Whether there are several attempts to rank.
    fn is_ranked(&self) -> bool {
        matches!(&self.beginning, Beginning::Attempts(attempts) if attempts.len() > 1)
    }

    /// Whether runs that went well are shown, too.
    fn shows_all(&self) -> bool {
        matches!(self.beginning, Beginning::Change(..))
    }

    fn records(&self) -> (&'static str, &'static str) {
        if self.shows_all() { RUNS } else { MISTAKES }
    }

    fn module(&self) -> String {
        let line = |predictor: &dyn Predictor| format!("{}: {}", predictor.path(), predictor.signature());
        let mut text = line(self.predictor);
        for field in self.predictor.signature().fields().filter(|field| !field.description.is_empty()) {
            text += &format!("\n- {}: {}", field.name, field.description);
        }
        text.extend(self.predictor.about().map(|about| format!("\n{about}")));
        let all = self.program.predictors();
        if all.len() > 1 {
            text += "\n\nIt is one of these modules of a program:";
            for predictor in all {
                text += &format!("\n{}", line(predictor));
            }
        }
        text
    }
}

fn ranking(attempts: &[Attempt]) -> String {
    let line = |attempt: &Attempt| {
        format!("Instruction: {}\nScore: {:.3}", attempt.instruction.trim(), attempt.score)
    };
    attempts.iter().map(line).collect::<Vec<_>>().join("\n\n")
}
