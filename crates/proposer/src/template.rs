//! Instructions composed from signature, data and tips, without any model.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{Example, FieldType, InstructionRequest, InstructionWriter, Signature};
use promptopt_tips::{PromptingTips, Tip};
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::render::{InstructionParts, instruction};
use crate::task::normalized;
use crate::{DataFacts, Error, PredictorInfo, Proposal, ProposalSource, Proposals, Proposer, Study, Task};

/// How many tips are drawn for an instruction. Long wordy ones confuse small models.
const FEWEST_TIPS: usize = 3;
const MOST_TIPS: usize = 8;
/// How many draws a proposal may take before the possibilities count as used up.
const DRAWS: usize = 40;

/// Composes instructions from the signature, what the data shows and tips. Needs no model, so it
/// serves where there is none that can write, and it costs nothing.
///
/// Tips speak to whoever writes an instruction; this proposer has a sentence for the model behind
/// each tip of the default library that says something about a single answer, and uses it when the
/// tip is drawn. It can do nothing with tips it has no sentence for.
#[derive(Debug, Clone, Default)]
pub struct TemplateProposer {
    tips: PromptingTips,
}

impl TemplateProposer {
    /// Another library of tips to draw from, such as a part of the default one.
    #[must_use]
    pub fn with_tips(mut self, tips: PromptingTips) -> Self {
        self.tips = tips;
        self
    }
}

#[async_trait]
impl Proposer for TemplateProposer {
    async fn study(&self, task: &Task) -> Result<Study, Error> {
        let facts = task
            .program
            .predictors
            .iter()
            .map(|predictor| DataFacts::of(&predictor.signature, &task.examples));
        let summary =
            facts.map(|facts| facts.summary()).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        Ok(Study { data_summary: (!summary.is_empty()).then_some(summary), ..Study::default() })
    }

    async fn propose(&self, task: &Task, _study: &Study, count: usize) -> Result<Proposals, Error> {
        let mut proposals = Proposals::default();
        for (index, predictor) in task.program.predictors.iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(task.seed.wrapping_add(index as u64));
            let composed = compose(predictor, &self.tips, &task.examples, count, &mut rng, |text| {
                task.is_taken(&predictor.path, text)
            })?;
            proposals.instructions.insert(predictor.path.clone(), composed);
        }
        Ok(proposals)
    }
}

#[async_trait]
impl InstructionWriter for TemplateProposer {
    async fn write_instruction(&self, request: &InstructionRequest) -> anyhow::Result<Option<String>> {
        let predictor = PredictorInfo {
            path: request.predictor.clone(),
            signature: request.signature.clone(),
            instruction: request.signature.instructions().to_owned(),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
        let taken = |text: &str| {
            let is = |known: &String| normalized(known) == normalized(text);
            is(&request.instruction) || request.taken.iter().any(is)
        };
        let composed = compose(&predictor, &self.tips, &request.examples, 1, &mut rng, taken)?;
        Ok(composed.into_iter().next().map(|proposal| proposal.instruction))
    }
}

/// Up to `count` different instructions for a predictor that are not taken.
pub(crate) fn compose(
    predictor: &PredictorInfo,
    tips: &PromptingTips,
    examples: &[Arc<Example>],
    count: usize,
    rng: &mut ChaCha8Rng,
    is_taken: impl Fn(&str) -> bool,
) -> Result<Vec<Proposal>, Error> {
    let facts = DataFacts::of(&predictor.signature, examples);
    let mut written: Vec<Proposal> = Vec::new();
    for _ in 0..count.saturating_mul(DRAWS) {
        if written.len() >= count {
            break;
        }
        let drawn = rng.random_range(FEWEST_TIPS..=MOST_TIPS);
        let drawn: Vec<&str> =
            tips.select(&predictor.signature, rng, drawn).into_iter().map(Tip::key).collect();
        let text = instruction(&parts(predictor, &facts, &drawn, rng))?;
        let known = written.iter().any(|other| normalized(&other.instruction) == normalized(&text));
        if !known && !is_taken(&text) {
            written.push(Proposal { instruction: text, source: ProposalSource::Template, tip: None });
        }
    }
    Ok(written)
}

fn names(fields: &[promptopt_core::Field]) -> String {
    fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(" and ")
}

fn parts(
    predictor: &PredictorInfo,
    facts: &DataFacts,
    tips: &[&str],
    rng: &mut ChaCha8Rng,
) -> InstructionParts {
    let signature = &predictor.signature;
    let (inputs, outputs) = (names(signature.inputs()), names(signature.outputs()));
    let tasks = [
        predictor.instruction.clone(),
        format!("Read {inputs} and answer with {outputs}."),
        format!("Decide {outputs} from {inputs}."),
        format!("{} Read {inputs} to the end before you answer.", predictor.instruction),
    ];
    let roles = [
        "a careful annotator".to_owned(),
        format!("an expert in finding {outputs}"),
        "an experienced clerk who never guesses".to_owned(),
    ];
    let role = tips.contains(&"role").then(|| roles.choose(rng).cloned()).flatten();
    let vocabulary: Vec<_> =
        signature.outputs().iter().filter_map(|field| label_line(field, facts, rng)).collect();
    let lines = practices(signature, facts).into_iter().filter(|(tip, _)| tips.contains(tip));
    let lines = lines.map(|(_, line)| line).collect();
    InstructionParts {
        role,
        task: tasks.choose(rng).cloned().unwrap_or_default(),
        labels: (!vocabulary.is_empty() && rng.random_bool(0.75)).then(|| vocabulary.join("\n")),
        lines,
    }
}

/// What an output can be, when that is a short list.
fn label_line(field: &promptopt_core::Field, facts: &DataFacts, rng: &mut ChaCha8Rng) -> Option<String> {
    let values = match &field.kind {
        FieldType::Enum(values) => values.clone(),
        FieldType::Bool => vec!["True".to_owned(), "False".to_owned()],
        _ => facts.outputs.get(&field.name)?.vocabulary.clone()?,
    };
    let name = &field.name;
    let list = values.join(", ");
    let lines = [
        format!("The {name} is one of: {list}."),
        format!("Choose the {name} from: {list}."),
        format!("Answer with exactly one of these for {name}: {list}."),
    ];
    lines.choose(rng).cloned()
}

/// For tips that fit the signature and the data, a sentence that does what the tip says.
fn practices(signature: &Signature, facts: &DataFacts) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("clear_language", "Be exact.".to_owned()),
        ("conciseness", "Give the answer only, with no explanation.".to_owned()),
        (
            "decision_criteria",
            "If several answers seem possible, take the one that the main request of the text asks for."
                .to_owned(),
        ),
        ("grounding", "Go by what the text says and nothing else.".to_owned()),
        ("demo_pattern", "Follow the pattern of the examples.".to_owned()),
        ("edge_cases", "Give the best answer even when the text is short or unclear.".to_owned()),
    ];
    for field in signature.outputs() {
        let name = &field.name;
        match &field.kind {
            FieldType::Bool => lines.push(("label_vocabulary", format!("Write {name} as True or False."))),
            FieldType::Integer | FieldType::Float => {
                lines.push(("number_format", format!("Write {name} as a plain number.")));
            }
            FieldType::List(_) | FieldType::Object(_) => {
                lines.push(("structured_output", format!("Write {name} as valid JSON.")));
            }
            _ => {}
        }
        let Some(output) = facts.outputs.get(name) else { continue };
        if output.verbatim > 0.9 {
            let line = format!("Copy the {name} from the text exactly as it is written there.");
            lines.push(("verbatim_extraction", line));
        }
        if output.median_words <= 3 {
            lines.push(("output_format", format!("Keep the {name} short: {} as a rule.", output.length())));
        }
    }
    lines
}
