//! JSON: one array of objects, read an element at a time.

use std::io::BufRead;

use crate::decoded::{Decoded, decoded};
use crate::json_row::{NotFinite, parse_row};
use crate::mapping::RawRow;
use crate::rows::{RowSource, Rows, beginning, fill};
use crate::{DataError, LoadOptions, Location};

/// Reads rows from JSON text that is one array of objects. The text is never held as a whole: the
/// elements are found by their brackets and parsed one by one. `name` stands for the file in
/// errors.
///
/// # Errors
///
/// [`DataError`] when the options contradict each other or the first bytes cannot be read; the
/// rows' own errors come as items.
pub fn read_json<'r, R: BufRead + Send + 'r>(
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
    Ok(Elements {
        reader: decoded(reader, name)?,
        not_finite: NotFinite::default(),
        at: beginning(name),
        limit: options.max_row_bytes,
        place: Place::Before,
        line: 1,
        column: 1,
    })
}

/// Where in the array the reader stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Before,
    Inside,
    After,
}

struct Elements<R> {
    reader: Decoded<R>,
    not_finite: NotFinite,
    at: Location,
    limit: usize,
    place: Place,
    line: u64,
    column: u64,
}

impl<R: BufRead> RowSource for Elements<R> {
    fn next_row(&mut self) -> Result<Option<RawRow>, DataError> {
        let first = self.place == Place::Before;
        if first && !self.open()? || self.place == Place::After {
            return Ok(None);
        }
        match self.peek_token()? {
            Some(b']') => {
                self.advance();
                self.place = Place::After;
                return match self.peek_token()? {
                    None => Ok(None),
                    Some(_) => Err(self.invalid("there is more text behind the closing `]`: remove it")),
                };
            }
            Some(b',') if !first => self.advance(),
            Some(_) if !first => {
                return Err(self.invalid("a `,` or the closing `]` must stand between or behind rows"));
            }
            Some(_) => {}
            None => return Err(self.invalid("the file ends before the closing `]`: it may be cut off")),
        }
        let start = self.peek_token()?;
        self.at.row += 1;
        self.at.line = self.line;
        if matches!(start, None | Some(b',' | b']')) {
            return Err(self.invalid("a row is missing here: remove the `,` or add the row"));
        }
        let column = self.column;
        let element = self.element()?;
        Ok(Some(self.not_finite.noted(parse_row(&element, &self.at, column)?)))
    }

    fn notes(&self) -> Vec<String> {
        self.not_finite.notes(&self.at.file)
    }
}

impl<R: BufRead> Elements<R> {
    /// Steps over the opening bracket; false when the file is empty.
    fn open(&mut self) -> Result<bool, DataError> {
        match self.peek_token()? {
            None => {
                self.place = Place::After;
                Ok(false)
            }
            Some(b'[') => {
                self.advance();
                self.place = Place::Inside;
                Ok(true)
            }
            Some(_) => Err(self.invalid(
                "the file must be one array of objects, [{…}, {…}]; name a file with one object on each line .jsonl",
            )),
        }
    }

    /// The bytes of the element that begins here.
    fn element(&mut self) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let (mut depth, mut in_string, mut escaped) = (0_u64, false, false);
        while let Some(byte) = self.peek()? {
            if in_string {
                in_string = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            } else {
                match byte {
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b',' | b']' | b'}' if depth == 0 => break,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
            }
            bytes.push(byte);
            if bytes.len() > self.limit {
                return Err(DataError::RowTooLarge { at: self.at.clone(), limit: self.limit });
            }
            self.advance();
            if depth == 0 && matches!(byte, b'}' | b']') && !in_string {
                break;
            }
        }
        Ok(bytes)
    }

    /// The next byte that is not white space, which stays where it is.
    fn peek_token(&mut self) -> Result<Option<u8>, DataError> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.advance(),
                other => return Ok(other),
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, DataError> {
        Ok(fill(&mut self.reader, &self.at)?.first().copied())
    }

    /// Steps over the byte that was peeked at.
    fn advance(&mut self) {
        let is_break = self.reader.fill_buf().is_ok_and(|buffer| buffer.first() == Some(&b'\n'));
        self.reader.consume(1);
        if is_break {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
    }

    fn invalid(&self, reason: &str) -> DataError {
        let at = Location { line: self.line, row: self.at.row.max(1), ..self.at.clone() };
        DataError::InvalidJson { at, line: self.line, column: self.column, reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::data::Example;
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &[u8]) -> Result<Vec<Example>, DataError> {
        let options = LoadOptions { max_row_bytes: 100, ..LoadOptions::default() };
        read_json(text, "rows.json", &options)?.collect()
    }

    fn check_error(text: &[u8], expected: &str) {
        let error = rows(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn elements_become_examples() {
        let text = br#" [ {"a": "]},\"{["} , {"a": [{"b": 2}]}
            ] "#;
        let examples = rows(text).unwrap();
        assert_eq!(examples[0].get_str("a"), Some("]},\"{["));
        assert_eq!(examples.len(), 2);
    }

    #[test]
    fn errors_name_row_and_line() {
        check_error(b"", "rows.json has no rows");
        check_error(b"[ ]", "rows.json has no rows");
        check_error(b"{\"a\": 1}\n{\"a\": 2}", "one object on each line .jsonl");
        check_error(
            b"[{}, 7]",
            "row 2 (line 1): a row must be a JSON object such as {\"question\": \"\u{2026}\"}, but this one is `7`",
        );
        check_error(
            b"[{},\n {\"a\": x}]",
            "row 2 (line 2): invalid JSON at line 2, column 8: expected value",
        );
        check_error(b"[{},]", "a row is missing here");
        check_error(b"[{} {}]", "a `,` or the closing `]` must stand");
        check_error(b"[{}", "the file ends before the closing `]`");
        check_error(b"[{\"a\": 1", "row 1 (line 1): invalid JSON at line 1, column 8: EOF");
        check_error(b"[{}] {}", "more text behind the closing");
        check_error(b"[{\"a\": \"\xff\"}]", "not UTF-8");
        check_error(&[b"[\"", [b'x'; 200].as_slice()].concat(), "larger than 100 bytes");
        check_error(b"[}]", "row 1 (line 1): invalid JSON");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = rows(&text);
            let _ = rows(&[b"[", text.as_slice()].concat());
        }

        #[test]
        fn what_is_read_is_what_a_parser_of_the_whole_reads(text in "\\[[\\[\\]{},:\"a1\\\\ \n]{0,20}\\]") {
            let whole: Option<Vec<promptopt_core::data::Fields>> = serde_json::from_str(&text).ok();
            match (whole, rows(text.as_bytes())) {
                (Some(whole), Ok(rows)) => {
                    prop_assert_eq!(rows.iter().map(Example::fields).collect::<Vec<_>>(), whole.iter().collect::<Vec<_>>());
                }
                (Some(whole), Err(error)) => prop_assert!(whole.is_empty(), "{}: {}", text, error),
                (None, rows) => prop_assert!(rows.is_err(), "{}", text),
            }
        }
    }
}
