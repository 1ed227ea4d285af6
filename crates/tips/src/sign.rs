//! What a signature shows about the task.

use promptopt_core::signature::{Field, FieldType, Signature};
use serde::{Deserialize, Serialize};

/// Something a signature shows about its task: by the types of its fields, by how many there are,
/// or by the words in their names and descriptions.
///
/// Types are facts; words are a guess, which is why they only shift weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sign {
    /// An output is a list or an object.
    StructuredOutput,
    /// An output is one of a few literals or a bool, or a list of such.
    LabelOutput,
    /// An output is an integer or a float, or a list of such.
    NumericOutput,
    /// An output is text made for a reader, such as a summary or a reply.
    ProseOutput,
    /// An output is text that probably stands in a long input as it is, such as a name in a message.
    ExtractedOutput,
    /// An output holds the reasoning, as in a chain of thought.
    Reasoning,
    /// An input is a longer text, such as a document or a message.
    LongInput,
    /// There are two inputs or more.
    SeveralInputs,
    /// There are two outputs or more, reasoning apart.
    SeveralOutputs,
}

const REASONING: &str = "reasoning rationale thought thoughts";

const LONG_TEXT: &str = "abstract article body comment content context conversation dialog \
    dialogue document documents email letter message note notes page \
    paragraph passage passages post report review text ticket transcript";

const PROSE: &str = "advice article caption draft email essay explanation headline letter \
    message paraphrase poem post reply report response rewrite slogan \
    story summary title translation";

impl Sign {
    /// Whether a signature shows this.
    pub fn is_shown_by(self, signature: &Signature) -> bool {
        let mut outputs = signature.outputs().iter().filter(|field| !is_reasoning(field));
        match self {
            Self::StructuredOutput => outputs.any(|field| field.kind.is_structured()),
            Self::LabelOutput => {
                outputs.any(|field| matches!(item_type(&field.kind), FieldType::Enum(_) | FieldType::Bool))
            }
            Self::NumericOutput => {
                outputs.any(|field| matches!(item_type(&field.kind), FieldType::Integer | FieldType::Float))
            }
            Self::ProseOutput => outputs.any(is_prose),
            Self::ExtractedOutput => {
                let long_input = signature.inputs().iter().any(is_long_text);
                long_input && outputs.any(|field| is_text(field) && !is_prose(field))
            }
            Self::Reasoning => signature.outputs().iter().any(is_reasoning),
            Self::LongInput => signature.inputs().iter().any(is_long_text),
            Self::SeveralInputs => signature.inputs().len() > 1,
            Self::SeveralOutputs => outputs.count() > 1,
        }
    }
}

/// The type behind lists: what one item of the field is.
fn item_type(kind: &FieldType) -> &FieldType {
    match kind {
        FieldType::List(item) | FieldType::Optional(item) => item_type(item),
        other => other,
    }
}

fn is_text(field: &Field) -> bool {
    matches!(item_type(&field.kind), FieldType::String)
}

fn is_reasoning(field: &Field) -> bool {
    is_text(field) && has_word(&field.name, REASONING)
}

fn is_prose(field: &Field) -> bool {
    matches!(field.kind, FieldType::String) && has_word(&field.name, PROSE)
}

fn is_long_text(field: &Field) -> bool {
    is_text(field) && (has_word(&field.name, LONG_TEXT) || has_word(&field.description, LONG_TEXT))
}

/// Whether a text holds one of some words, which spaces separate.
fn has_word(text: &str, words: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric())
        .any(|part| words.split(' ').any(|word| word.eq_ignore_ascii_case(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Sign; 9] = [
        Sign::StructuredOutput,
        Sign::LabelOutput,
        Sign::NumericOutput,
        Sign::ProseOutput,
        Sign::ExtractedOutput,
        Sign::Reasoning,
        Sign::LongInput,
        Sign::SeveralInputs,
        Sign::SeveralOutputs,
    ];

    fn check(signature: &str, expected: &[Sign]) {
        let signature = Signature::parse(signature).unwrap();
        let shown: Vec<Sign> = ALL.into_iter().filter(|sign| sign.is_shown_by(&signature)).collect();
        assert_eq!(shown, expected, "{signature}");
    }

    #[test]
    fn signs_are_read_off_types_counts_and_names() {
        use Sign::*;
        check("question -> answer", &[]);
        check("question -> reasoning, answer: int", &[NumericOutput, Reasoning]);
        check("ticket -> department: enum[a, b]", &[LabelOutput, LongInput]);
        check("message -> city", &[ExtractedOutput, LongInput]);
        check("document -> summary", &[ProseOutput, LongInput]);
        check("support_ticket -> tags: list[enum[a, b]]", &[StructuredOutput, LabelOutput, LongInput]);
        check(
            "x, y -> total: float, record: object",
            &[StructuredOutput, NumericOutput, SeveralInputs, SeveralOutputs],
        );
        check("context, question -> answer: bool", &[LabelOutput, LongInput, SeveralInputs]);
    }

    #[test]
    fn descriptions_of_inputs_count() {
        let input = Field::new("source").described("The article, as published.");
        let signature = Signature::new([input], [Field::new("author")], "").unwrap();
        assert!(Sign::LongInput.is_shown_by(&signature));
        assert!(Sign::ExtractedOutput.is_shown_by(&signature));
    }
}
