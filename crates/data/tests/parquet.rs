//! Parquet files as examples.
#![cfg(feature = "parquet")]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

#[path = "support/news.rs"]
mod data;
#[path = "support/parquet_file.rs"]
mod parquet_file;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use data::news;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use promptopt_core::data::Example;
use promptopt_core::signature::Signature;
use promptopt_data::{DataError, LoadOptions, UnknownFields, load, open};
use proptest::prelude::*;
use serde_json::{Value, json};

fn save(folder: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join("rows.parquet");
    fs::write(&path, bytes).unwrap();
    path
}

fn load_bytes(bytes: &[u8], options: &LoadOptions) -> Result<Vec<Example>, DataError> {
    let folder = tempfile::tempdir().unwrap();
    load(save(folder.path(), bytes), options)
}

/// Writes one row group; `fill` writes the columns in the order of the schema.
fn file(schema: &str, mut fill: impl FnMut(usize, &mut ColumnWriter<'_>)) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut index = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        fill(index, column.untyped());
        column.close().unwrap();
        index += 1;
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

fn rows(bytes: &[u8]) -> Vec<Value> {
    let examples = load_bytes(bytes, &LoadOptions::default()).unwrap();
    examples.iter().map(|example| Value::Object(example.fields().clone())).collect()
}

fn dropping(inputs: &[&str]) -> LoadOptions {
    let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
    LoadOptions::default().with_inputs(inputs).with_unknown_fields(UnknownFields::Drop)
}

#[test]
fn every_codec_is_read() {
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
        Compression::LZ4,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let rows = rows(&news(0..3000, codec));
        assert_eq!(rows.len(), 3000);
        assert_eq!(rows[2999], json!({"text": "news 2999", "label": 3}), "{codec:?}");
    }
}

#[test]
fn a_column_of_images_as_hugging_face_writes_it() {
    let schema = "message m { required group photo { optional binary bytes; optional binary path (STRING); } required int64 label; }";
    let png = b"\x89PNG\r\n\x1a\n.".to_vec();
    let bytes = file(schema, |index, column| {
        match (index, column) {
            (0, ColumnWriter::ByteArrayColumnWriter(column)) => column.write_batch(
                &[ByteArray::from(png.clone()), ByteArray::from("text")],
                Some(&[1, 1]),
                None,
            ),
            (1, ColumnWriter::ByteArrayColumnWriter(column)) => {
                column.write_batch(&[ByteArray::from("a.jpg"), ByteArray::from("b.jpg")], Some(&[1, 1]), None)
            }
            (_, ColumnWriter::Int64ColumnWriter(column)) => column.write_batch(&[1, 2], None, None),
            _ => unreachable!(),
        }
        .unwrap();
    });
    let signature = Signature::parse("image: image -> label: int").unwrap();
    let columns = [("image".to_owned(), "photo".to_owned())].into();
    let options = LoadOptions::for_signature(&signature).with_columns(columns);
    let folder = tempfile::tempdir().unwrap();
    let mut rows = open(save(folder.path(), &bytes), &options).unwrap();
    let first = rows.next().unwrap().unwrap();
    assert_eq!(first.get("image"), Some(&json!("data:image/png;base64,iVBORw0KGgou")));
    let error = rows.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("rows.parquet, row 2: the field `image`: "), "{error}");
    assert!(error.contains("is application/octet-stream and no image"), "{error}");
    // Where no field takes bytes, a column of bytes is none that can be read.
    let plain = load_bytes(&bytes, &LoadOptions::default()).unwrap_err().to_string();
    assert!(plain.contains("the column `photo.bytes` holds bytes"), "{plain}");
}

#[test]
fn numbers_are_exact_and_what_is_not_finite_is_null() {
    let schema = "message m { required int64 a; required int64 b (INTEGER(64,false)); required double c; required float d; optional boolean e; }";
    let bytes = file(schema, |_, column| {
        match column {
            ColumnWriter::Int64ColumnWriter(column) => column.write_batch(&[i64::MAX - 1, -1], None, None),
            ColumnWriter::DoubleColumnWriter(column) => column.write_batch(&[0.1, f64::NAN], None, None),
            ColumnWriter::FloatColumnWriter(column) => column.write_batch(&[0.1, f32::INFINITY], None, None),
            ColumnWriter::BoolColumnWriter(column) => column.write_batch(&[true], Some(&[1, 0]), None),
            _ => unreachable!(),
        }
        .unwrap();
    });
    assert_eq!(
        rows(&bytes),
        [
            json!({"a": i64::MAX - 1, "b": (i64::MAX - 1) as u64, "c": 0.1, "d": 0.1, "e": true}),
            json!({"a": -1, "b": u64::MAX, "c": null, "d": null, "e": null}),
        ]
    );
    // What is needed must not be missing.
    let error = load_bytes(&bytes, &dropping(&["c"])).unwrap_err().to_string();
    assert!(
        error.contains("rows.parquet, row 2: the field `c` must be a value, but holds `null`"),
        "{error}"
    );
}

#[test]
fn decimals_dates_and_times_are_text() {
    let schema = "message m { required int32 price (DECIMAL(9,2)); required int32 day (DATE); \
        required int64 millis (TIMESTAMP(MILLIS,true)); required int64 local (TIMESTAMP(MICROS,false)); \
        required int64 nanos (TIMESTAMP(NANOS,true)); required int64 clock (TIME(MICROS,true)); }";
    let bytes = file(schema, |index, column| {
        let long =
            [0, 0, 1_700_000_000_123, 1_700_000_000_123_456, 1_700_000_000_123_456_789, 3_723_000_001][index];
        match column {
            ColumnWriter::Int32ColumnWriter(column) => {
                column.write_batch(&[[-1205, 19_675][index]], None, None)
            }
            ColumnWriter::Int64ColumnWriter(column) => column.write_batch(&[long], None, None),
            _ => unreachable!(),
        }
        .unwrap();
    });
    assert_eq!(
        rows(&bytes),
        [json!({
            "price": "-12.05", "day": "2023-11-14", "millis": "2023-11-14T22:13:20.123Z",
            "local": "2023-11-14T22:13:20.123456", "nanos": "2023-11-14T22:13:20.123456789Z", "clock": "01:02:03.000001",
        })]
    );
}

#[test]
fn lists_structs_and_maps_are_arrays_and_objects() {
    let schema = "message m {
        required group tags (LIST) { repeated group list { optional binary element (STRING); } }
        required group who { required binary name (STRING); optional int32 age; }
        required group counts (MAP) { repeated group key_value { required binary key (STRING); optional int32 value; } } }";
    let text = |text: &str| ByteArray::from(text);
    let bytes = file(schema, |index, column| {
        match (index, column) {
            (0, ColumnWriter::ByteArrayColumnWriter(column)) => {
                column.write_batch(&[text("x"), text("y")], Some(&[2, 1, 2, 0]), Some(&[0, 1, 1, 0]))
            }
            (1, ColumnWriter::ByteArrayColumnWriter(column)) => {
                column.write_batch(&[text("Ann"), text("Bo")], None, None)
            }
            (2, ColumnWriter::Int32ColumnWriter(column)) => column.write_batch(&[7], Some(&[1, 0]), None),
            (3, ColumnWriter::ByteArrayColumnWriter(column)) => {
                column.write_batch(&[text("k"), text("l")], Some(&[1, 1, 0]), Some(&[0, 1, 0]))
            }
            (4, ColumnWriter::Int32ColumnWriter(column)) => {
                column.write_batch(&[1], Some(&[2, 1, 0]), Some(&[0, 1, 0]))
            }
            _ => unreachable!(),
        }
        .unwrap();
    });
    assert_eq!(
        rows(&bytes),
        [
            json!({"tags": ["x", null, "y"], "who": {"name": "Ann", "age": 7}, "counts": {"k": 1, "l": null}}),
            json!({"tags": [], "who": {"name": "Bo", "age": null}, "counts": {}}),
        ]
    );
}

#[test]
fn values_are_read_by_their_types_as_in_every_format() {
    let schema = "message m { required int32 price (DECIMAL(9,2)); required int32 stars; required int32 good; \
                  required double pages; }";
    let bytes = file(schema, |index, column| {
        match column {
            ColumnWriter::Int32ColumnWriter(column) => {
                column.write_batch(&[[110, 300], [3, 1], [0, 1]][index], None, None)
            }
            ColumnWriter::DoubleColumnWriter(column) => column.write_batch(&[12.0, 7.0], None, None),
            _ => unreachable!(),
        }
        .unwrap();
    });
    let signature = Signature::parse("price: float, pages: int -> stars: enum[1, 2, 3], good: bool").unwrap();
    let options = LoadOptions::for_signature(&signature);
    let examples = load_bytes(&bytes, &options).unwrap();
    let read = Value::from_iter(examples[0].fields().clone());
    assert_eq!(read, json!({"price": 1.1, "stars": "3", "good": false, "pages": 12}));
    let text = LoadOptions::for_signature(&Signature::parse("price, pages -> stars, good: bool").unwrap());
    assert_eq!(load_bytes(&bytes, &text).unwrap()[1].get_str("price"), Some("3.00"));
    let wrong = LoadOptions::for_signature(&Signature::parse("price: int, pages -> stars, good").unwrap());
    let error = load_bytes(&bytes, &wrong).unwrap_err().to_string();
    assert!(
        error.contains("row 1: the field `price` must be a whole number, but holds the text `1.10`"),
        "{error}"
    );
}

#[test]
fn bytes_are_refused_by_name_and_only_where_they_are_needed() {
    let schema =
        "message m { required binary text (STRING); required group image { required binary bytes; } }";
    let bytes = file(schema, |_, column| {
        let ColumnWriter::ByteArrayColumnWriter(column) = column else { unreachable!() };
        column.write_batch(&[ByteArray::from("a"), ByteArray::from("b")], None, None).unwrap();
    });
    let error = load_bytes(&bytes, &LoadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("rows.parquet, row 1: the column `image.bytes` holds bytes"), "{error}");
    assert_eq!(load_bytes(&bytes, &dropping(&["text"])).unwrap().len(), 2);
}

#[test]
fn missing_and_unknown_columns_say_what_there_is() {
    let bytes = news(0..3, Compression::SNAPPY);
    let error = load_bytes(&bytes, &dropping(&["texts"])).unwrap_err().to_string();
    assert!(
        error.contains(
            "row 1: the field `texts` is missing: the row has `text`, `label`; did you mean `text`?"
        ),
        "{error}"
    );
    let mut strict = dropping(&["text"]);
    strict.unknown_fields = UnknownFields::Error;
    let error = load_bytes(&bytes, &strict).unwrap_err().to_string();
    assert!(error.contains("the field `label` is not known"), "{error}");
    assert_eq!(load_bytes(&bytes, &dropping(&[])).unwrap()[2].fields().len(), 0);
    let small = LoadOptions::default().with_max_row_bytes(5);
    let error = load_bytes(&bytes, &small).unwrap_err().to_string();
    assert!(error.contains("row 1: the row is larger than 5 bytes"), "{error}");
}

#[test]
fn other_files_are_no_parquet_files() {
    for bytes in [&b""[..], b"PAR1", b"{\"a\": 1}\n", b"PAR1\xff\xff\xff\x7fPAR1"] {
        let error = load_bytes(bytes, &LoadOptions::default()).unwrap_err();
        assert!(matches!(error, DataError::Parquet { .. }), "{error}");
    }
}

#[test]
fn rows_can_go_to_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(folder.path(), &news(0..3, Compression::SNAPPY));
    let rows = open(path, &LoadOptions::default()).unwrap();
    assert_eq!(std::thread::spawn(move || rows.count()).join().unwrap(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_file_is_an_error_or_other_rows_but_never_a_panic(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = news(0..50, Compression::SNAPPY);
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        let _ = load_bytes(&bytes, &LoadOptions::default());
    }
}
