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

const MODULE: (&str, &str) = ("module", "The module that the instruction is for: what it takes and gives.");
const INSTRUCTION: (&str, &str) = ("present_instruction", "The instruction that the module has now.");
const ATTEMPTS: (&str, &str) =
    ("attempts", "Instructions that were tried, each with its mean score; the lowest first.");
const MISTAKES: (&str, &str) =
    ("mistakes", "Runs of the program that went wrong under the best instruction so far.");
const VARIANT: (&str, &str) = ("variant", "Which of several instructions this one is.");
const OUTPUT: (&str, &str) = ("proposed_instruction", "The new instruction, and nothing else.");

/// What instructions are to be written from.
pub(crate) struct Request<'a> {
    pub(crate) program: &'a dyn Evaluator,
    pub(crate) predictor: &'a dyn Predictor,
    /// The instruction it has in the best candidate so far.
    pub(crate) instruction: &'a str,
    /// What was tried, the worst first.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) mistakes: &'a Mistakes,
}

impl<'a> Request<'a> {
    /// A request for a predictor, whose instruction is that of the best candidate so far.
    pub(crate) fn new(
        program: &'a dyn Evaluator,
        predictor: &'a dyn Predictor,
        best: &'a PromptCandidate,
        attempts: Vec<Attempt>,
        mistakes: &'a Mistakes,
    ) -> Self {
        let instruction = best.instruction(predictor.path()).unwrap_or_default();
        Self { program, predictor, instruction, attempts, mistakes }
    }

    /// The fields that are told, in order.
    pub(crate) fn inputs(&self, variant: bool) -> Vec<(&'static str, &'static str)> {
        let mistakes = self.mistakes.any().then_some(MISTAKES);
        let told = if self.is_first() { INSTRUCTION } else { ATTEMPTS };
        [Some(MODULE), Some(told), mistakes, variant.then_some(VARIANT)].into_iter().flatten().collect()
    }

    /// The texts of a request that are the same for every task.
    pub(crate) fn fixed_texts(&self) -> impl Iterator<Item = &'static str> {
        [PROPOSE, REFINE]
            .into_iter()
            .chain([MODULE, INSTRUCTION, ATTEMPTS, MISTAKES, VARIANT, OUTPUT].map(|field| field.1))
    }

    pub(crate) fn brief<'b>(&self, inputs: &'b [(&'b str, &'b str)]) -> Brief<'b> {
        let instruction = if self.is_first() { PROPOSE } else { REFINE };
        Brief::new("propose_instruction", instruction, inputs, OUTPUT)
    }

    /// One request. Each has its own choice of mistakes.
    pub(crate) fn assignment(&self, variant: Option<String>, draw: u64, rng: &mut impl Rng) -> Assignment {
        let mut inputs = Fields::new();
        let mut tell = |(name, _): (&str, &str), text: String| {
            inputs.insert(name.to_owned(), Value::from(text));
        };
        tell(MODULE, self.module());
        if self.is_first() {
            tell(INSTRUCTION, self.instruction.to_owned());
        } else {
            tell(ATTEMPTS, self.ranking());
        }
        if let Some(variant) = variant {
            tell(VARIANT, variant);
        }
        let assignment = Assignment::new(inputs).with_draw(draw);
        match self.mistakes.texts(self.predictor.path(), rng) {
            none if none.is_empty() => assignment,
            mistakes => assignment.with_records(MISTAKES.0, mistakes, numbered),
        }
    }

    /// Whether there is nothing to rank yet.
    fn is_first(&self) -> bool {
        self.attempts.len() < 2
    }

    fn ranking(&self) -> String {
        let line = |attempt: &Attempt| {
            format!("Instruction: {}\nScore: {:.3}", attempt.instruction.trim(), attempt.score)
        };
        self.attempts.iter().map(line).collect::<Vec<_>>().join("\n\n")
    }

    fn module(&self) -> String {
        let line = |predictor: &dyn Predictor| format!("{}: {}", predictor.path(), predictor.signature());
        let mut text = line(self.predictor);
        for field in self.predictor.signature().fields().filter(|field| !field.description.is_empty()) {
            text += &format!("\n- {}: {}", field.name, field.description);
        }
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
