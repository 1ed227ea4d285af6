//! Values of another spelling: what means the same as a value of a type.

use serde_json::{Number, Value};

use super::{FieldType, date, media};

/// Above it a float no longer says which whole number it is.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

impl FieldType {
    /// A JSON value as a value of this type, where it means one: `3` for `enum[1, 2, 3]`, `3.0` or `"3"` for `int`,
    /// `"1.10"` for `float`, `1` or `"yes"` for `bool`, `7` for `str`, JSON text for a list or an object. It is what
    /// rows, demos and replies are all read by first. A null is a value of optional types alone; an empty text is one
    /// there, and so are the texts `null` and `None` where they are no value of the type themselves: an optional text
    /// that is `null` stays a text.
    ///
    /// ```
    /// use promptopt_core::signature::FieldType;
    ///
    /// let kind = FieldType::literals(["1", "2", "3"]);
    /// assert_eq!(kind.read(3.into()), Ok("3".into()));
    /// assert_eq!(kind.read(4.into()), Err(4.into()));
    /// ```
    ///
    /// # Errors
    ///
    /// The value itself, where it means no value of this type.
    pub fn read(&self, value: Value) -> Result<Value, Value> {
        if let (Self::Optional(item), Value::String(text)) = (self, &value)
            && ["", "null", "none"].iter().any(|nothing| text.trim().eq_ignore_ascii_case(nothing))
            && (text.trim().is_empty() || !item.admits(&value))
        {
            return Ok(Value::Null);
        }
        if self.admits(&value) {
            return Ok(value);
        }
        if let Self::Optional(item) = self {
            return item.read(value);
        }
        let read = match (self, &value) {
            (Self::String, Value::Number(_) | Value::Bool(_)) => Some(Value::from(value.to_string())),
            (Self::Integer, Value::String(text)) => whole(text.trim()),
            (Self::Integer, Value::Number(number)) => whole(&number.to_string()),
            (Self::Float, Value::String(text)) => number(text).and_then(Number::from_f64).map(Value::Number),
            (Self::Bool, Value::String(text)) => truth(text.trim()),
            (Self::Bool, Value::Number(number)) => truth(&number.to_string()),
            (Self::Enum(literals), Value::String(text)) => literal(text, literals, false),
            (Self::Enum(literals), Value::Number(_)) => literal(&value.to_string(), literals, false),
            (Self::Enum(literals), Value::Bool(_)) => literal(&value.to_string(), literals, true),
            (Self::List(item), Value::Array(items)) => {
                let read: Result<Vec<Value>, Value> =
                    items.iter().map(|one| item.read(one.clone())).collect();
                read.ok().map(Value::from)
            }
            (Self::Union(kinds), _) => kinds.iter().find_map(|kind| kind.read(value.clone()).ok()),
            (Self::Date, Value::String(text)) => date::day_of(text).map(Value::from),
            (Self::DateTime, Value::String(text)) => date::moment_of(text).map(Value::from),
            (Self::Image, _) => media::read_image(&value),
            (Self::File, _) => media::read_file(&value),
            (Self::History, _) => return media::read_history(value),
            (Self::List(_) | Self::Object(_), Value::String(text)) => match serde_json::from_str(text.trim())
            {
                Ok(parsed @ (Value::Array(_) | Value::Object(_))) => self.read(parsed).ok(),
                _ => None,
            },
            _ => None,
        };
        read.ok_or(value)
    }
}

/// A finite number.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn whole(text: &str) -> Option<Value> {
    let digits = match text.split_once('.') {
        Some((digits, fraction)) if fraction.bytes().all(|digit| digit == b'0') => digits,
        _ => text,
    };
    let exact = digits.parse::<i64>().ok().map(Value::from);
    exact.or_else(|| digits.parse::<u64>().ok().map(Value::from)).or_else(|| {
        let number = number(text).filter(|number| number.fract() == 0.0 && number.abs() <= LARGEST_EXACT)?;
        Some(Value::from(number as i64))
    })
}

fn truth(text: &str) -> Option<Value> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" => Some(Value::Bool(true)),
        "false" | "no" => Some(Value::Bool(false)),
        other => match number(other) {
            Some(1.0) => Some(Value::Bool(true)),
            Some(0.0) => Some(Value::Bool(false)),
            _ => None,
        },
    }
}

/// The literal that is this text, or else the only one that is the same number, or the same but for its case.
fn literal(text: &str, literals: &[String], any_case: bool) -> Option<Value> {
    let text = literals.iter().find(|one| *one == text).map_or(text.trim(), String::as_str);
    let value = number(text);
    let means = |one: &&String| {
        (value.is_some() && number(one) == value) || (any_case && one.eq_ignore_ascii_case(text))
    };
    let exact = literals.iter().find(|one| *one == text);
    let meant = exact.or_else(|| {
        let mut same = literals.iter().filter(means);
        same.next().filter(|_| same.next().is_none())
    });
    meant.map(|one| Value::from(one.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, value: Value, expected: Option<Value>) {
        let kind = FieldType::parse(kind).unwrap();
        assert_eq!(kind.read(value.clone()).ok(), expected, "{value} as {kind}");
    }

    #[test]
    fn values_that_mean_the_same_are_taken() {
        check("str", json!(3), Some(json!("3")));
        check("str", json!(1.5), Some(json!("1.5")));
        check("str", json!(true), Some(json!("true")));
        check("str", json!([1]), None);
        check("int", json!(3.0), Some(json!(3)));
        check("int", json!("3.00"), Some(json!(3)));
        check("int", json!(" -7 "), Some(json!(-7)));
        check("int", json!("18446744073709551615"), Some(json!(u64::MAX)));
        check("int", json!("9007199254740993.0"), Some(json!(9_007_199_254_740_993_i64)));
        check("int", json!(3.5), None);
        check("int", json!(1e300), None);
        check("int", json!(true), None);
        check("int", json!(""), None);
        check("float", json!(1), Some(json!(1)));
        check("float", json!("1.10"), Some(json!(1.1)));
        check("float", json!("1e-3"), Some(json!(0.001)));
        for text in ["nan", "inf", "-Infinity", "1e999", "one"] {
            check("float", json!(text), None);
        }
        for (value, meant) in
            [(json!(1), true), (json!(0.0), false), (json!("1.0"), true), (json!("No"), false)]
        {
            check("bool", value, Some(json!(meant)));
        }
        check("bool", json!(2), None);
        check("bool", json!("maybe"), None);
        check("enum[1, 2, 3]", json!(3), Some(json!("3")));
        check("enum[1, 2, 3]", json!(3.0), Some(json!("3")));
        check("enum[1, 2, 3]", json!("2.0"), Some(json!("2")));
        check("enum[1, 2, 3]", json!(4), None);
        check("enum[1, 1.0]", json!(1.0), Some(json!("1.0")));
        check("enum[1, 1.0]", json!("1.00"), None);
        check("enum[True, False]", json!(true), Some(json!("True")));
        check("enum[a, b]", json!(" b"), Some(json!("b")));
        check("enum[a, b]", json!("B"), None);
        check("enum[nan, inf]", json!("NaN"), None);
        check("optional[int]", json!(" 7"), Some(json!(7)));
        check("optional[int]", json!("seven"), None);
        check("optional[int]", json!(null), Some(json!(null)));
        check("optional[str]", json!(""), Some(json!(null)));
        check("optional[str]", json!("null"), Some(json!("null")));
        check("optional[str]", json!("None"), Some(json!("None")));
        check("optional[int]", json!("null"), Some(json!(null)));
        check("optional[union[int, str]]", json!("null"), Some(json!("null")));
        check("optional[union[int, date]]", json!("None"), Some(json!(null)));
        check("optional[enum[a, null]]", json!("null"), Some(json!("null")));
        check("optional[enum[a, b]]", json!(" b"), Some(json!("b")));
        check("list[int]", json!(["1", 2.0]), Some(json!([1, 2])));
        check("list[int]", json!("[1, \"2\"]"), Some(json!([1, 2])));
        check("list[int]", json!("[1, \"x\"]"), None);
        check("list[str]", json!("\"[1]\""), None);
        check("object", json!("{\"a\": 1}"), Some(json!({"a": 1})));
        check("object", json!("[]"), None);
        check("union[int, str]", json!("7"), Some(json!("7")));
        check("union[int, date]", json!("7"), Some(json!(7)));
        check("union[int, date]", json!("2026-11-27 00:00"), Some(json!("2026-11-27")));
        check("union[int, date]", json!("tomorrow"), None);
        check("date", json!("2026-02-30"), None);
        check("datetime", json!("2026-11-27 10:30:00"), Some(json!("2026-11-27T10:30:00")));
        check("datetime", json!("2026-11-27"), None);
        check(
            "list[image]",
            json!([{"url": "data:image/png;base64,AAAA"}]),
            Some(json!(["data:image/png;base64,AAAA"])),
        );
        for kind in ["str", "int", "float", "bool", "enum[null]", "list[str]", "object"] {
            check(kind, Value::Null, None);
        }
    }
}
