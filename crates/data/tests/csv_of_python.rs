//! CSV as a stranger reads it: what Python's `csv` module makes of the same texts.
//!
//! `python3 crates/data/tests/csv_of_python.py` records them anew.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_data::{DataError, LoadOptions, read_csv};
use serde_json::Value;

/// The rows that Python reads; nothing where it finds an error.
fn recorded(case: &Value) -> Option<Vec<Vec<&str>>> {
    let rows = case["rows"].as_array()?.iter();
    Some(
        rows.map(|row| row.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect()).collect(),
    )
}

/// Whether no row is left out by us alone: those without any value are.
fn has_value(row: &[&str]) -> bool {
    row.iter().any(|cell| !cell.is_empty())
}

#[test]
fn what_is_read_is_what_python_reads() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("csv_of_python.json")).unwrap();
    let (mut refused, mut read) = (0, 0);
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let found: Result<Vec<_>, DataError> =
            read_csv(text.as_bytes(), "rows", &LoadOptions::default()).unwrap().collect();
        match (recorded(case), found) {
            (Some(rows), Ok(found)) => {
                let found: Vec<Vec<&str>> = found
                    .iter()
                    .map(|row| row.fields().values().map(|cell| cell.as_str().unwrap()).collect())
                    .collect();
                let [found, rows] = [&found, &rows[1..]]
                    .map(|rows| rows.iter().filter(|row| has_value(row)).collect::<Vec<_>>());
                assert_eq!(found, rows, "{text:?}");
                read += 1;
            }
            // Rows of other lengths are no error to Python.
            (Some(rows), Err(DataError::UnequalLengths { .. })) => {
                assert!(rows.iter().any(|row| row.len() != 2), "{text:?}")
            }
            (Some(rows), Err(DataError::Empty { .. })) => {
                assert!(!rows[1..].iter().any(|row| has_value(row)), "{text:?}")
            }
            (None, Err(DataError::UnclosedQuote { .. } | DataError::UnequalLengths { .. })) => refused += 1,
            (rows, found) => panic!("{text:?}: {rows:?}, {found:?}"),
        }
    }
    assert!(refused > 50 && read > 50, "{refused} refused, {read} read");
}
