//! Rows of data files.

use std::io::{BufRead, BufReader};
use std::sync::LazyLock;

use promptopt_core::data::Example;
use promptopt_core::signature::{FieldType, Signature};
use promptopt_data::{DataError, LoadOptions, Rows, UnknownFields, read_csv, read_json, read_jsonl};

const LIMIT: usize = 50;

/// Options of every kind; rows are small, so that their bound is met, too.
static OPTIONS: LazyLock<Vec<LoadOptions>> = LazyLock::new(|| {
    let text = "a, n: int, x: float, t: bool -> e: enum[x, y], l: list[int], o: object";
    let typed = Signature::parse(text).map(|signature| LoadOptions::for_signature(&signature));
    let mapped = LoadOptions::default()
        .with_columns([("b".to_owned(), "a".to_owned())].into())
        .with_inputs(vec!["b".to_owned()])
        .with_types([("n".to_owned(), FieldType::Integer)].into())
        .with_unknown_fields(UnknownFields::Drop)
        .with_delimiter(';')
        .with_limit(3);
    let strict = LoadOptions::default()
        .with_required(vec!["a".to_owned()])
        .with_unknown_fields(UnknownFields::Error)
        .with_max_row_bytes(LIMIT);
    [LoadOptions::default(), mapped, strict].into_iter().chain(typed).collect()
});

/// Every row has what was asked for, of the right type; how the bytes arrive makes no difference; and an
/// error is the last item.
pub fn data_rows(bytes: &[u8]) {
    assert_eq!(OPTIONS.len(), 4);
    for options in OPTIONS.iter() {
        check(bytes, options, |reader, options| read_jsonl(reader, "f", options));
        check(bytes, options, |reader, options| read_json(reader, "f", options));
        check(bytes, options, |reader, options| read_csv(reader, "f", options));
    }
}

type Reader<'r> = Box<dyn BufRead + Send + 'r>;

fn check<'r>(
    bytes: &'r [u8],
    options: &LoadOptions,
    open: impl Fn(Reader<'r>, &LoadOptions) -> Result<Rows<'r>, DataError>,
) {
    let whole = read(open(Box::new(bytes), options));
    let by_byte = read(open(Box::new(BufReader::with_capacity(1, bytes)), options));
    assert_eq!(whole, by_byte);
    let (rows, _) = whole;
    assert!(options.limit.is_none_or(|limit| rows.len() <= limit));
    for row in &rows {
        for name in options.inputs.iter().chain(&options.required) {
            assert!(row.get(name).is_some(), "{name} in {row:?}");
        }
        for (name, kind) in &options.types {
            assert!(row.get(name).is_none_or(|value| kind.admits(value)), "{name} in {row:?}");
        }
    }
}

/// The rows, and how it ended.
fn read(rows: Result<Rows<'_>, DataError>) -> (Vec<Example>, Option<String>) {
    let mut rows = match rows {
        Ok(rows) => rows,
        Err(error) => return (Vec::new(), Some(said(&error))),
    };
    let mut examples = Vec::new();
    for row in rows.by_ref() {
        match row {
            Ok(example) => examples.push(example),
            Err(error) => {
                let end = Some(said(&error));
                assert!(rows.next().is_none(), "something comes behind an error");
                return (examples, end);
            }
        }
    }
    (examples, None)
}

/// A message quotes little of a file, however much there is.
fn said(error: &DataError) -> String {
    let text = error.to_string();
    assert!(text.len() < 4_000, "{} bytes", text.len());
    text
}
