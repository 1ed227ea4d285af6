//! What can be wrong with a data set.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where in a data set something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// The file, or the name that was given to a reader.
    pub file: String,
    /// The row, counted from 1 without header and blank lines; 0 is the header.
    pub row: u64,
    /// The line on which the row begins, counted from 1; 0 where a format has no lines.
    pub line: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            0 => write!(formatter, "{}, header (line {})", self.file, self.line),
            row if self.line == 0 => write!(formatter, "{}, row {row}", self.file),
            row => write!(formatter, "{}, row {row} (line {})", self.file, self.line),
        }
    }
}

/// Why a data set could not be loaded or split.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// There is no such file.
    #[error("no data file at `{}`: {hint}", .path.display())]
    NotFound {
        /// The path that was asked for.
        path: PathBuf,
        /// Files with a similar name, or what to check.
        hint: String,
    },
    /// The file is there but could not be opened.
    #[error("the data file `{}` could not be opened: check that it is a file that you may read", .path.display())]
    Open {
        /// The path that was asked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no file that can be read as often as it takes.
    #[error("the data file `{}` could not be opened, because {reason}", .path.display())]
    NotAFile {
        /// The path that was asked for.
        path: PathBuf,
        /// What is there instead, and what to do.
        reason: String,
    },
    /// The file's name does not say what format it has.
    #[error(
        "the format of `{}` is not known by its extension: rename it to .jsonl, .ndjson, .json, .csv, .tsv or .parquet",
        .path.display()
    )]
    UnknownFormat {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The format is one that this build does not read.
    #[error(
        "`{}` cannot be read by this build: build promptopt-data with the feature `{feature}`, or convert the file to .jsonl",
        .path.display()
    )]
    FeatureOff {
        /// The path that was asked for.
        path: PathBuf,
        /// The feature of this crate that reads it.
        feature: &'static str,
    },
    /// A Parquet file is broken, or uses something that cannot be read.
    #[error(
        "the Parquet file {file} could not be read after {rows} rows ({reason}): write it again, or convert it to .jsonl"
    )]
    Parquet {
        /// The file.
        file: String,
        /// How many rows had been read.
        rows: u64,
        /// What is wrong.
        reason: String,
    },
    /// A needed column has values without a JSON form.
    #[error(
        "{at}: the column `{column}` holds {found}, which no example can hold: leave it out (`unknown_fields` = drop, \
         and no field that is taken from it), or convert the column to text"
    )]
    BinaryColumn {
        /// The row.
        at: Location,
        /// The column, with the path inside it.
        column: String,
        /// What the column holds.
        found: &'static str,
    },
    /// The Hugging Face Hub.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] crate::HubError),
    /// Reading failed half-way.
    #[error(
        "reading {file} failed after {rows} rows: check the disk, or make a copy of the file and use that"
    )]
    Read {
        /// The file.
        file: String,
        /// How many rows had been read.
        rows: u64,
        /// Why.
        source: io::Error,
    },
    /// A text is UTF-16 by its first bytes, and then it is not.
    #[error("{file} is not valid UTF-16 after {rows} rows: save the file again, as UTF-8")]
    NotUtf16 {
        /// The file.
        file: String,
        /// How many rows had been read.
        rows: u64,
    },
    /// A row is not UTF-8.
    #[error("{at}: the text is not UTF-8 (first at byte {byte} of {what}): convert the file to UTF-8")]
    NotUtf8 {
        /// Where.
        at: Location,
        /// Where in the row or cell, counted from 1.
        byte: usize,
        /// Row or column.
        what: String,
    },
    /// A row is not JSON.
    #[error("{at}: invalid JSON at line {line}, column {column}: {reason}")]
    InvalidJson {
        /// The row.
        at: Location,
        /// The line of the fault, counted from 1.
        line: u64,
        /// The column of the fault in bytes, counted from 1.
        column: u64,
        /// What is wrong, and what to do where that is known.
        reason: String,
    },
    /// A row is JSON but not an object.
    #[error("{at}: a row must be a JSON object such as {{\"question\": \"…\"}}, but this one is {found}")]
    NotAnObject {
        /// The row.
        at: Location,
        /// What stands there, shortened.
        found: String,
    },
    /// A row lacks a field that the program needs.
    #[error("{at}: the field `{field}` is missing: {hint}")]
    MissingField {
        /// The row.
        at: Location,
        /// The field.
        field: String,
        /// What the row has, and what to do.
        hint: String,
    },
    /// A row has a field that nobody asked for, and [`UnknownFields::Error`](crate::UnknownFields::Error) is set.
    #[error("{at}: the field `{field}` is not known: {hint}")]
    UnknownField {
        /// The row.
        at: Location,
        /// The field.
        field: String,
        /// What is known, and what to do.
        hint: String,
    },
    /// The value of a field is not of its type.
    #[error(
        "{at}: the field `{field}` must be {expected}, but holds {found}: correct the value or the field's type"
    )]
    WrongType {
        /// The row.
        at: Location,
        /// The field.
        field: String,
        /// What was expected.
        expected: String,
        /// What stands there, shortened.
        found: String,
    },
    /// An image or a file of a row cannot be had.
    #[error("{at}: the field `{field}`: {reason}")]
    File {
        /// The row.
        at: Location,
        /// The field.
        field: String,
        /// What is wrong with which file, and what to do.
        reason: String,
    },
    /// A row is larger than [`LoadOptions::max_row_bytes`](crate::LoadOptions::max_row_bytes).
    #[error(
        "{at}: the row is larger than {limit} bytes: look for a quote or bracket that is never closed, or raise `max_row_bytes`"
    )]
    RowTooLarge {
        /// The row.
        at: Location,
        /// The bound in bytes.
        limit: usize,
    },
    /// A quote in a CSV file is not closed where it should be. The location has the line on which it opens.
    #[error(
        "{at}: a quote opens a cell here {fault}: close it, and write a quote inside of quotes twice, or set `quotes` to \
         false where quotes are letters like any other"
    )]
    UnclosedQuote {
        /// The row, with the line of the quote.
        at: Location,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A CSV row has more or fewer cells than the header.
    #[error(
        "{at}: the row has {found} {} where the header has {expected}: put cells that hold the delimiter or line breaks in \
         quotes, and set `delimiter` or `quotes` where the file is written otherwise",
        if *.found == 1 { "cell" } else { "cells" }
    )]
    UnequalLengths {
        /// The row.
        at: Location,
        /// Cells of the header.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// Two columns of a CSV file have one name.
    #[error("{file}: the header has the column `{column}` twice: rename one of them")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The name of both.
        column: String,
    },
    /// There are no rows.
    #[error("{file} has no rows: give a file with at least one example")]
    Empty {
        /// The file.
        file: String,
    },
    /// The options for loading contradict each other.
    #[error("the options for loading cannot be used: {reason}")]
    InvalidOptions {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The options for splitting ask for something that no data set has.
    #[error("the split cannot be made: {reason}")]
    InvalidSplit {
        /// What is wrong and what to do.
        reason: String,
    },
    /// There are fewer rows than the parts need.
    #[error(
        "the data set has {rows} rows ({distinct} with different inputs), which is too few to split into {parts}: \
         give more rows, or a file for each part"
    )]
    TooFewRows {
        /// How many rows there are.
        rows: usize,
        /// How many different inputs they have.
        distinct: usize,
        /// What was asked for.
        parts: String,
    },
    /// The field to stratify by is missing.
    #[error("example {row} has no field `{field}` to stratify by: {hint}")]
    MissingStratum {
        /// The example, counted from 1.
        row: usize,
        /// The field.
        field: String,
        /// What the example has, and what to do.
        hint: String,
    },
}
