//! The types a field can have.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{date, media};

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
    /// A value of one of a few types.
    Union(Vec<FieldType>),
    /// A day, as `2026-11-27`.
    Date,
    /// A day with a time of day, as `2026-11-27T10:30:00Z`.
    DateTime,
    /// An image: its address, or its bytes as `data:image/png;base64,…`. Only of inputs.
    Image,
    /// A file, such as a PDF: an object with one or more of `filename`, `file_data` and `file_id`. Only of inputs.
    File,
    /// Earlier turns of a chat, each an object of `role` and `content`, or of the fields that went in and came out. Only
    /// of one input.
    History,
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

    /// A type whose values are of one of some types. Types that may be null make the whole one that may be, and one type
    /// alone is itself.
    ///
    /// ```
    /// # use promptopt_core::signature::FieldType;
    /// let kind = FieldType::union([FieldType::Integer, FieldType::optional(FieldType::String)]);
    /// assert_eq!(kind.to_string(), "optional[union[int, str]]");
    /// ```
    pub fn union(kinds: impl IntoIterator<Item = FieldType>) -> Self {
        let (mut members, mut may_be_null) = (Vec::new(), false);
        for kind in kinds {
            let item = match kind {
                Self::Optional(item) => {
                    may_be_null = true;
                    *item
                }
                other => other,
            };
            for member in if let Self::Union(members) = item { members } else { vec![item] } {
                if !members.contains(&member) {
                    members.push(member);
                }
            }
        }
        let whole = if members.len() == 1 { members.remove(0) } else { Self::Union(members) };
        if may_be_null { Self::optional(whole) } else { whole }
    }

    /// Whether a value of this type is more than one word or number: a list or an object.
    pub fn is_structured(&self) -> bool {
        match self {
            Self::List(_) | Self::Object(_) => true,
            Self::Optional(item) => item.is_structured(),
            Self::Union(kinds) => kinds.iter().any(Self::is_structured),
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
            Self::Optional(item) => {
                let items =
                    if let Self::Union(kinds) = &**item { kinds } else { std::slice::from_ref(&**item) };
                let null = json!({"type": "null"});
                json!({"anyOf": items.iter().map(Self::json_schema).chain([null]).collect::<Vec<_>>()})
            }
            Self::Union(kinds) => json!({"anyOf": kinds.iter().map(Self::json_schema).collect::<Vec<_>>()}),
            Self::Date => json!({"type": "string", "format": "date"}),
            Self::DateTime => json!({"type": "string", "format": "date-time"}),
            Self::Image => json!({"type": "string"}),
            Self::File => json!({"type": "object"}),
            Self::History => json!({"type": "array", "items": {"type": "object"}}),
        }
    }

    /// Whether a JSON value is of this type. An object is checked for being one; whether it adheres to its schema is
    /// checked where a reply is read.
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
            Self::Union(kinds) => kinds.iter().any(|kind| kind.admits(value)),
            Self::Date => value.as_str().is_some_and(date::is_day),
            Self::DateTime => value.as_str().is_some_and(date::is_moment),
            Self::Image => media::is_image(value),
            Self::File => media::is_file(value),
            Self::History => media::is_history(value),
        }
    }

    /// Reads the short form used in signatures and task files: `str`, `int`, `float`, `bool`,
    /// `enum[a, b]` (or `literal[…]`), `list[str]`, `object`, `optional[str]` (or `str?`), `union[int, str]` (or
    /// `int | str`), `date`, `datetime`, `image`, `file`, `history`.
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
        let kinds = split_outside_brackets(text, '|');
        if kinds.len() > 1 {
            return Self::parse_union(&kinds, inside);
        }
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
                "union" => Self::parse_union(&split_outside_brackets(inner, ','), inside),
                other => Err(format!(
                    "unknown type `{other}[…]`: use enum[a, b], list[type], optional[type] or union[type, type]"
                )),
            };
        }
        match lower.as_str() {
            "str" | "string" => Ok(Self::String),
            "int" | "integer" => Ok(Self::Integer),
            "float" | "number" => Ok(Self::Float),
            "bool" | "boolean" => Ok(Self::Bool),
            "object" | "dict" => Ok(Self::Object(json!({"type": "object", "additionalProperties": true}))),
            "list" => Ok(Self::list(Self::String)),
            "date" => Ok(Self::Date),
            "datetime" => Ok(Self::DateTime),
            "image" => Ok(Self::Image),
            "file" => Ok(Self::File),
            "history" => Ok(Self::History),
            _ => Err(format!(
                "unknown type `{text}`: use str, int, float, bool, enum[a, b], list[type], object, optional[type], \
                 union[type, type], date, datetime, image, file or history"
            )),
        }
    }

    fn parse_union(kinds: &[&str], depth: usize) -> Result<Self, String> {
        let is_null =
            |kind: &&str| ["none", "null", "nonetype"].contains(&kind.trim().to_ascii_lowercase().as_str());
        let (nulls, kinds): (Vec<&str>, Vec<&str>) = kinds.iter().copied().partition(is_null);
        if kinds.is_empty() {
            return Err("a union needs at least one type, as in union[int, str]".to_owned());
        }
        let kinds =
            kinds.into_iter().map(|kind| Self::parse_within(kind, depth)).collect::<Result<Vec<_>, _>>()?;
        let union = Self::union(kinds);
        if nulls.is_empty() || matches!(union, Self::Optional(_)) {
            Ok(union)
        } else {
            Ok(Self::optional(union))
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
            Self::Union(kinds) => {
                let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
                write!(formatter, "union[{}]", kinds.join(", "))
            }
            Self::Date => formatter.write_str("date"),
            Self::DateTime => formatter.write_str("datetime"),
            Self::Image => formatter.write_str("image"),
            Self::File => formatter.write_str("file"),
            Self::History => formatter.write_str("history"),
        }
    }
}

/// The parts of a text between marks that stand outside of brackets.
pub(super) fn split_outside_brackets(text: &str, mark: char) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = text.split(|letter: char| {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        letter == mark && depth == 0
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_read_and_written() {
        for text in
            ["str", "int", "float", "bool", "enum[a, b]", "list[list[int]]", "object", "optional[list[str]]"]
                .into_iter()
                .chain([
                    "union[int, str]",
                    "optional[union[int, list[date]]]",
                    "list[image]",
                    "file",
                    "history",
                ])
                .chain(["datetime", "union[enum[a|b], float]"])
        {
            assert_eq!(FieldType::parse(text).unwrap().to_string(), text);
        }
        for (text, short) in [
            ("int | str", "union[int, str]"),
            ("int|str|int", "union[int, str]"),
            ("list[int | str] | None", "optional[list[union[int, str]]]"),
            ("str | null", "optional[str]"),
            ("int | str?", "optional[union[int, str]]"),
            ("union[int, union[str, none]]", "optional[union[int, str]]"),
            ("union[image]", "image"),
        ] {
            assert_eq!(FieldType::parse(text).unwrap().to_string(), short);
        }
        for text in ["int |", "| ", "union[]", "none", "none | null"] {
            assert!(FieldType::parse(text).is_err(), "{text}");
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
        let either = FieldType::parse("int | date").unwrap();
        assert!(
            either.admits(&json!(3)) && either.admits(&json!("2026-11-27")) && !either.admits(&json!("3"))
        );
        let schema = json!({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]});
        assert_eq!(FieldType::parse("int | str | none").unwrap().json_schema(), schema);
        let optional = FieldType::optional(FieldType::String);
        assert!(optional.admits(&json!(null)) && optional.admits(&json!("a")) && !optional.admits(&json!(1)));
        assert!(!FieldType::String.admits(&json!(null)));
    }
}
