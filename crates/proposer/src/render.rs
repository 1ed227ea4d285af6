//! Rendering of the prompt files.

use minijinja::{Environment, UndefinedBehavior};
use promptopt_core::data::{Fields, plain_text, shorten};
use promptopt_core::signature::Field;
use serde::Serialize;
use serde_json::Value;

use crate::{Attempt, Error, ProgramInfo};

pub(crate) const OBSERVE_DATA: &str = include_str!("../prompts/observe_data.md");
pub(crate) const SUMMARIZE_DATA: &str = include_str!("../prompts/summarize_data.md");
pub(crate) const DESCRIBE_PROGRAM: &str = include_str!("../prompts/describe_program.md");
pub(crate) const DESCRIBE_PREDICTOR: &str = include_str!("../prompts/describe_predictor.md");
pub(crate) const PROPOSE_INSTRUCTION: &str = include_str!("../prompts/propose_instruction.md");

/// Values of examples are cut to this many characters in a prompt.
const MAX_VALUE_CHARS: usize = 1000;
/// The source of a program is cut to this many characters in a prompt.
const MAX_SOURCE_CHARS: usize = 20_000;

fn render(name: &'static str, template: &str, values: impl Serialize) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .render_str(template, minijinja::value::Serde(values))
        .map(|text| text.trim().to_owned())
        .map_err(|source| Error::Template { name, source })
}

/// The pseudo-code of a program.
pub(crate) fn program(info: &ProgramInfo) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Line<'a> {
        path: &'a str,
        signature: String,
        instruction: &'a str,
        described: Vec<&'a Field>,
    }
    #[derive(Serialize)]
    struct Values<'a> {
        name: &'a str,
        source: Option<String>,
        predictors: Vec<Line<'a>>,
    }
    let predictors = info.predictors.iter().map(|predictor| Line {
        path: &predictor.path,
        signature: predictor.signature.to_string(),
        instruction: &predictor.instruction,
        described: predictor.signature.fields().filter(|field| !field.description.is_empty()).collect(),
    });
    let source = info.source.as_deref().map(|source| shorten(source, MAX_SOURCE_CHARS));
    render(
        "program.jinja",
        include_str!("../prompts/program.jinja"),
        Values { name: &info.name, source, predictors: predictors.collect() },
    )
}

/// An example or a demo as lines `name: value`.
pub(crate) fn example(fields: &Fields) -> String {
    let line = |(name, value): (&String, &Value)| {
        format!("{name}: {}", shorten(&plain_text(value), MAX_VALUE_CHARS))
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Examples as blocks, or what stands in their place where none may be shown.
pub(crate) fn blocks(examples: &[&str]) -> String {
    if examples.is_empty() { "(none)".to_owned() } else { examples.join("\n\n").trim().to_owned() }
}

/// What was tried, with its scores.
pub(crate) fn tried(attempts: &[&Attempt]) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Line<'a> {
        instruction: &'a str,
        score: String,
    }
    #[derive(Serialize)]
    struct Values<'a> {
        attempts: Vec<Line<'a>>,
    }
    let lines = attempts
        .iter()
        .map(|attempt| Line { instruction: &attempt.instruction, score: format!("{:.3}", attempt.score) });
    render("tried.jinja", include_str!("../prompts/tried.jinja"), Values { attempts: lines.collect() })
}

/// The parts of an instruction that is composed without a model.
#[derive(Debug, Serialize)]
pub(crate) struct InstructionParts {
    pub(crate) role: Option<String>,
    pub(crate) task: String,
    pub(crate) labels: Option<String>,
    pub(crate) lines: Vec<String>,
}

/// An instruction out of its parts.
pub(crate) fn instruction(parts: &InstructionParts) -> Result<String, Error> {
    render("instruction.jinja", include_str!("../prompts/instruction.jinja"), parts)
}
