//! Instructions composed from signature, data and tips, without any model.

use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::data::Example;
use promptopt_core::signature::{Field, FieldType, Signature};
use promptopt_run::proposal::Known;
use promptopt_run::{InstructionRequest, InstructionWriter, Run};
use promptopt_tips::{PromptingTips, Tip};
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::render::{InstructionParts, instruction};
use crate::{DataFacts, Error, PredictorInfo};

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
impl InstructionWriter for TemplateProposer {
    async fn write_instructions(
        &self,
        _run: &mut Run<'_>,
        request: &InstructionRequest,
    ) -> anyhow::Result<Vec<String>> {
        let instruction = request.signature.instructions();
        let predictor = PredictorInfo::new(&request.predictor, request.signature.clone(), instruction);
        let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
        let mut known: Known = request.taken.iter().chain([&request.instruction]).collect();
        Ok(compose(&predictor, &self.tips, &request.examples, request.count, &mut rng, &mut known)?)
    }
}

/// Up to `count` different instructions for a predictor that are not known, which they are then.
pub(crate) fn compose(
    predictor: &PredictorInfo,
    tips: &PromptingTips,
    examples: &[Arc<Example>],
    count: usize,
    rng: &mut ChaCha8Rng,
    known: &mut Known,
) -> Result<Vec<String>, Error> {
    let facts = DataFacts::of(&predictor.signature, examples);
    let mut written: Vec<String> = Vec::new();
    for _ in 0..count.saturating_mul(DRAWS) {
        if written.len() >= count {
            break;
        }
        let drawn = rng.random_range(FEWEST_TIPS..=MOST_TIPS);
        let drawn: Vec<&str> =
            tips.select(&predictor.signature, rng, drawn).into_iter().map(Tip::key).collect();
        let text = instruction(&parts(predictor, &facts, &drawn, rng))?;
        if known.note(&text) {
            written.push(text);
        }
    }
    Ok(written)
}

fn names(fields: &[Field]) -> String {
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
fn label_line(field: &Field, facts: &DataFacts, rng: &mut ChaCha8Rng) -> Option<String> {
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
