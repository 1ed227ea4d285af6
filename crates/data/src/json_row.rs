//! A row of JSON: an object in which no key stands twice, with the numbers that Python writes.

use std::fmt;

use promptopt_core::data::{Fields, excerpt, shown};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::mapping::RawRow;
use crate::{DataError, Location};

/// What Python writes for numbers that JSON does not have, longest first.
const NOT_FINITE: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The row that begins at `at.line` and `column`.
pub(crate) fn parse_row(bytes: &[u8], at: &Location, column: u64) -> Result<RawRow, DataError> {
    let text = std::str::from_utf8(bytes).map_err(|error| DataError::NotUtf8 {
        at: at.clone(),
        byte: error.valid_up_to() + 1,
        what: "the row".to_owned(),
    })?;
    let (parsed, not_finite) = match serde_json::from_str(text) {
        Ok(Unique(value)) => (Ok(value), false),
        Err(error) => match without_not_finite(text) {
            Some(finite) => (serde_json::from_str(&finite).map(|Unique(value)| value), true),
            None => (Err(error), false),
        },
    };
    match parsed {
        Ok(Value::Object(fields)) => Ok(RawRow { at: at.clone(), fields, not_finite }),
        Ok(other) => Err(DataError::NotAnObject { at: at.clone(), found: shown(&other) }),
        Err(error) => {
            let lines_down = (error.line() as u64).saturating_sub(1);
            let first_column = if lines_down == 0 { column } else { 1 };
            let reason = error.to_string();
            Err(DataError::InvalidJson {
                at: at.clone(),
                line: at.line + lines_down,
                column: (error.column() as u64 + first_column).saturating_sub(1).max(1),
                reason: reason
                    .rsplit_once(" at line ")
                    .map_or(reason.as_str(), |(reason, _)| reason)
                    .to_owned(),
            })
        }
    }
}

/// The text with a null in place of each number that JSON does not have, and as long as it was where that is possible;
/// `None` where there is none.
fn without_not_finite(text: &str) -> Option<String> {
    let (mut finite, mut rest) = (String::with_capacity(text.len()), text);
    let (mut in_string, mut escaped, mut found) = (false, false, false);
    while let Some(letter) = rest.chars().next() {
        let word = NOT_FINITE.iter().find(|word| !in_string && rest.starts_with(**word));
        if let Some(word) = word {
            finite.push_str(&format!("{:<width$}", "null", width = word.len()));
            rest = rest.get(word.len()..).unwrap_or_default();
            found = true;
            continue;
        }
        if in_string {
            in_string = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else {
            in_string = letter == '"';
        }
        finite.push(letter);
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
    }
    found.then_some(finite)
}

/// Counts the rows that held numbers which JSON does not have.
#[derive(Default)]
pub(crate) struct NotFinite {
    rows: u64,
    /// The line of the first.
    line: u64,
}

impl NotFinite {
    pub(crate) fn noted(&mut self, row: RawRow) -> RawRow {
        if row.not_finite {
            self.line = if self.rows == 0 { row.at.line } else { self.line };
            self.rows += 1;
        }
        row
    }

    pub(crate) fn notes(&self, file: &str) -> Vec<String> {
        let note = || {
            let rows = if self.rows == 1 { "row holds" } else { "rows hold" };
            format!(
                "{file}: {} {rows} NaN or Infinity (first in line {}), which JSON does not have; it is read as null",
                self.rows, self.line
            )
        };
        (self.rows > 0).then(note).into_iter().collect()
    }
}

/// A value in which no object has a key twice: of two values one would be lost without a word.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Fields::new();
        while let Some(name) = entries.next_key::<String>()? {
            if fields.contains_key(&name) {
                let name = excerpt(&name);
                return Err(A::Error::custom(format!("the key `{name}` stands twice: keep one of the two")));
            }
            let Unique(value) = entries.next_value()?;
            fields.insert(name, value);
        }
        Ok(fields.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{LoadOptions, read_json, read_jsonl};

    fn row(text: &str) -> Result<RawRow, DataError> {
        parse_row(text.as_bytes(), &crate::rows::beginning("rows"), 1)
    }

    #[test]
    fn a_key_that_stands_twice_is_named() {
        let options = LoadOptions::default();
        let says = "row 2 (line 2): invalid JSON at line 2, column 12: the key `q` stands twice";
        let lines = "{\"q\": 1}\n{\"q\": 1, \"q\": 2}\n";
        let error =
            read_jsonl(lines.as_bytes(), "rows", &options).unwrap().nth(1).unwrap().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let array = "[{\"q\": 1},\n{\"q\": 1, \"q\": 2}]";
        let error =
            read_json(array.as_bytes(), "rows", &options).unwrap().nth(1).unwrap().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        for text in [
            "{\"a\": {\"b\": 1, \"b\": 1}}",
            "{\"a\": [{\"b\": 1, \"\\u0062\": 1}]}",
            "{\"a\": NaN, \"a\": 1}",
        ] {
            assert!(row(text).err().unwrap().to_string().contains("stands twice"), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_null_and_said() {
        let text =
            "{\"a\": NaN}\n{\"a\": \"NaN\"}\n\n{\"a\": [-Infinity, {\"b\": Infinity}], \"c\": \"\\\"NaN\"}\n";
        let mut rows = read_jsonl(text.as_bytes(), "rows", &LoadOptions::default()).unwrap();
        let read: Vec<_> =
            rows.by_ref().map(|row| Value::Object(row.unwrap().fields().clone()).to_string()).collect();
        assert_eq!(
            read,
            ["{\"a\":null}", "{\"a\":\"NaN\"}", "{\"a\":[null,{\"b\":null}],\"c\":\"\\\"NaN\"}"]
        );
        let says = "rows: 2 rows hold NaN or Infinity (first in line 1), which JSON does not have; it is read as null";
        assert_eq!(rows.notes(), [says]);
        let options = LoadOptions::default().with_required(vec!["a".to_owned()]);
        let error = read_json(&b"[{\"a\": NaN}]"[..], "rows", &options)
            .unwrap()
            .next()
            .unwrap()
            .unwrap_err()
            .to_string();
        assert!(error.contains("holds `null` (as which NaN and Infinity are read)"), "{error}");
        for text in ["{\"a\": NaNs}", "{\"a\": Inf}", "{\"a\": nan}", "{NaN: 1}"] {
            assert!(row(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_json_has_is_read_as_a_parser_reads_it(text in "[{}\\[\\]:,\"ab1. \\\\-]{0,30}") {
            let text = format!("{{\"x\": {text}}}");
            let plain = serde_json::from_str::<Fields>(&text);
            match (row(&text), plain) {
                (Ok(row), Ok(plain)) => prop_assert_eq!(row.fields, plain),
                (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("stands twice")),
                (Ok(_), Err(error)) => prop_assert!(false, "{}: {}", text, error),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
