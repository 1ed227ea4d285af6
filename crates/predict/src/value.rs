//! Typed values out of text.

use promptopt_core::data::shorten;
use promptopt_core::signature::FieldType;
use serde_json::Value;

use crate::schema;

/// Reads a value of a type from the text of a reply: as it is, as JSON, or as repaired JSON.
///
/// # Errors
///
/// A text that says what was expected and what stands there, to be put behind a field's name.
///
/// ```
/// use promptopt_core::signature::FieldType;
/// use promptopt_predict::parse_value;
///
/// assert_eq!(parse_value("Yes", &FieldType::Bool), Ok(true.into()));
/// assert_eq!(parse_value("[1, 2,", &FieldType::list(FieldType::Integer)), Ok(vec![1, 2].into()));
/// assert!(parse_value("many", &FieldType::Integer).is_err());
/// ```
pub fn parse_value(text: &str, kind: &FieldType) -> Result<Value, String> {
    read_text(text, kind).map_err(|mismatch| mismatch.to_string())
}

/// Why a value is not of a type: where inside of it, and what is wrong there.
#[derive(Debug, PartialEq)]
pub(crate) struct Mismatch {
    /// Empty for the value as a whole, or as `.people[2].age`.
    path: String,
    says: String,
}

impl Mismatch {
    pub(crate) fn new(says: String) -> Self {
        Self { path: String::new(), says }
    }

    /// What was expected in place of a value inside of an object.
    pub(crate) fn expected(words: &str, found: &Value) -> Self {
        let found = promptopt_core::data::plain_text(found);
        Self::new(format!("expected {words}, but is `{}`", shorten(found.trim(), 80)))
    }

    /// The same as of the value of an object's field.
    pub(crate) fn under(mut self, name: &str) -> Self {
        let is_word =
            !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        let name = if is_word { format!(".{name}") } else { format!("[{}]", Value::from(name)) };
        self.path.insert_str(0, &name);
        self
    }

    /// The same as of an item of a list.
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.path.insert_str(0, &format!("[{index}]"));
        self
    }

    /// How deep inside it is.
    pub(crate) fn depth(&self) -> usize {
        self.path.matches(['.', '[']).count()
    }

    /// The same as a sentence on a field.
    pub(crate) fn of(self, field: &str) -> String {
        match self.path.as_str() {
            "" => format!("the field `{field}` {}", self.whole()),
            path => format!("{field}{path}: {}", self.says),
        }
    }

    /// What is said of the value as a whole.
    fn whole(&self) -> String {
        self.says
            .strip_prefix("expected ")
            .map_or_else(|| self.says.clone(), |words| format!("should be {words}"))
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => formatter.write_str(&self.whole()),
            path => write!(formatter, "is wrong at `{path}`: {}", self.says),
        }
    }
}

pub(crate) fn read_text(text: &str, kind: &FieldType) -> Result<Value, Mismatch> {
    match kind {
        FieldType::String => Ok(Value::from(text)),
        FieldType::Optional(_) | FieldType::Union(_) => match quoted(text, kind) {
            Some(inner) => Ok(inner),
            None => read_unquoted(text, kind),
        },
        _ => read_unquoted(text, kind),
    }
}

fn read_unquoted(text: &str, kind: &FieldType) -> Result<Value, Mismatch> {
    match kind {
        FieldType::List(_) | FieldType::Object(_) => {
            coerce(parse_json(text).map_err(|()| mismatch(text, kind))?, kind)
        }
        FieldType::Optional(item) => match null_or(text, item) {
            None => Ok(Value::Null),
            Some(item) => read_unquoted(text, item),
        },
        FieldType::Union(kinds) => {
            // A text is what it is as JSON, or else what it is as a text; other spellings come last.
            let json = serde_json::from_str(text.trim()).ok();
            let json = json.filter(|value: &Value| !value.is_string() && !value.is_null());
            let as_json =
                json.and_then(|value| kinds.iter().find_map(|kind| checked(value.clone(), kind).ok()));
            let said = || Some(Value::from(text)).filter(|value| kinds.iter().any(|kind| kind.admits(value)));
            let spelled = || kinds.iter().find_map(|kind| read_unquoted(text, kind).ok());
            as_json.or_else(said).or_else(spelled).ok_or_else(|| mismatch(text, kind))
        }
        _ => coerce(Value::from(text), kind),
    }
}

/// The text between quotes, where without them it would not be read as that text: `"null"` for an optional text.
fn quoted(text: &str, kind: &FieldType) -> Option<Value> {
    let text = text.trim();
    let inner: String = text.starts_with('"').then(|| serde_json::from_str(text).ok())??;
    let inner = (!inner.trim().is_empty()).then(|| Value::from(inner))?;
    (kind.admits(&inner) && !reads_back(&inner, kind)).then_some(inner)
}

/// Whether a text is read as itself.
pub(crate) fn reads_back(value: &Value, kind: &FieldType) -> bool {
    value.as_str().is_none_or(|text| text.trim().is_empty() || read_text(text, kind).as_ref() == Ok(value))
}

/// A JSON value of a type that adheres to its schema, if it has one.
fn checked(mut value: Value, kind: &FieldType) -> Result<Value, Mismatch> {
    if !kind.admits(&value) {
        return Err(Mismatch::expected(&kind.to_string(), &value));
    }
    check(&mut value, kind)?;
    Ok(value)
}

/// Checks what objects hold against their schemas.
fn check(value: &mut Value, kind: &FieldType) -> Result<(), Mismatch> {
    match (kind, value) {
        (FieldType::Object(schema), value) => schema::fit(schema, value),
        (FieldType::List(item), Value::Array(items)) if item.is_structured() => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, one)| check(one, item).map_err(|mismatch| mismatch.at(index))),
        (FieldType::Optional(item), value) if !value.is_null() => check(value, item),
        (FieldType::Union(kinds), value) => {
            let mut first = None;
            for kind in kinds.iter().filter(|kind| kind.admits(value)) {
                // A check spells anew, also where it fails in the end.
                let mut tried = value.clone();
                match check(&mut tried, kind) {
                    Ok(()) => {
                        *value = tried;
                        return Ok(());
                    }
                    Err(mismatch) => first = first.or(Some(mismatch)),
                }
            }
            first.map_or(Ok(()), Err)
        }
        _ => Ok(()),
    }
}

/// A JSON value as a value of a type, where the difference is one of spelling.
pub(crate) fn coerce(value: Value, kind: &FieldType) -> Result<Value, Mismatch> {
    let mut value = spelled(value, kind)?;
    if kind.is_structured() {
        check(&mut value, kind)?;
    }
    Ok(value)
}

fn spelled(value: Value, kind: &FieldType) -> Result<Value, Mismatch> {
    if let (FieldType::Optional(item), Value::String(text)) = (kind, &value) {
        // A text of JSON says that it is one.
        if !text.trim().is_empty() && item.admits(&value) {
            return Ok(value);
        }
        let item = null_or(text, item);
        return item.map_or(Ok(Value::Null), |item| spelled(value, item));
    }
    let value = match kind.read(value) {
        Ok(value) => return Ok(value),
        Err(value) => value,
    };
    let coerced = match (kind, &value) {
        (FieldType::Optional(item), _) => return spelled(value, item),
        // Nothing is no text.
        (_, Value::Null) => None,
        (FieldType::String, other) => Some(Value::from(promptopt_core::data::plain_text(other))),
        (FieldType::Enum(literals), Value::String(text)) => literal(text, literals),
        (FieldType::Enum(literals), other) => literal(&other.to_string(), literals),
        (FieldType::Bool, Value::String(text)) => kind.read(bare(text).into()).ok(),
        (FieldType::Integer | FieldType::Float, Value::String(text)) => {
            kind.read(bare(text).replace(',', "").into()).ok()
        }
        (FieldType::Date | FieldType::DateTime, Value::String(text)) => {
            kind.read(Value::from(bare(text))).ok()
        }
        (FieldType::Union(kinds), other) => kinds.iter().find_map(|kind| spelled(other.clone(), kind).ok()),
        (FieldType::List(item), Value::Array(items)) => {
            let items = items.iter().enumerate();
            return items
                .map(|(index, one)| spelled(one.clone(), item).map_err(|mismatch| mismatch.at(index)))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from);
        }
        (FieldType::List(_) | FieldType::Object(_), Value::String(text)) => {
            parse_json(text).ok().filter(|parsed| kind.admits(parsed))
        }
        _ => None,
    };
    coerced.ok_or_else(|| Mismatch::expected(&kind.to_string(), &value))
}

fn mismatch(text: &str, kind: &FieldType) -> Mismatch {
    Mismatch::new(format!("expected {kind}, but is `{}`", shorten(text.trim(), 80)))
}

/// The type of what is there; `None` where the text stands for nothing, and is not itself one of a few literals.
fn null_or<'a>(text: &str, item: &'a FieldType) -> Option<&'a FieldType> {
    let is_literal = matches!(item, FieldType::Enum(literals) if literal(text, literals).is_some());
    let is_nothing = ["", "null", "None"].iter().any(|nothing| bare(text).eq_ignore_ascii_case(nothing));
    (is_literal || !is_nothing).then_some(item)
}

/// The text without the quotes, code marks and full stop that models put around short answers.
fn bare(text: &str) -> &str {
    text.trim().trim_end_matches('.').trim_matches(['"', '\'', '`', '*']).trim_end_matches('.').trim()
}

fn literal(text: &str, literals: &[String]) -> Option<Value> {
    let text = text.trim();
    let exact = literals.iter().find(|one| *one == text || *one == bare(text));
    let loose = || literals.iter().find(|one| one.to_lowercase() == bare(text).to_lowercase());
    exact.or_else(loose).map(|one| Value::from(one.as_str()))
}

/// JSON, or what can be repaired to it.
pub(crate) fn parse_json(text: &str) -> Result<Value, ()> {
    let text = text.trim();
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let repaired = jsonrepair_rs::jsonrepair(text).map_err(|_| ())?;
    serde_json::from_str(&repaired).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(text: &str, kind: &str, expected: Option<Value>) {
        assert_eq!(parse_value(text, &FieldType::parse(kind).unwrap()).ok(), expected, "{text} as {kind}");
    }

    #[test]
    fn each_member_of_a_union_sees_the_value_as_it_came() {
        let object = |a: &str, b: &str| {
            let properties = json!({"a": {"type": a}, "b": {"type": b}});
            FieldType::Object(json!({"type": "object", "properties": properties}))
        };
        let union = FieldType::union([object("integer", "boolean"), object("string", "string")]);
        let value = json!({"a": "7", "b": "x"});
        assert_eq!(coerce(value.clone(), &union).ok(), Some(value));
    }

    #[test]
    fn spellings_of_values_are_understood() {
        check("True", "bool", Some(json!(true)));
        check("no.", "bool", Some(json!(false)));
        check("maybe", "bool", None);
        check("1,234", "int", Some(json!(1234)));
        check("3.0", "int", Some(json!(3)));
        check("3.5", "int", None);
        check("18446744073709551615", "int", Some(json!(u64::MAX)));
        check("1e400", "float", None);
        check("-2.5", "float", Some(json!(-2.5)));
        check("`Billing`.", "enum[billing, sales]", Some(json!("billing")));
        check("billing or sales", "enum[billing, sales]", None);
        check("['a', 'b']", "list[str]", Some(json!(["a", "b"])));
        check("[1, \"2\"]", "list[int]", Some(json!([1, 2])));
        check("{a: 1", "object", Some(json!({"a": 1})));
        check("{}", "list[str]", None);
        check("[\"a\", null]", "list[str]", None);
        check("[\"a\", null]", "list[optional[str]]", Some(json!(["a", null])));
        for nothing in ["null", "None", "", "`null`."] {
            check(nothing, "optional[str]", Some(json!(null)));
            check(nothing, "optional[list[int]]", Some(json!(null)));
        }
        check("none", "optional[enum[none, all]]", Some(json!("none")));
        check("nothing", "optional[str]", Some(json!("nothing")));
        check("7", "optional[int]", Some(json!(7)));
        check("\"null\"", "optional[str]", Some(json!("null")));
        check("\"a\" and \"b\"", "optional[str]", Some(json!("\"a\" and \"b\"")));
        check("\"a\"", "optional[str]", Some(json!("\"a\"")));
        check("7", "int | str", Some(json!(7)));
        check("\"7\"", "int | str", Some(json!("7")));
        check("seven", "int | str", Some(json!("seven")));
        check("yes", "bool | str", Some(json!("yes")));
        check("yes", "bool | int", Some(json!(true)));
        check("[1, 2]", "list[int] | str", Some(json!([1, 2])));
        check("[1, x", "list[int] | str", Some(json!("[1, x")));
        check("null", "int | str | none", Some(json!(null)));
        check("\"null\"", "int | str | none", Some(json!("null")));
        check("many", "int | date", None);
        check("`2026-11-27`.", "date", Some(json!("2026-11-27")));
        check("2026-11-27 10:30", "datetime", Some(json!("2026-11-27T10:30")));
        check("27.11.2026", "date", None);
        check("null", "str", Some(json!("null")));
        check(&"[".repeat(100_000), "list[int]", None);
    }

    #[test]
    fn an_item_that_does_not_fit_says_where() {
        let kind = FieldType::list(FieldType::Object(json!({"properties": {"n": {"type": "integer"}}})));
        assert_eq!(read_text("[{\"n\": \"1\"}]", &kind), Ok(json!([{"n": 1}])));
        let mismatch = read_text("[{\"n\": 1}, {\"n\": true}]", &kind).unwrap_err();
        assert_eq!(mismatch.to_string(), "is wrong at `[1].n`: expected an integer, but is `true`");
        assert_eq!(mismatch.of("people"), "people[1].n: expected an integer, but is `true`");
        let mismatch = read_text("[1, null]", &FieldType::list(FieldType::Integer)).unwrap_err();
        assert_eq!(mismatch.of("pages"), "pages[1]: expected int, but is `null`");
        let mismatch = read_text("x", &FieldType::Integer).unwrap_err();
        assert_eq!(mismatch.of("page"), "the field `page` should be int, but is `x`");
    }
}
