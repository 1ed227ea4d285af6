//! Signatures: what a predictor takes, what it gives, and the basic instruction.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

mod date;
mod field_type;
mod history;
mod media;
mod reading;
#[cfg(feature = "schema")]
mod rust_type;
mod typed;

pub use field_type::FieldType;
use field_type::split_outside_brackets;
pub use history::History;
#[cfg(feature = "schema")]
pub use rust_type::FieldValue;
pub use typed::{TypedSignature, from_fields, to_fields};

/// One field of a signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Field {
    /// Name: a letter or `_`, then letters, digits and `_`.
    pub name: String,
    /// Type of its values.
    #[serde(default, rename = "type")]
    pub kind: FieldType,
    /// What it means; empty when the name says it.
    #[serde(default)]
    pub description: String,
}

impl Field {
    /// A text field.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: FieldType::String, description: String::new() }
    }

    /// The same field with a type.
    #[must_use]
    pub fn typed(mut self, kind: FieldType) -> Self {
        self.kind = kind;
        self
    }

    /// The same field with a description.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let (name, kind) = match text.split_once(':') {
            Some((name, kind)) => {
                (name, FieldType::parse(kind).map_err(|reason| Error::signature(text, reason))?)
            }
            None => (text, FieldType::String),
        };
        Ok(Self::new(name.trim()).typed(kind))
    }
}

impl From<&str> for Field {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// What a predictor takes and gives, and the instruction it starts with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    instructions: String,
    inputs: Vec<Field>,
    outputs: Vec<Field>,
}

impl Signature {
    /// A signature from fields and an instruction; an empty instruction becomes "Given the fields
    /// …, produce the fields …".
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] when there is no input or no output, or a name is not an identifier,
    /// stands twice or is the reserved `completed`.
    pub fn new(
        inputs: impl IntoIterator<Item = Field>,
        outputs: impl IntoIterator<Item = Field>,
        instructions: impl Into<String>,
    ) -> Result<Self, Error> {
        let mut signature = Self {
            instructions: instructions.into(),
            inputs: inputs.into_iter().collect(),
            outputs: outputs.into_iter().collect(),
        };
        signature.check()?;
        if signature.instructions.trim().is_empty() {
            signature.instructions = signature.default_instructions();
        }
        Ok(signature)
    }

    /// A signature whose fields `#[derive(Signature)]` has checked.
    #[doc(hidden)]
    pub fn derived(
        inputs: impl IntoIterator<Item = Field>,
        outputs: impl IntoIterator<Item = Field>,
        instructions: &str,
    ) -> Self {
        let (inputs, outputs) = (inputs.into_iter().collect(), outputs.into_iter().collect());
        let mut signature = Self { instructions: instructions.trim().to_owned(), inputs, outputs };
        if signature.instructions.is_empty() {
            signature.instructions = signature.default_instructions();
        }
        signature
    }

    /// The signature of a component that is only a text, whose use nothing is known of.
    pub(crate) fn of_text(text: &str) -> Self {
        let field = |name| vec![Field::new(name)];
        Self { instructions: text.to_owned(), inputs: field("input"), outputs: field("output") }
    }

    /// Reads the short form `question, context -> answer: enum[yes, no], pages: list[int]`.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] says which part was not understood.
    ///
    /// ```
    /// # use promptopt_core::signature::Signature;
    /// let signature = Signature::parse("ticket -> department: enum[billing, sales]")?;
    /// assert_eq!(signature.to_string(), "ticket: str -> department: enum[billing, sales]");
    /// # Ok::<(), promptopt_core::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (inputs, outputs) = text
            .split_once("->")
            .ok_or_else(|| Error::signature(text, "there is no `->` between inputs and outputs"))?;
        let side = |part: &str| {
            let fields = split_outside_brackets(part, ',').into_iter().map(str::trim);
            fields.filter(|field| !field.is_empty()).map(Field::parse).collect::<Result<Vec<_>, _>>()
        };
        Self::new(side(inputs)?, side(outputs)?, "")
    }

    /// The same signature with another instruction.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = instructions.into();
        self
    }

    /// The same signature with one more output in front, such as the reasoning of a chain of
    /// thought.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] when a field of that name is there already.
    pub fn prepend_output(mut self, field: Field) -> Result<Self, Error> {
        self.outputs.insert(0, field);
        self.check()?;
        Ok(self)
    }

    /// The same signature without an input, be it the only one.
    #[must_use]
    pub fn without_input(&self, name: &str) -> Self {
        let inputs = self.inputs.iter().filter(|field| field.name != name).cloned().collect();
        Self { instructions: self.instructions.clone(), inputs, outputs: self.outputs.clone() }
    }

    /// The input that is the history of a chat.
    pub fn history(&self) -> Option<&Field> {
        self.inputs.iter().find(|field| field.kind == FieldType::History)
    }

    /// The basic instruction.
    pub fn instructions(&self) -> &str {
        &self.instructions
    }

    /// The input fields, in order.
    pub fn inputs(&self) -> &[Field] {
        &self.inputs
    }

    /// The output fields, in order.
    pub fn outputs(&self) -> &[Field] {
        &self.outputs
    }

    /// Inputs, then outputs.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.inputs.iter().chain(&self.outputs)
    }

    /// The field of a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields().find(|field| field.name == name)
    }

    fn default_instructions(&self) -> String {
        let names = |fields: &[Field]| {
            fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ")
        };
        format!("Given the fields {}, produce the fields {}.", names(&self.inputs), names(&self.outputs))
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::signature(self.to_string(), reason));
        if self.inputs.is_empty() || self.outputs.is_empty() {
            return wrong("at least one input and one output are needed".to_owned());
        }
        let mut seen = std::collections::HashSet::new();
        for field in self.fields() {
            let mut letters = field.name.chars();
            let starts_well = letters.next().is_some_and(|letter| letter.is_alphabetic() || letter == '_');
            if !starts_well || !letters.all(|letter| letter.is_alphanumeric() || letter == '_') {
                return wrong(format!("`{}` is not a field name: use letters, digits and _", field.name));
            }
            if field.name == "completed" {
                return wrong("the field name `completed` is reserved for the end marker".to_owned());
            }
            if !seen.insert(&field.name) {
                return wrong(format!("the field `{}` stands twice", field.name));
            }
        }
        for field in self.fields() {
            let is_history = field.kind == FieldType::History;
            if !is_history && field.kind.holds_history() {
                return wrong(format!("`{}` holds a history: a history is an input by itself", field.name));
            }
        }
        if let Some(field) = self.outputs.iter().find(|it| it.kind.is_shown() || it.kind.holds_history()) {
            let kind = &field.kind;
            return wrong(format!(
                "the output `{}` cannot be of type {kind}, which only inputs can be",
                field.name
            ));
        }
        let mut histories = self.inputs.iter().filter(|field| field.kind == FieldType::History);
        if let (Some(first), Some(second)) = (histories.next(), histories.next()) {
            return wrong(format!("`{}` and `{}` are both a history: one is read", first.name, second.name));
        }
        Ok(())
    }
}

impl fmt::Display for Signature {
    /// The short form that [`Signature::parse`] reads.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |fields: &[Field]| {
            fields
                .iter()
                .map(|field| format!("{}: {}", field.name, field.kind))
                .collect::<Vec<_>>()
                .join(", ")
        };
        write!(formatter, "{} -> {}", side(&self.inputs), side(&self.outputs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_round_trips() {
        for text in [
            "a: str -> b: str",
            "a: str, b: list[int] -> c: enum[x, y], d: bool",
            "a: image, b: history, c: optional[file] -> d: union[int, str], e: date",
        ] {
            assert_eq!(Signature::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_signatures_say_why() {
        let reason = |text: &str| Signature::parse(text).unwrap_err().to_string();
        assert!(reason("a, b").contains("no `->`"));
        assert!(reason("a -> ").contains("at least one"));
        assert!(reason("a -> a").contains("stands twice"));
        assert!(reason("a -> b c").contains("not a field name"));
        assert!(reason("a -> completed").contains("reserved"));
        assert!(reason("a -> b: text").contains("unknown type"));
        assert!(reason("a -> b: list[image]").contains("`b` cannot be of type list[image]"));
        assert!(reason("a -> b: history").contains("`b` cannot be of type history"));
        assert!(reason("a: list[history] -> b").contains("`a` holds a history"));
        assert!(reason("a: history, b: history -> c").contains("`a` and `b` are both a history"));
    }

    #[test]
    fn an_empty_instruction_is_derived_from_the_fields() {
        let signature = Signature::parse("question, context -> answer").unwrap();
        assert_eq!(
            signature.instructions(),
            "Given the fields `question`, `context`, produce the fields `answer`."
        );
    }
}
