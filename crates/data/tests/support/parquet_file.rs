//! Parquet files made on the spot.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

/// What a column holds.
pub(crate) enum Column {
    Text(Vec<String>),
    Long(Vec<i64>),
}

/// A file with a row group for each item of `groups`, of required columns.
pub(crate) fn write(
    names: &[&str],
    groups: impl IntoIterator<Item = Vec<Column>>,
    codec: Compression,
) -> Vec<u8> {
    let mut groups = groups.into_iter().peekable();
    let kinds = groups.peek().expect("a row group").iter().zip(names).map(|(column, name)| match column {
        Column::Text(_) => format!("required binary {name} (STRING);"),
        Column::Long(_) => format!("required int64 {name};"),
    });
    let schema = format!("message rows {{ {} }}", kinds.collect::<String>());
    let properties = WriterProperties::builder()
        .set_compression(codec)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(64 * 1024)
        .set_write_batch_size(256);
    let mut writer = SerializedFileWriter::new(
        Vec::new(),
        Arc::new(parse_message_type(&schema).unwrap()),
        Arc::new(properties.build()),
    )
    .unwrap();
    for columns in groups {
        let mut group = writer.next_row_group().unwrap();
        columns.iter().for_each(|column| write_column(&mut group, column));
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn write_column(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, column: &Column) {
    let mut writer = group.next_column().unwrap().expect("a column");
    match column {
        Column::Text(texts) => {
            let texts: Vec<ByteArray> = texts.iter().map(|text| text.as_str().into()).collect();
            writer.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        }
        Column::Long(numbers) => {
            writer.typed::<Int64Type>().write_batch(numbers, None, None).unwrap();
        }
    }
    writer.close().unwrap();
}
