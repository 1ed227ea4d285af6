//! Rows that are deeper or larger than any data set has on purpose, in every format of text.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_core::data::Example;
use promptopt_core::signature::FieldType;
use promptopt_data::{DataError, LoadOptions, read_csv, read_json, read_jsonl};

/// Deeper than any stack could follow.
const DEPTH: usize = 100_000;

fn read(format: &str, text: &str, options: &LoadOptions) -> Result<Vec<Example>, DataError> {
    let bytes = text.as_bytes();
    match format {
        "json" => read_json(bytes, "rows", options)?.collect(),
        "jsonl" => read_jsonl(bytes, "rows", options)?.collect(),
        _ => read_csv(bytes, "rows", options)?.collect(),
    }
}

/// The error of a file of one row with this value in the field `a`.
fn error(format: &str, value: &str, options: &LoadOptions) -> String {
    let text = match format {
        "json" => format!("[{{\"a\": {value}}}]"),
        "jsonl" => format!("{{\"a\": {value}}}\n"),
        _ => format!("a\n\"{}\"\n", value.replace('"', "\"\"")),
    };
    read(format, &text, options).unwrap_err().to_string()
}

#[test]
fn what_is_nested_too_deep_is_an_error_with_its_row() {
    let list = FieldType::list(FieldType::list(FieldType::Integer));
    let object = FieldType::parse("object").unwrap();
    for kind in [list, object] {
        let options = LoadOptions::default().with_types([("a".to_owned(), kind)].into());
        for value in [
            "[".repeat(DEPTH) + &"]".repeat(DEPTH),
            "{\"a\":".repeat(DEPTH) + "1" + &"}".repeat(DEPTH),
            "[".repeat(DEPTH),
        ] {
            for format in ["json", "jsonl", "csv"] {
                let error = error(format, &value, &options);
                assert!(error.contains("row 1") && error.len() < 1000, "{format}: {error}");
            }
        }
    }
}

#[test]
fn a_row_over_the_bound_is_an_error_and_not_read_to_its_end() {
    let options = LoadOptions::default().with_max_row_bytes(1000);
    for format in ["json", "jsonl", "csv"] {
        let error = error(format, &format!("\"{}\"", "x".repeat(5_000_000)), &options);
        assert!(error.contains("larger than 1000 bytes"), "{format}: {error}");
    }
    let header = "x,".repeat(10_000);
    assert!(read("csv", &header, &options).unwrap_err().to_string().contains("larger than 1000 bytes"));
}
