//! The delimiter of a CSV file, found in its header.

use std::collections::HashSet;

/// What separates cells in files as people have them, the usual one first.
const USUAL: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What a header is separated by: the delimiter under which it has most of the columns that are needed. Of equals the
/// comma, where there is one; else the one that makes most cells.
pub(crate) fn found(header: &[u8], needed: &HashSet<&str>) -> u8 {
    let rank = |delimiter: &u8| {
        let cells = cells(header, *delimiter);
        let known = cells.iter().filter(|cell| needed.contains(cell.as_str())).count();
        (known, *delimiter == b',' && cells.len() > 1, cells.len())
    };
    // Of equals `max_by_key` takes the last.
    USUAL.into_iter().rev().max_by_key(rank).unwrap_or(b',')
}

/// The delimiter that spreadsheets write into a first line of its own, `sep=;`.
pub(crate) fn declared(line: &[u8]) -> Option<u8> {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n' | b' ')).map_or(0, |last| last + 1);
    match line.get(..end)?.trim_ascii_start() {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter]
            if *delimiter == b'\t' || (*delimiter != b'"' && delimiter.is_ascii_punctuation()) =>
        {
            Some(*delimiter)
        }
        _ => None,
    }
}

fn cells(header: &[u8], delimiter: u8) -> Vec<String> {
    let mut quoted = false;
    let split = header.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == delimiter && !quoted
    });
    split.map(|cell| String::from_utf8_lossy(cell).trim().trim_matches('"').trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_separates_it() {
        let check = |header: &str, needed: &[&str], expected: u8| {
            let needed = needed.iter().copied().collect();
            assert_eq!(found(header.as_bytes(), &needed) as char, expected as char, "{header}");
        };
        check("question,answer", &[], b',');
        check("question;answer", &[], b';');
        check("question\tanswer", &[], b'\t');
        check("question|answer", &[], b'|');
        check("question", &["question"], b',');
        check("a,b;c;d", &[], b',');
        check("price, in EUR;answer", &["answer"], b';');
        check("\"a;b;c\",answer", &["answer"], b',');
        check("\"a\";\"b\"", &["a", "b"], b';');
        check("text,choice (a|b|c|d)", &["ticket"], b',');
    }

    #[test]
    fn a_first_line_may_declare_it() {
        assert_eq!(declared(b"sep=;\r\n"), Some(b';'));
        assert_eq!(declared(b"sep=,"), Some(b','));
        assert_eq!(declared(b"sep=\t\r\n"), Some(b'\t'));
        assert_eq!(declared(b" sep=; \n"), Some(b';'));
        assert_eq!(declared(b"sep=\""), None);
        assert_eq!(declared(b"\n"), None);
        assert_eq!(declared(b"sep=x"), None);
        assert_eq!(declared(b"separator=;"), None);
    }
}
