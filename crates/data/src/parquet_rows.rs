//! Parquet: the needed columns of one row after the other, a page at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader as _};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::Row;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use promptopt_core::data::Fields;
use serde_json::Value;

use crate::mapping::{Mapping, RawRow};
use crate::parquet_value::{member, value};
use crate::rows::{RowSource, beginning};
use crate::{DataError, LoadOptions, Location, words};

/// The rows of a Parquet file as they stand, with the columns that the options need.
///
/// Only the footer is read here; the pages of those columns are read as the rows are.
pub(crate) fn rows<R: ChunkReader + 'static>(
    file: R,
    name: &str,
    options: &LoadOptions,
) -> Result<ParquetRows, DataError> {
    let at = beginning(name);
    let reader = guarded(&at, || SerializedFileReader::new(file))?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
    let mapping = Mapping::new(options)?;
    let names = || schema.get_fields().iter().map(|field| field.name());
    let has_needed = mapping.needed().all(|column| names().any(|name| name == column));
    let chosen = schema.get_fields().iter().filter(|field| has_needed && mapping.wants(field.name()));
    let chosen: Vec<Arc<Type>> = chosen.cloned().collect();
    let rows = if chosen.is_empty() {
        Columns::Names { left: reader.metadata().file_metadata().num_rows() }
    } else {
        let projection = Type::group_type_builder(schema.name()).with_fields(chosen).build();
        let projection = projection.map_err(|error| broken(&at, error))?;
        Columns::Chosen(Box::new(guarded(&at, || {
            RowIter::from_file_into(Box::new(reader)).project(Some(projection))
        })?))
    };
    Ok(ParquetRows { rows, schema, at, mapping, limit: options.max_row_bytes })
}

/// Rows of a Parquet file.
pub(crate) struct ParquetRows {
    rows: Columns,
    schema: Arc<Type>,
    mapping: Mapping,
    at: Location,
    limit: usize,
}

enum Columns {
    /// The columns that are needed.
    Chosen(Box<RowIter<'static>>),
    /// None is needed, or one is missing: the names of all are enough to say so.
    Names { left: i64 },
}

impl RowSource for ParquetRows {
    fn next_row(&mut self) -> Result<Option<RawRow>, DataError> {
        let row = match &mut self.rows {
            Columns::Chosen(rows) => guarded(&self.at, || rows.next().transpose())?,
            Columns::Names { left: ..=0 } => None,
            Columns::Names { left } => {
                *left -= 1;
                self.at.row += 1;
                let names = self.schema.get_fields().iter().map(|field| field.name().to_owned());
                let fields = names.map(|name| (name, Value::from(""))).collect();
                return Ok(Some(RawRow::new(self.at.clone(), fields)));
            }
        };
        let Some(row) = row else { return Ok(None) };
        self.at.row += 1;
        let fields = self.fields(row)?;
        if fields.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>() > self.limit {
            return Err(DataError::RowTooLarge { at: self.at.clone(), limit: self.limit });
        }
        Ok(Some(RawRow::new(self.at.clone(), fields)))
    }
}

impl ParquetRows {
    fn fields(&self, row: Row) -> Result<Fields, DataError> {
        let mut fields = Fields::new();
        for (name, field) in row.into_columns() {
            let takes_bytes = self.mapping.is_shown(&name);
            let value = value(&field, member(&self.schema, &name), takes_bytes).map_err(|binary| {
                let column =
                    if binary.path.is_empty() { name.clone() } else { format!("{name}.{}", binary.path) };
                let column = words::shorten(&column);
                DataError::BinaryColumn { at: self.at.clone(), column, found: binary.found }
            })?;
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// Runs a step of the Parquet reader. It panics on some broken files, which is an error of the
/// file and must not end the program.
fn guarded<T>(at: &Location, step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DataError> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(|error| broken(at, error)),
        Err(_) => Err(DataError::Parquet {
            file: at.file.clone(),
            rows: at.row,
            reason: "its pages or its schema are not valid".to_owned(),
        }),
    }
}

fn broken(at: &Location, error: ParquetError) -> DataError {
    // What went wrong on the network says more than that reading failed.
    #[cfg(feature = "hub")]
    let error = match error {
        ParquetError::External(source) => match source.downcast::<crate::HubError>() {
            Ok(error) => return (*error).into(),
            Err(source) => ParquetError::External(source),
        },
        other => other,
    };
    let reason = words::shorten(&error.to_string());
    DataError::Parquet { file: at.file.clone(), rows: at.row, reason }
}

/// About how many bytes a value has as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields.iter().map(|(name, item)| name.len() + size(item) + 4).sum::<usize>() + 2
        }
        _ => 8,
    }
}
