//! CSV and TSV: a header, then a record for each row.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};

use csv_core::ReadRecordResult;
use promptopt_core::data::Fields;
use serde_json::Value;

use crate::mapping::RawRow;
use crate::rows::{RowSource, Rows, beginning, fill, without_bom};
use crate::{DataError, LoadOptions, Location, words};

/// Reads rows from CSV text (RFC 4180, any line ends, a byte order mark is skipped). The first
/// record is the header; names in it are trimmed, and the n-th column is called `column_n` where
/// it has no name. `name` stands for the file in errors.
///
/// # Errors
///
/// [`DataError`] when the options contradict each other or the header cannot be read; the rows'
/// own errors come as items.
pub fn read_csv<'r, R: Read + Send + 'r>(
    reader: R,
    name: &str,
    options: &LoadOptions,
) -> Result<Rows<'r>, DataError> {
    Rows::new(rows(reader, name, options)?, name.to_owned(), options)
}

/// The rows as they stand.
pub(crate) fn rows<'r, R: Read + Send + 'r>(
    reader: R,
    name: &str,
    options: &LoadOptions,
) -> Result<impl RowSource + Send + use<'r, R>, DataError> {
    let delimiter = match options.delimiter.map(u8::try_from) {
        None => b',',
        Some(Ok(byte)) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => byte,
        Some(_) => {
            let reason =
                "the `delimiter` must be one ASCII character such as `;`, and no quote or line break";
            return Err(DataError::InvalidOptions { reason: reason.to_owned() });
        }
    };
    let mut records = Records {
        reader: BufReader::new(without_bom(reader, name)?),
        parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
        at: beginning(name),
        line: 1,
        limit: options.max_row_bytes,
        text: vec![0; 4096],
        ends: vec![0; 64],
        count: 0,
        header: Vec::new(),
    };
    records.read_header()?;
    Ok(records)
}

struct Records<R> {
    reader: R,
    parser: csv_core::Reader,
    at: Location,
    /// The line that the next byte stands on.
    line: u64,
    limit: usize,
    /// The cells of the record at hand, one behind the other.
    text: Vec<u8>,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
    /// How many cells the record has.
    count: usize,
    header: Vec<String>,
}

impl<R: BufRead> RowSource for Records<R> {
    fn next_row(&mut self) -> Result<Option<RawRow>, DataError> {
        if !self.read_record()? {
            return Ok(None);
        }
        self.at.row += 1;
        if self.count != self.header.len() {
            let (expected, found) = (self.header.len(), self.count);
            return Err(DataError::UnequalLengths { at: self.at.clone(), expected, found });
        }
        let mut fields = Fields::new();
        for (column, cell) in self.header.iter().zip(self.cells()) {
            let text = self.decode(cell, || format!("column `{}`", words::shorten(column)))?;
            fields.insert(column.clone(), Value::from(text));
        }
        Ok(Some(RawRow { at: self.at.clone(), fields, is_text: true }))
    }
}

impl<R: BufRead> Records<R> {
    fn read_header(&mut self) -> Result<(), DataError> {
        if !self.read_record()? {
            return Ok(());
        }
        let mut header = Vec::with_capacity(self.count);
        let mut seen = HashSet::new();
        for (index, cell) in self.cells().enumerate() {
            let name = self.decode(cell, || format!("column {}", index + 1))?.trim();
            let name = if name.is_empty() { format!("column_{}", index + 1) } else { name.to_owned() };
            if !seen.insert(name.clone()) {
                return Err(DataError::DuplicateColumn {
                    file: self.at.file.clone(),
                    column: words::shorten(&name),
                });
            }
            header.push(name);
        }
        self.header = header;
        Ok(())
    }

    /// Reads the next record into `text` and `ends`; false at the end of the file.
    fn read_record(&mut self) -> Result<bool, DataError> {
        self.skip_line_breaks()?;
        self.at.line = self.line;
        let (mut read, mut written, mut ended) = (0, 0, 0);
        loop {
            let input = fill(&mut self.reader, &self.at)?;
            if input.is_empty() && read == 0 {
                return Ok(false);
            }
            let text = self.text.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(ended..).unwrap_or_default();
            let (result, taken, wrote, closed) = self.parser.read_record(input, text, ends);
            self.line += breaks(input.get(..taken).unwrap_or_default());
            self.reader.consume(taken);
            read += taken;
            written += wrote;
            ended += closed;
            if read > self.limit {
                let at = Location { row: self.at.row + 1, ..self.at.clone() };
                return Err(DataError::RowTooLarge { at, limit: self.limit });
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                // Both grow with what was read, which is bounded above.
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(false),
            }
        }
        self.count = ended;
        Ok(true)
    }

    /// Steps over blank lines and the rest of a line break, so that the line on which the next
    /// record begins is known.
    fn skip_line_breaks(&mut self) -> Result<(), DataError> {
        loop {
            let input = fill(&mut self.reader, &self.at)?;
            let length = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.line += breaks(input.get(..length).unwrap_or_default());
            self.reader.consume(length);
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().take(self.count).map(move |end| {
            let cell = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            cell
        })
    }

    fn decode<'c>(&self, cell: &'c [u8], what: impl Fn() -> String) -> Result<&'c str, DataError> {
        std::str::from_utf8(cell).map_err(|error| DataError::NotUtf8 {
            at: self.at.clone(),
            byte: error.valid_up_to() + 1,
            what: what(),
        })
    }
}

fn breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use promptopt_core::data::Example;
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &[u8], options: &LoadOptions) -> Result<Vec<Example>, DataError> {
        read_csv(text, "rows.csv", options)?.collect()
    }

    fn check(text: &[u8], delimiter: Option<char>, expected: &[&[(&str, &str)]]) {
        let examples = rows(text, &LoadOptions { delimiter, ..LoadOptions::default() }).unwrap();
        let expected: Vec<Example> =
            expected.iter().map(|row| Example::new(row.iter().copied(), Vec::<String>::new())).collect();
        assert_eq!(examples, expected, "{}", String::from_utf8_lossy(text));
    }

    fn check_error(text: &[u8], expected: &str) {
        let options = LoadOptions { max_row_bytes: 100, ..LoadOptions::default() };
        let error = rows(text, &options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn records_become_examples() {
        check(b"a,b\n1,2\n", None, &[&[("a", "1"), ("b", "2")]]);
        check(b"\xef\xbb\xbfa, b\r\n\r\n\"x\ny\",\"q\"\"q\"", None, &[&[("a", "x\ny"), ("b", "q\"q")]]);
        check(b",b\n0,\n", None, &[&[("column_1", "0"), ("b", "")]]);
        check(b"a;b\n1,0;2\n", Some(';'), &[&[("a", "1,0"), ("b", "2")]]);
        check(b"a\n\"\"\nx", None, &[&[("a", "")], &[("a", "x")]]);
    }

    #[test]
    fn errors_name_row_line_and_column() {
        check_error(b"", "rows.csv has no rows");
        check_error(b"a,b\n", "rows.csv has no rows");
        check_error(b"a,a\n1,2\n", "the header has the column `a` twice");
        check_error(b"a,b\n1,2\n1\n", "rows.csv, row 2 (line 3): the row has 1 cell where the header has 2");
        check_error(b"a,b\r\n\"x\r\ny\",2\r\n\r\n1,2,3\r\n", "row 2 (line 5): the row has 3 cells");
        check_error(
            b"a,b\n1,\xff\n",
            "row 1 (line 2): the text is not UTF-8 (first at byte 1 of column `b`)",
        );
        check_error(b"\xfe,b\n", "rows.csv, header (line 1): the text is not UTF-8");
        let open = [b"a,b\n1,\"", [b'x'; 200].as_slice()].concat();
        check_error(&open, "row 1 (line 2): the row is larger than 100 bytes");
    }

    #[test]
    fn rows_and_cells_may_be_larger_than_the_buffers() {
        let names: Vec<String> = (0..500).map(|n| format!("c{n}")).collect();
        let text = format!("{}\n{}\n", names.join(","), vec!["x".repeat(1000); 500].join(","));
        let examples = rows(text.as_bytes(), &LoadOptions::default()).unwrap();
        assert_eq!(examples[0].fields().len(), 500);
        assert!(
            examples[0].fields().values().all(|cell| cell.as_str().is_some_and(|cell| cell.len() == 1000))
        );
    }

    #[test]
    fn only_ascii_delimiters_are_taken() {
        for delimiter in ['é', '"', '\n'] {
            let options = LoadOptions { delimiter: Some(delimiter), ..LoadOptions::default() };
            let error = read_csv(&b"a"[..], "rows.csv", &options).unwrap_err().to_string();
            assert!(error.contains("must be one ASCII character"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = rows(&text, &LoadOptions { max_row_bytes: 50, ..LoadOptions::default() });
        }

        #[test]
        fn quoted_cells_are_read_as_written(
            cells in prop::collection::vec(["[a, \"\r\n;é]{0,8}", "[a, \"\r\n;é]{0,8}"], 1..8),
        ) {
            let quote = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
            let lines = cells.iter().map(|[one, two]| format!("{},{}\r\n", quote(one), quote(two)));
            let text = format!("one,two\n{}", lines.collect::<String>());
            let examples = rows(text.as_bytes(), &LoadOptions::default()).unwrap();
            let read = examples.iter().map(|row| ["one", "two"].map(|name| row.get_str(name).unwrap().to_owned()));
            prop_assert_eq!(read.collect::<Vec<_>>(), cells);
        }

        #[test]
        fn csv_like_text_never_panics(text in "[a,\"\r\n]{0,40}") {
            let _ = rows(text.as_bytes(), &LoadOptions::default());
        }
    }
}
