//! The types a field can have.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Deepest type in the short form: a list of lists has three levels.
const MAX_DEPTH: usize = 16;

/// The type of a field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FieldType {
    /// Any text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// One of a few literal texts.
    Enum(Vec<String>),
    /// A list whose items all have one type.
    List(Box<FieldType>),
    /// An object that adheres to a JSON schema.
    Object(Value),
    /// A value of a type, or null.
    Optional(Box<FieldType>),
}

impl FieldType {
    /// An enum of literals.
    pub fn literals<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Self {
        Self::Enum(values.into_iter().map(Into::into).collect())
    }

    /// A list of one type.
    pub fn list(item: FieldType) -> Self {
        Self::List(Box::new(item))
    }

    /// A type whose values may be null.
    pub fn optional(item: FieldType) -> Self {
        Self::Optional(Box::new(item))
    }

    /// Whether a value of this type is more than one word or number: a list or an object.
    pub fn is_structured(&self) -> bool {
        match self {
            Self::List(_) | Self::Object(_) => true,
            Self::Optional(item) => item.is_structured(),
            _ => false,
        }
    }

    /// The JSON schema of this type.
    pub fn json_schema(&self) -> Value {
        match self {
            Self::String => json!({"type": "string"}),
            Self::Integer => json!({"type": "integer"}),
            Self::Float => json!({"type": "number"}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Enum(values) => json!({"type": "string", "enum": values}),
            Self::List(item) => json!({"type": "array", "items": item.json_schema()}),
            Self::Object(schema) => schema.clone(),
            Self::Optional(item) => json!({"anyOf": [item.json_schema(), {"type": "null"}]}),
        }
    }

    /// Whether a JSON value is of this type. An object is checked for being one; its schema is
    /// for the model.
    pub fn admits(&self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Float => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::Enum(values) => value.as_str().is_some_and(|text| values.iter().any(|one| one == text)),
            Self::List(item) => {
                value.as_array().is_some_and(|items| items.iter().all(|one| item.admits(one)))
            }
            Self::Object(_) => value.is_object(),
            Self::Optional(item) => value.is_null() || item.admits(value),
        }
    }

    /// Reads the short form used in signatures and task files: `str`, `int`, `float`, `bool`,
    /// `enum[a, b]` (or `literal[…]`), `list[str]`, `object`, `optional[str]` (or `str?`).
    ///
    /// # Errors
    ///
    /// A text that says what was not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_within(text, MAX_DEPTH)
    }

    fn parse_within(text: &str, depth: usize) -> Result<Self, String> {
        let text = text.trim();
        let inside = depth.checked_sub(1).ok_or_else(|| format!("types nest at most {MAX_DEPTH} deep"))?;
        if let Some(item) = text.strip_suffix('?') {
            return Ok(Self::optional(Self::parse_within(item, inside)?));
        }
        let lower = text.to_ascii_lowercase();
        if let Some((head, rest)) = text.split_once('[') {
            let inner =
                rest.strip_suffix(']').ok_or_else(|| format!("the type `{text}` lacks its closing `]`"))?;
            return match head.trim().to_ascii_lowercase().as_str() {
                "enum" | "literal" => Self::parse_literals(inner),
                "list" => Ok(Self::list(Self::parse_within(inner, inside)?)),
                "optional" => Ok(Self::optional(Self::parse_within(inner, inside)?)),
                other => {
                    Err(format!("unknown type `{other}[…]`: use enum[a, b], list[type] or optional[type]"))
                }
            };
        }
        match lower.as_str() {
            "str" | "string" => Ok(Self::String),
            "int" | "integer" => Ok(Self::Integer),
            "float" | "number" => Ok(Self::Float),
            "bool" | "boolean" => Ok(Self::Bool),
            "object" | "dict" => Ok(Self::Object(json!({"type": "object", "additionalProperties": true}))),
            "list" => Ok(Self::list(Self::String)),
            _ => Err(format!(
                "unknown type `{text}`: use str, int, float, bool, enum[a, b], list[type], object or \
                 optional[type]"
            )),
        }
    }

    fn parse_literals(inner: &str) -> Result<Self, String> {
        let values: Vec<String> = inner
            .split(',')
            .map(|value| {
                value.trim_matches(|mark: char| mark.is_whitespace() || "\"'".contains(mark)).to_owned()
            })
            .filter(|value| !value.is_empty())
            .collect();
        if values.is_empty() {
            return Err("an enum needs at least one value, as in enum[yes, no]".to_owned());
        }
        Ok(Self::Enum(values))
    }
}

impl fmt::Display for FieldType {
    /// The short form that [`FieldType::parse`] reads.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => formatter.write_str("str"),
            Self::Integer => formatter.write_str("int"),
            Self::Float => formatter.write_str("float"),
            Self::Bool => formatter.write_str("bool"),
            Self::Enum(values) => write!(formatter, "enum[{}]", values.join(", ")),
            Self::List(item) => write!(formatter, "list[{item}]"),
            Self::Object(_) => formatter.write_str("object"),
            Self::Optional(item) => write!(formatter, "optional[{item}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_read_and_written() {
        for text in
            ["str", "int", "float", "bool", "enum[a, b]", "list[list[int]]", "object", "optional[list[str]]"]
        {
            assert_eq!(FieldType::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(FieldType::parse("int?"), FieldType::parse("Optional[int]"));
        for text in ["", "?", "optional[]", "text", "enum[]", "enum[' ', \"\"]", "list[", "map[int]"] {
            assert!(FieldType::parse(text).is_err(), "{text}");
        }
        for depth in [16, 100_000] {
            let deep = "list[".repeat(depth) + "int" + &"]".repeat(depth);
            assert!(FieldType::parse(&deep).unwrap_err().contains("at most 16 deep"));
        }
    }

    #[test]
    fn a_literal_has_no_quotes_or_spaces_around_it() {
        for text in ["enum[yes, -> no]", "enum['yes', \"' -> no \"]", "literal[ yes ,'\"-> no']"] {
            let kind = FieldType::parse(text).unwrap();
            assert_eq!(kind, FieldType::literals(["yes", "-> no"]));
            assert_eq!(FieldType::parse(&kind.to_string()), Ok(kind));
        }
    }

    #[test]
    fn values_are_checked_against_the_type() {
        assert!(FieldType::list(FieldType::Integer).admits(&json!([1, 2])));
        assert!(!FieldType::list(FieldType::Integer).admits(&json!([1, "2"])));
        assert!(FieldType::literals(["a"]).admits(&json!("a")));
        assert!(!FieldType::literals(["a"]).admits(&json!("A")));
        let optional = FieldType::optional(FieldType::String);
        assert!(optional.admits(&json!(null)) && optional.admits(&json!("a")) && !optional.admits(&json!(1)));
        assert!(!FieldType::String.admits(&json!(null)));
    }
}
