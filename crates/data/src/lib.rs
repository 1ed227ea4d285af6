//! Reads data sets for programs that call language models, checks every row, and splits them by a seed.
//!
//! Rows of JSONL, JSON, CSV and Parquet files and of the Hugging Face Hub become
//! [`Example`](promptopt_core::data::Example)s one by one and are checked on the way: a field that is
//! missing or of the wrong type is an error that names file, row and field, and says what to do.
//! [`split`] keeps apart what an optimizer learns from, what it chooses by and what it is judged by,
//! even where the same inputs stand in several rows. The test part stays [sealed](SealedTest) until it is
//! opened on purpose.
//!
//! In [promptopt](https://docs.rs/promptopt) this crate is the feature `data`. It works alone, for tests of any such
//! program.
//!
//! ```
//! use promptopt_core::signature::Signature;
//! use promptopt_data::{LoadOptions, Portion, SplitOptions, read_csv, split};
//!
//! let csv = "body,department,pages\nI was charged twice,billing,1\nIt crashes,support,2\nDo you deliver?,sales,1\n";
//!
//! // The columns are checked against what the program takes and gives.
//! let signature = Signature::parse("ticket, pages: int -> department: enum[billing, sales, support]")?;
//! let mut options = LoadOptions::for_signature(&signature);
//! options.columns.insert("ticket".into(), "body".into());
//! let examples = read_csv(csv.as_bytes(), "tickets.csv", &options)?.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(examples[0].get_str("ticket"), Some("I was charged twice"));
//! assert_eq!(examples[1].get("pages"), Some(&2.into()));
//!
//! // One row to learn from; the others are shared between selection and test.
//! let parts = split(examples, &SplitOptions::default().with_train(Portion::Count(1)))?;
//! assert_eq!((parts.train.len(), parts.selection.len(), parts.test.len()), (1, 1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Rows are read one at a time, each within [`LoadOptions::max_row_bytes`], so a file may be larger
//! than memory. Nothing here needs a runtime: what waits on a disk or a network blocks.
//!
//! Parts that come from files of their own can share rows; [`without_leakage`] finds and removes
//! them without opening the test part.
//!
//! | feature   | adds                                                            |
//! |-----------|-----------------------------------------------------------------|
//! | `parquet` | [`open`] and [`load`] take `.parquet`                           |
//! | `hub`     | `HubDataset`: data sets of the Hugging Face Hub; has `parquet`  |
//!
//! None is on by default.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod assign;
mod csv_rows;
mod decoded;
mod delimiter;
mod error;
mod file;
mod files;
mod format;
#[cfg(feature = "hub")]
mod hub;
mod json_array;
mod json_row;
mod jsonl;
mod leakage;
mod mapping;
mod options;
mod overlap;
#[cfg(feature = "parquet")]
mod parquet_rows;
#[cfg(feature = "parquet")]
mod parquet_value;
mod portion;
mod quota;
mod quotes;
mod report;
mod rows;
mod sealed;
mod split;
mod words;

pub use csv_rows::read_csv;
pub use error::{DataError, Location};
pub use file::{load, open};
pub use files::MAX_FILE_BYTES;
#[cfg(feature = "hub")]
pub use hub::{HubDataset, HubError, HubExamples, HubRows, HubSettings, HubSource};
pub use json_array::read_json;
pub use jsonl::read_jsonl;
pub use leakage::{Common, Kept, LeakageReport, SameInputs, leakage, without_leakage};
pub use options::{DEFAULT_MAX_ROW_BYTES, LoadOptions, UnknownFields};
pub use overlap::{Overlap, overlap};
pub use portion::Portion;
pub use report::SplitReport;
pub use rows::Rows;
pub use sealed::SealedTest;
pub use split::{SplitOptions, Splits, split};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
