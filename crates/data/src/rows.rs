//! The stream of examples, whatever they are read from.

use std::fmt;
use std::io::{self, BufRead, ErrorKind};
use std::path::PathBuf;

use promptopt_core::data::Example;

use crate::mapping::{Mapping, RawRow};
use crate::{DataError, LoadOptions, Location};

/// A format: something that finds the next row.
pub(crate) trait RowSource {
    /// The next row, or `None` at the end.
    fn next_row(&mut self) -> Result<Option<RawRow>, DataError>;

    /// What was read otherwise than it stands, or not at all, in words.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<S: RowSource + ?Sized> RowSource for Box<S> {
    fn next_row(&mut self) -> Result<Option<RawRow>, DataError> {
        (**self).next_row()
    }

    fn notes(&self) -> Vec<String> {
        (**self).notes()
    }
}

/// Examples, one row at a time.
///
/// The first error is the last item: what stands behind a broken row cannot be trusted. A source
/// without any row gives [`DataError::Empty`].
pub struct Rows<'r> {
    source: Box<dyn RowSource + Send + 'r>,
    mapping: Mapping,
    file: String,
    limit: Option<usize>,
    count: usize,
    done: bool,
}

impl<'r> Rows<'r> {
    pub(crate) fn new(
        source: impl RowSource + Send + 'r,
        file: String,
        options: &LoadOptions,
    ) -> Result<Self, DataError> {
        let mapping = Mapping::new(options)?;
        Ok(Self { source: Box::new(source), mapping, file, limit: options.limit, count: 0, done: false })
    }

    /// With the folder that paths of images and files start at.
    pub(crate) fn with_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.mapping = self.mapping.with_folder(folder);
        self
    }

    /// What a user should know of the rows that were read so far: rows without any value, of which no example was
    /// made, and numbers that JSON does not have.
    pub fn notes(&self) -> Vec<String> {
        self.source.notes()
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Example, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.limit.is_some_and(|limit| self.count >= limit) {
            return None;
        }
        let example =
            self.source.next_row().and_then(|row| row.map(|row| self.mapping.example(row)).transpose());
        match example {
            Ok(Some(example)) => {
                self.count += 1;
                Some(Ok(example))
            }
            Ok(None) => {
                self.done = true;
                (self.count == 0).then(|| Err(DataError::Empty { file: self.file.clone() }))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Rows<'_> {}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rows")
            .field("file", &self.file)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// The place before the first row of a file.
pub(crate) fn beginning(file: &str) -> Location {
    Location { file: file.to_owned(), row: 0, line: 0 }
}

pub(crate) fn fill<'b, R: BufRead>(reader: &'b mut R, at: &Location) -> Result<&'b [u8], DataError> {
    // A second call returns what the first one read, and so gets round a borrow that would
    // otherwise last over the loop.
    while let Err(error) = reader.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(read_error(at, error));
        }
    }
    reader.fill_buf().map_err(|error| read_error(at, error))
}

/// The error for a read that failed after the rows before `at`.
pub(crate) fn read_error(at: &Location, source: io::Error) -> DataError {
    // What went wrong on the network says more than that reading failed.
    #[cfg(feature = "hub")]
    let source = match source.downcast::<crate::HubError>() {
        Ok(error) => return error.into(),
        Err(source) => source,
    };
    if source.kind() == ErrorKind::InvalidData {
        return DataError::NotUtf16 { file: at.file.clone(), rows: at.row };
    }
    DataError::Read { file: at.file.clone(), rows: at.row, source }
}
