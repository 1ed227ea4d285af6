//! JSONL: a JSON object on each line.

use std::io::{BufRead, Read};

use crate::decoded::{Decoded, decoded};
use crate::json_row::{NotFinite, parse_row};
use crate::mapping::RawRow;
use crate::rows::{RowSource, Rows, beginning, read_error};
use crate::{DataError, LoadOptions, Location};

/// Reads rows from JSONL text: a JSON object on each line; blank lines are skipped, and so is a
/// byte order mark. NaN and Infinity, which Python writes, are read as null. `name` stands for the file in errors.
///
/// # Errors
///
/// [`DataError`] when the options contradict each other or the first bytes cannot be read; the
/// rows' own errors come as items.
pub fn read_jsonl<'r, R: BufRead + Send + 'r>(
    reader: R,
    name: &str,
    options: &LoadOptions,
) -> Result<Rows<'r>, DataError> {
    Rows::new(rows(reader, name, options)?, name.to_owned(), options)
}

/// The rows as they stand.
pub(crate) fn rows<'r, R: BufRead + Send + 'r>(
    reader: R,
    name: &str,
    options: &LoadOptions,
) -> Result<impl RowSource + Send + use<'r, R>, DataError> {
    Ok(Lines {
        reader: decoded(reader, name)?,
        at: beginning(name),
        limit: options.max_row_bytes,
        line: Vec::new(),
        not_finite: NotFinite::default(),
    })
}

struct Lines<R> {
    reader: Decoded<R>,
    at: Location,
    limit: usize,
    line: Vec<u8>,
    not_finite: NotFinite,
}

impl<R: BufRead> RowSource for Lines<R> {
    fn next_row(&mut self) -> Result<Option<RawRow>, DataError> {
        loop {
            self.line.clear();
            // Room for the largest row, its line break, and one byte that shows it is too large.
            let bound = (self.limit as u64).saturating_add(2);
            let read = self.reader.by_ref().take(bound).read_until(b'\n', &mut self.line);
            if read.map_err(|source| read_error(&self.at, source))? == 0 {
                return Ok(None);
            }
            self.at.line += 1;
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
            }
            if self.line.len() > self.limit {
                self.at.row += 1;
                return Err(DataError::RowTooLarge { at: self.at.clone(), limit: self.limit });
            }
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.at.row += 1;
            let row = parse_row(&self.line, &self.at, 1).map_err(explain)?;
            return Ok(Some(self.not_finite.noted(row)));
        }
    }

    fn notes(&self) -> Vec<String> {
        self.not_finite.notes(&self.at.file)
    }
}

/// Says what a line that ends in the middle of its object probably means.
fn explain(error: DataError) -> DataError {
    match error {
        DataError::InvalidJson { at, line, column, reason } if reason.starts_with("EOF") => {
            let reason = format!(
                "{reason}: each line must hold a whole object; name a file with one JSON array .json"
            );
            DataError::InvalidJson { at, line, column, reason }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::data::Example;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn rows(text: &[u8], options: &LoadOptions) -> Result<Vec<Example>, DataError> {
        read_jsonl(text, "rows.jsonl", options)?.collect()
    }

    fn check_error(text: &[u8], expected: &str) {
        let options = LoadOptions { max_row_bytes: 100, ..LoadOptions::default() };
        let error = rows(text, &options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn lines_become_examples() {
        let text = b"\xef\xbb\xbf{\"a\": 1}\r\n\n  \n{\"a\": {\"b\": [null]}}";
        let examples = rows(text, &LoadOptions::default()).unwrap();
        assert_eq!(examples.len(), 2);
        assert_eq!(examples[1].get("a"), Some(&json!({"b": [null]})));
        let limited = LoadOptions { limit: Some(1), ..LoadOptions::default() };
        assert_eq!(rows(b"{}\nnot json", &limited).unwrap().len(), 1);
    }

    #[test]
    fn errors_name_row_and_line() {
        check_error(
            b"{}\n\n{\"a\": x}\n",
            "rows.jsonl, row 2 (line 3): invalid JSON at line 3, column 7: expected value",
        );
        check_error(b"{\n\"a\": 1}\n", "each line must hold a whole object");
        check_error(b"[{}]", "row 1 (line 1): a row must be a JSON object");
        check_error(
            b"{\"a\": \"\xff\"}",
            "row 1 (line 1): the text is not UTF-8 (first at byte 8 of the row)",
        );
        check_error(&[b'x'; 101], "the row is larger than 100 bytes");
        check_error(&[b"{\"a\":".repeat(200).as_slice(), b"1"].concat(), "larger than 100 bytes");
        check_error(b" \n", "rows.jsonl has no rows");
        check_error(b"", "rows.jsonl has no rows");
    }

    #[test]
    fn a_row_too_deep_is_an_error() {
        let text = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        let error = rows(&text, &LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("recursion limit exceeded"), "{error}");
    }

    #[test]
    fn nothing_comes_behind_an_error() {
        let mut rows = read_jsonl(&b"{}\nx\n{}"[..], "rows.jsonl", &LoadOptions::default()).unwrap();
        assert!(rows.next().unwrap().is_ok());
        assert!(rows.next().unwrap().is_err());
        assert!(rows.next().is_none());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            fields in prop::collection::vec(prop::collection::vec((any::<String>(), value()), 0..5), 1..6),
        ) {
            let examples: Vec<Example> = fields.into_iter().map(|row| Example::new(row, Vec::<String>::new())).collect();
            let lines: Vec<String> =
                examples.iter().map(|example| serde_json::to_string(example.fields()).unwrap()).collect();
            prop_assert_eq!(&rows(lines.join("\n").as_bytes(), &LoadOptions::default()).unwrap(), &examples);
            let array = format!(" [{}\n]\n", lines.join(" ,\n"));
            let read = crate::read_json(array.as_bytes(), "rows.json", &LoadOptions::default()).unwrap();
            prop_assert_eq!(&read.collect::<Result<Vec<_>, _>>().unwrap(), &examples);
        }

        #[test]
        fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = rows(&text, &LoadOptions { max_row_bytes: 50, ..LoadOptions::default() });
        }

        #[test]
        fn json_like_text_never_panics(text in "[\\[\\]{},:\"a1\\\\ \n]{0,60}") {
            let _ = rows(text.as_bytes(), &LoadOptions::default());
        }
    }
}
