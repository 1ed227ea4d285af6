//! Typed values out of text.

use promptopt_core::data::shorten;
use promptopt_core::signature::FieldType;
use serde_json::{Number, Value};

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
    match kind {
        FieldType::String => Ok(Value::from(text)),
        FieldType::Enum(_) | FieldType::Bool | FieldType::Integer | FieldType::Float => {
            coerce(Value::from(text), kind)
        }
        FieldType::Optional(item) => match null_or(text, item) {
            None => Ok(Value::Null),
            Some(item) => parse_value(text, item),
        },
        other => coerce(parse_json(text).map_err(|()| mismatch(text, other))?, kind),
    }
}

/// A JSON value as a value of a type, where the difference is one of spelling.
pub(crate) fn coerce(value: Value, kind: &FieldType) -> Result<Value, String> {
    if let (FieldType::Optional(item), Value::String(text)) = (kind, &value) {
        let item = null_or(text, item);
        return item.map_or(Ok(Value::Null), |item| coerce(value, item));
    }
    let value = match kind.read(value) {
        Ok(value) => return Ok(value),
        Err(value) => value,
    };
    let coerced = match (kind, &value) {
        (FieldType::Optional(item), _) => return coerce(value, item),
        // Nothing is no text.
        (_, Value::Null) => None,
        (FieldType::String, other) => Some(Value::from(promptopt_core::data::plain_text(other))),
        (FieldType::Enum(literals), Value::String(text)) => literal(text, literals),
        (FieldType::Enum(literals), other) => literal(&other.to_string(), literals),
        (FieldType::Bool, Value::String(text)) => truth(text),
        (FieldType::Bool, Value::Number(number)) => truth(&number.to_string()),
        (FieldType::Integer, Value::String(text)) => whole(bare(text)),
        (FieldType::Integer, Value::Number(number)) => whole(&number.to_string()),
        (FieldType::Float, Value::String(text)) => {
            bare(text).replace(',', "").parse().ok().and_then(Number::from_f64).map(Value::from)
        }
        (FieldType::List(item), Value::Array(items)) => {
            return items
                .iter()
                .map(|one| coerce(one.clone(), item))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from);
        }
        (FieldType::List(_) | FieldType::Object(_), Value::String(text)) => {
            parse_json(text).ok().filter(|parsed| kind.admits(parsed))
        }
        _ => None,
    };
    coerced.ok_or_else(|| mismatch(&promptopt_core::data::plain_text(&value), kind))
}

fn mismatch(text: &str, kind: &FieldType) -> String {
    format!("should be {kind}, but is `{}`", shorten(text.trim(), 80))
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

fn truth(text: &str) -> Option<Value> {
    match bare(text).to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(Value::from(true)),
        "false" | "no" | "0" => Some(Value::from(false)),
        _ => None,
    }
}

fn whole(text: &str) -> Option<Value> {
    let text = text.replace(',', "");
    if let Ok(number) = text.parse::<i64>() {
        return Some(Value::from(number));
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(Value::from(number));
    }
    // `3.0` is a whole number to most models. Beyond 2^53 a float no longer says which one.
    let number = text.parse::<f64>().ok()?;
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then(|| Value::from(number as i64))
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
        check("null", "str", Some(json!("null")));
        check(&"[".repeat(100_000), "list[int]", None);
    }
}
