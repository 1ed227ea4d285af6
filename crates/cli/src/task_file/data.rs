//! The section `[data]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use promptopt_data::{Portion, UnknownFields};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the examples are, and how they are divided.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataSection {
    /// A `.jsonl`, `.ndjson`, `.json` (array), `.csv` or `.tsv` file, relative to the task file.
    pub(crate) path: PathBuf,
    /// Field -> column, where their names differ.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, String>,
    /// Columns that are no field of the program: an error (default), kept or dropped.
    #[schemars(with = "Option<UnknownFieldsForm>")]
    pub(crate) unknown_fields: Option<UnknownFields>,
    /// Read so many rows. Default: all.
    pub(crate) limit: Option<usize>,
    /// What optimizers learn from: a count (`100`) or a share (`0.6`) of the rows.
    #[schemars(with = "Option<f64>")]
    pub(crate) train: Option<Portion>,
    /// What candidates are compared on.
    #[schemars(with = "Option<f64>")]
    pub(crate) selection: Option<Portion>,
    /// The sealed test: what the winner is measured on, at the end and once.
    #[schemars(with = "Option<f64>")]
    pub(crate) test: Option<Portion>,
    /// Decides which row goes where. Default: 0.
    #[serde(default)]
    pub(crate) seed: u64,
    /// A field whose values every part has in the same proportion.
    pub(crate) stratify_by: Option<String>,
}

/// What the schema says of `unknown_fields`.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for a type of another crate in the schema and is never made")]
enum UnknownFieldsForm {
    Error,
    Keep,
    Drop,
}
