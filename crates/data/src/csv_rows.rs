//! CSV and TSV: a header, then a record for each row.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Chain, Cursor, Read};

use csv_core::ReadRecordResult;
use promptopt_core::data::Fields;
use serde_json::Value;

use crate::decoded::{Decoded, decoded};
use crate::mapping::{Mapping, RawRow};
use crate::quotes::Quotes;
use crate::rows::{RowSource, Rows, beginning, fill};
use crate::{DataError, LoadOptions, Location, delimiter, words};

/// How much of a header is looked at to find its delimiter, in bytes.
const LOOKED_AT: usize = 64 * 1024;

/// Reads rows from CSV text (RFC 4180, any line ends; UTF-8 or UTF-16, a byte order mark is skipped). The first
/// record is the header; names in it are trimmed, and the n-th column is called `column_n` where
/// it has no name; there an empty cell counts as none. The delimiter is found in the header where the options give
/// none, or in a line `sep=;` before it. Rows of empty cells are left out. `name` stands for the file in errors.
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
    let given = given_delimiter(options)?;
    let mut reader = decoded(BufReader::new(reader), name)?;
    let mut before = Quotes::new(b',', false);
    let mut first = first_line(&mut reader, name, options.max_row_bytes, &mut before)?;
    // As much is looked at, however much was read at once.
    let looked_at = LOOKED_AT.min(options.max_row_bytes);
    let declared = delimiter::declared(first.get(..looked_at).unwrap_or(&first));
    if declared.is_some() {
        before.take(&first);
        first = first_line(&mut reader, name, options.max_row_bytes, &mut before)?;
    }
    let mapping = Mapping::new(options)?;
    let needed: HashSet<&str> = mapping.needed().collect();
    let found = || delimiter::found(first.get(..looked_at).unwrap_or(&first), &needed);
    let delimiter = given.or(declared).unwrap_or_else(found);
    let with_quotes = options.quotes.unwrap_or(true);
    let mut quotes = Quotes::new(delimiter, with_quotes);
    quotes.line = before.line;
    let mut records = Records {
        reader: Cursor::new(first).chain(reader),
        parser: csv_core::ReaderBuilder::new().delimiter(delimiter).quoting(with_quotes).build(),
        quotes,
        at: beginning(name),
        limit: options.max_row_bytes,
        text: vec![0; 4096],
        ends: vec![0; 64],
        count: 0,
        header: Vec::new(),
        empty: None,
    };
    records.read_header(&needed)?;
    Ok(records)
}

fn given_delimiter(options: &LoadOptions) -> Result<Option<u8>, DataError> {
    match options.delimiter.map(u8::try_from) {
        None => Ok(None),
        Some(Ok(byte)) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(Some(byte)),
        Some(_) => {
            let reason =
                "the `delimiter` must be one ASCII character such as `;`, and no quote or line break";
            Err(DataError::InvalidOptions { reason: reason.to_owned() })
        }
    }
}

/// The first line that is not blank, or the beginning of a long one. Blank ones before it are stepped over.
fn first_line(
    reader: &mut impl BufRead,
    name: &str,
    limit: usize,
    before: &mut Quotes,
) -> Result<Vec<u8>, DataError> {
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let mut line = Vec::new();
    while line.len() <= limit.min(LOOKED_AT) {
        let input = fill(reader, &beginning(name))?;
        let blank = if line.is_empty() { input.iter().take_while(|byte| is_break(byte)).count() } else { 0 };
        before.take(input.get(..blank).unwrap_or_default());
        let rest = input.get(blank..).unwrap_or_default();
        let end = rest.iter().position(is_break);
        let length = end.map_or(rest.len(), |end| end + 1);
        line.extend_from_slice(rest.get(..length).unwrap_or_default());
        reader.consume(blank + length);
        if end.is_some() || blank + length == 0 {
            break;
        }
    }
    Ok(line)
}

struct Records<R> {
    reader: Chain<Cursor<Vec<u8>>, Decoded<BufReader<R>>>,
    parser: csv_core::Reader,
    quotes: Quotes,
    at: Location,
    limit: usize,
    /// The cells of the record at hand, one behind the other.
    text: Vec<u8>,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
    /// How many cells the record has.
    count: usize,
    header: Vec<Column>,
    /// How many rows had only empty cells, and the line of the first.
    empty: Option<(u64, u64)>,
}

struct Column {
    name: String,
    /// Whether an empty cell is left out: spreadsheets write separators behind the last column, too.
    is_spare: bool,
}

impl<R: Read> RowSource for Records<R> {
    fn next_row(&mut self) -> Result<Option<RawRow>, DataError> {
        loop {
            if !self.read_record()? {
                return Ok(None);
            }
            // An empty text is a value where it stands in quotes, and in a file of one column.
            let says_so = self.quotes.seen || self.header.len() == 1;
            if says_so || !self.cells().all(|cell| cell.trim_ascii().is_empty()) {
                break;
            }
            let (count, first) = self.empty.unwrap_or((0, self.at.line));
            self.empty = Some((count + 1, first));
        }
        self.at.row += 1;
        if self.count != self.header.len() {
            let (expected, found) = (self.header.len(), self.count);
            return Err(DataError::UnequalLengths { at: self.at.clone(), expected, found });
        }
        let mut fields = Fields::new();
        for (column, cell) in self.header.iter().zip(self.cells()) {
            if column.is_spare && cell.is_empty() {
                continue;
            }
            let text = self.decode(cell, || format!("column `{}`", words::shorten(&column.name)))?;
            fields.insert(column.name.clone(), Value::from(text));
        }
        Ok(Some(RawRow::new(self.at.clone(), fields)))
    }

    fn notes(&self) -> Vec<String> {
        let note = self.empty.map(|(count, line)| {
            let rows = if count == 1 { "row has" } else { "rows have" };
            format!(
                "{}: {count} {rows} no value in any column (first in line {line}) and no example is made of it",
                self.at.file
            )
        });
        note.into_iter().collect()
    }
}

impl<R: Read> Records<R> {
    fn read_header(&mut self, needed: &HashSet<&str>) -> Result<(), DataError> {
        if !self.read_record()? {
            return Ok(());
        }
        let mut header = Vec::with_capacity(self.count);
        let mut seen = HashSet::new();
        for (index, cell) in self.cells().enumerate() {
            let name = self.decode(cell, || format!("column {}", index + 1))?.trim();
            let is_unnamed = name.is_empty();
            let name = if is_unnamed { format!("column_{}", index + 1) } else { name.to_owned() };
            if !seen.insert(name.clone()) {
                return Err(DataError::DuplicateColumn {
                    file: self.at.file.clone(),
                    column: words::shorten(&name),
                });
            }
            let is_spare = is_unnamed && !needed.contains(name.as_str());
            header.push(Column { name, is_spare });
        }
        self.header = header;
        Ok(())
    }

    /// Reads the next record into `text` and `ends`; false at the end of the file.
    fn read_record(&mut self) -> Result<bool, DataError> {
        self.skip_line_breaks()?;
        self.at.line = self.quotes.line;
        self.quotes.seen = false;
        let (mut read, mut written, mut ended) = (0, 0, 0);
        loop {
            let input = fill(&mut self.reader, &self.at)?;
            if input.is_empty() && read == 0 {
                return Ok(false);
            }
            // One byte more than the bound is enough to see that it is too large.
            let room = self.limit.saturating_add(1).saturating_sub(read);
            let input = input.get(..room).unwrap_or(input);
            let text = self.text.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(ended..).unwrap_or_default();
            let (result, taken, wrote, closed) = self.parser.read_record(input, text, ends);
            let is_sound = self.quotes.take(input.get(..taken).unwrap_or_default());
            if !is_sound || input.is_empty() && self.quotes.is_open() {
                return Err(self.unclosed(is_sound));
            }
            self.reader.consume(taken);
            read += taken;
            written += wrote;
            ended += closed;
            if read > self.limit {
                let line = if self.quotes.is_open() { self.quotes.opened } else { self.at.line };
                return Err(DataError::RowTooLarge { at: self.at_next(line), limit: self.limit });
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

    /// The place of the record at hand, which was not counted yet. Before the header is read it is the header.
    fn at_next(&self, line: u64) -> Location {
        let row = if self.header.is_empty() { 0 } else { self.at.row + 1 };
        Location { row, line, ..self.at.clone() }
    }

    fn unclosed(&self, at_end: bool) -> DataError {
        let fault = if at_end { "and is never closed" } else { "and its closing quote has text behind it" };
        DataError::UnclosedQuote { at: self.at_next(self.quotes.opened), fault }
    }

    /// Steps over blank lines and the rest of a line break, so that the line on which the next
    /// record begins is known.
    fn skip_line_breaks(&mut self) -> Result<(), DataError> {
        loop {
            let input = fill(&mut self.reader, &self.at)?;
            let length = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.quotes.take(input.get(..length).unwrap_or_default());
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
        check(b"a,b\rx,y\rz,w", None, &[&[("a", "x"), ("b", "y")], &[("a", "z"), ("b", "w")]]);
        check(b"a,b\n5\" disk,\"x\" \n", None, &[&[("a", "5\" disk"), ("b", "x ")]]);
        check(b"\xff\xfea\0;\0b\0\n\0\xe9\0;\0" as &[u8], None, &[&[("a", "\u{e9}"), ("b", "")]]);
    }

    #[test]
    fn the_delimiter_is_found_or_given() {
        for delimiter in [";", "\t", "|"] {
            let text = format!("a{delimiter}b\n1,0{delimiter}2\n");
            check(text.as_bytes(), None, &[&[("a", "1,0"), ("b", "2")]]);
        }
        check(b"sep=;\r\na;b\r\n1;2\r\n", None, &[&[("a", "1"), ("b", "2")]]);
        // What is needed says more than how many cells there are.
        let options = LoadOptions::default().with_inputs(vec!["b".to_owned()]);
        let examples = rows(b"a, in EUR;b\n1;2\n", &options).unwrap();
        assert_eq!(examples[0].get_str("b"), Some("2"));
    }

    #[test]
    fn a_row_without_any_value_is_left_out_and_said() {
        let mut rows =
            read_csv(&b"a,b\n1,2\n,\n \n , \n3,\n"[..], "rows.csv", &LoadOptions::default()).unwrap();
        let examples = rows.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(examples.len(), 2);
        let says =
            "rows.csv: 3 rows have no value in any column (first in line 3) and no example is made of it";
        assert_eq!(rows.notes(), [says]);
        check_error(b"a,b\n,\n", "rows.csv has no rows");
        check(b"a,b\n\"\",\n", None, &[&[("a", ""), ("b", "")]]);
    }

    #[test]
    fn separators_behind_the_last_column_make_no_column() {
        check(
            b"a;b;\n1;2;\n3;4;x\n",
            None,
            &[&[("a", "1"), ("b", "2")], &[("a", "3"), ("b", "4"), ("column_3", "x")]],
        );
        let options = LoadOptions::default().with_inputs(vec!["column_1".to_owned()]);
        assert_eq!(rows(b",b\n,2\n", &options).unwrap()[0].get_str("column_1"), Some(""));
    }

    #[test]
    fn a_quote_that_is_not_closed_is_named_where_it_opens() {
        let says = "a quote opens a cell here and is never closed";
        check_error(b"q,a\nx,y\nz,\"w\nu,v\nt,s\n", &format!("rows.csv, row 2 (line 3): {says}"));
        check_error(b"q,a\r\n\"x\r\n\",\"y\r\nz", &format!("row 1 (line 3): {says}"));
        check_error(b"q,a\rx,\"y\rz,w", &format!("row 1 (line 2): {says}"));
        check_error(b"q,\"a\nx,y", &format!("header (line 1): {says}"));
        check_error(b"q,a\nx,\"", &format!("row 1 (line 2): {says}"));
        let says = "a quote opens a cell here and its closing quote has text behind it";
        check_error(b"q,a\nx,\"y\nz,\"w\"\n", &format!("row 1 (line 2): {says}"));
        check_error(b"q,a\n\"x\" y,z\n", &format!("row 1 (line 2): {says}"));
        let plain = LoadOptions::default().with_quotes(false);
        assert_eq!(rows(b"q,a\nx,\"y\nz,w\n", &plain).unwrap()[0].get_str("a"), Some("\"y"));
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

    /// Gives no more at once than the buffer of its reader holds.
    struct Pieces<R>(BufReader<R>);

    impl<R: Read> Read for Pieces<R> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.0.fill_buf()?.len().min(buffer.len());
            self.0.read(&mut buffer[..length])
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
        fn a_quote_too_many_is_found_in_its_line(
            cells in prop::collection::vec(["[a;é]{0,5}", "[a;é]{0,5}"], 1..12),
            ends in "(\n|\r|\r\n)",
            broken in any::<prop::sample::Index>(),
            right in any::<bool>(),
        ) {
            let broken = broken.index(cells.len());
            let lines = cells.iter().enumerate().map(|(index, [one, two])| match (index == broken, right) {
                (false, _) => format!("1{one},2{two}{ends}"),
                (true, false) => format!("\"1{one},2{two}{ends}"),
                (true, true) => format!("1{one},\"2{two}{ends}"),
            });
            let text = format!("one,two{ends}{}", lines.collect::<String>());
            let read: Vec<_> = read_csv(text.as_bytes(), "rows.csv", &LoadOptions::default()).unwrap().collect();
            prop_assert_eq!(read.len(), broken + 1);
            match read.last() {
                Some(Err(DataError::UnclosedQuote { at, .. })) => {
                    prop_assert_eq!((at.row, at.line), (broken as u64 + 1, broken as u64 + 2));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn how_the_bytes_arrive_makes_no_difference(text in "(sep=;\n)?[a,;\"\r\n ]{0,60}") {
            let options = LoadOptions { max_row_bytes: 20, ..LoadOptions::default() };
            let whole = rows(text.as_bytes(), &options).map_err(|error| error.to_string());
            for size in [1, 7] {
                let pieces = Pieces(BufReader::with_capacity(size, text.as_bytes()));
                let read = read_csv(pieces, "rows.csv", &options).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                prop_assert_eq!(&read.map_err(|error| error.to_string()), &whole, "{:?}", text);
            }
        }

        #[test]
        fn csv_like_text_never_panics(text in "[a,\"\r\n]{0,40}") {
            let _ = rows(text.as_bytes(), &LoadOptions::default());
        }
    }
}
