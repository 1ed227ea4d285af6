//! A small data set.

use parquet::basic::Compression;

use crate::parquet_file::{Column, write};

/// Rows of news with their labels.
pub(crate) fn news(rows: std::ops::Range<usize>, codec: Compression) -> Vec<u8> {
    let text = rows.clone().map(|row| format!("news {row}")).collect();
    let label = rows.map(|row| (row % 4) as i64).collect();
    write(&["text", "label"], [vec![Column::Text(text), Column::Long(label)]], codec)
}
