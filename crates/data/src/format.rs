//! The formats of data files, told apart by extension.

use std::io::BufRead;
use std::path::Path;

use crate::rows::RowSource;
use crate::{DataError, LoadOptions, csv_rows, json_array, jsonl};

/// A format of data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    Parquet,
    Jsonl,
    Json,
    Csv,
    Tsv,
}

impl Format {
    /// The format that a file has by its name.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "parquet" => Some(Self::Parquet),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            _ => None,
        }
    }

    /// The rows of a text in this format; nothing for Parquet, which is read out of order.
    pub(crate) fn text_rows<'r>(
        self,
        reader: impl BufRead + Send + 'r,
        name: &str,
        options: &LoadOptions,
    ) -> Option<Result<Box<dyn RowSource + Send + 'r>, DataError>> {
        let rows = match self {
            Self::Parquet => return None,
            Self::Jsonl => jsonl::rows(reader, name, options).map(boxed),
            Self::Json => json_array::rows(reader, name, options).map(boxed),
            Self::Csv => csv_rows::rows(reader, name, options).map(boxed),
            Self::Tsv => {
                let (delimiter, quotes) = (options.delimiter.or(Some('\t')), options.quotes.or(Some(false)));
                let options = LoadOptions { delimiter, quotes, ..options.clone() };
                csv_rows::rows(reader, name, &options).map(boxed)
            }
        };
        Some(rows)
    }
}

fn boxed<'r>(source: impl RowSource + Send + 'r) -> Box<dyn RowSource + Send + 'r> {
    Box::new(source)
}
