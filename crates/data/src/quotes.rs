//! What a reader of CSV forgives and a data set must not: quotes that are not closed where they should be.

/// Follows the bytes of a CSV file, record by record, and counts its lines.
pub(crate) struct Quotes {
    delimiter: u8,
    /// Whether quotes mean anything.
    on: bool,
    place: Place,
    /// The line that the next byte stands on, counted from 1. A line ends with CR, LF or both.
    pub(crate) line: u64,
    after_return: bool,
    /// The line on which the last quoted cell began.
    pub(crate) opened: u64,
    /// Whether a quoted cell began since somebody said no.
    pub(crate) seen: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Where a cell begins.
    Start,
    /// In a cell without quotes around it, where a quote is a letter like any other.
    Plain,
    /// Inside of quotes.
    Inside,
    /// Behind a quote inside of quotes: the first half of a doubled one, or the closing one.
    Quote,
    /// In the white space behind a closing quote.
    Behind,
}

impl Quotes {
    pub(crate) fn new(delimiter: u8, on: bool) -> Self {
        Self { delimiter, on, place: Place::Start, line: 1, after_return: false, opened: 1, seen: false }
    }

    /// Takes the next bytes; false where text stands behind a closing quote.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.step(*byte))
    }

    /// Whether a quote is open: the file must not end here.
    pub(crate) fn is_open(&self) -> bool {
        self.place == Place::Inside
    }

    fn step(&mut self, byte: u8) -> bool {
        let ends = byte == self.delimiter || matches!(byte, b'\r' | b'\n');
        self.place = match (self.place, byte) {
            (Place::Start, b'"') if self.on => {
                self.opened = self.line;
                self.seen = true;
                Place::Inside
            }
            (Place::Inside, b'"') => Place::Quote,
            (Place::Inside, _) => Place::Inside,
            (Place::Quote, b'"') => Place::Inside,
            _ if ends => Place::Start,
            (Place::Quote | Place::Behind, b' ' | b'\t') => Place::Behind,
            (Place::Quote | Place::Behind, _) => return false,
            (Place::Start | Place::Plain, _) => Place::Plain,
        };
        if byte == b'\r' || byte == b'\n' && !self.after_return {
            self.line += 1;
        }
        self.after_return = byte == b'\r';
        true
    }
}
