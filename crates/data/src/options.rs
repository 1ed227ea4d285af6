//! What a program needs of a row, and how rows are to be read.

use std::collections::BTreeMap;

use promptopt_core::signature::{FieldType, Signature};
use serde::{Deserialize, Serialize};

/// The default of [`LoadOptions::max_row_bytes`]: 16 MiB.
pub const DEFAULT_MAX_ROW_BYTES: usize = 16 * 1024 * 1024;

/// What to do with a field that is neither mapped, nor an input, nor required, nor typed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum UnknownFields {
    /// It stays in the example, as a label.
    #[default]
    Keep,
    /// It is left out.
    Drop,
    /// It is an error.
    Error,
}

/// How rows become examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Field -> the column it is taken from, where their names differ. Such a column no longer
    /// counts as a field of its own name; one column may feed several fields. A column whose name
    /// is that of a mapped field is left out. Default: none.
    pub columns: BTreeMap<String, String>,
    /// The fields that are inputs of the program. Every row must have them. Default: none, and
    /// then examples do not know their inputs.
    pub inputs: Vec<String>,
    /// Further fields that every row must have, such as the outputs the metric compares. A field
    /// of [`columns`](Self::columns) must always be there. Default: none.
    pub required: Vec<String>,
    /// Types of fields. A value is read as [`FieldType::read`] says, in every format alike: `"3"` and `3.0` are an
    /// int, `3` is one of `enum[1, 2, 3]`, `yes` and `1` are true, JSON text is a list or an object. A field without a
    /// type is taken as it is. Default: none.
    ///
    /// An image may be an address, which is not loaded; an image or a file base64, or a path that starts at the folder of
    /// the data file. Its media type is told by its bytes, of which there may be [`MAX_FILE_BYTES`](crate::MAX_FILE_BYTES).
    pub types: BTreeMap<String, FieldType>,
    /// What to do with other fields. Default: keep them.
    pub unknown_fields: UnknownFields,
    /// Stop after this many rows. Default: none, read all.
    pub limit: Option<usize>,
    /// The delimiter of CSV files, an ASCII character. Default: none, which means a tab for
    /// `.tsv`, and otherwise what the header shows: a comma, a semicolon, a tab or `|`.
    pub delimiter: Option<char>,
    /// Whether quotes around a cell of a CSV file let it hold delimiters and line breaks. Without, a quote is a letter
    /// like any other. Default: none, which means no for `.tsv` and yes otherwise.
    pub quotes: Option<bool>,
    /// The largest size of one row in bytes. Default: [`DEFAULT_MAX_ROW_BYTES`].
    pub max_row_bytes: usize,
    /// Whether the path of an image or a file may lead out of the folder of the data file. Default: no.
    pub files_outside: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            inputs: Vec::new(),
            required: Vec::new(),
            types: BTreeMap::new(),
            unknown_fields: UnknownFields::Keep,
            limit: None,
            delimiter: None,
            quotes: None,
            max_row_bytes: DEFAULT_MAX_ROW_BYTES,
            files_outside: false,
        }
    }
}

impl LoadOptions {
    /// With columns of other names than their fields.
    #[must_use]
    pub fn with_columns(mut self, columns: BTreeMap<String, String>) -> Self {
        self.columns = columns;
        self
    }

    /// With these inputs.
    #[must_use]
    pub fn with_inputs(mut self, inputs: Vec<String>) -> Self {
        self.inputs = inputs;
        self
    }

    /// With further fields that every row must have.
    #[must_use]
    pub fn with_required(mut self, required: Vec<String>) -> Self {
        self.required = required;
        self
    }

    /// With types of fields.
    #[must_use]
    pub fn with_types(mut self, types: BTreeMap<String, FieldType>) -> Self {
        self.types = types;
        self
    }

    /// With what to do with other fields.
    #[must_use]
    pub fn with_unknown_fields(mut self, unknown_fields: UnknownFields) -> Self {
        self.unknown_fields = unknown_fields;
        self
    }

    /// With at most so many rows.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// With a delimiter of CSV files.
    #[must_use]
    pub fn with_delimiter(mut self, delimiter: char) -> Self {
        self.delimiter = Some(delimiter);
        self
    }

    /// With what quotes around a cell of a CSV file mean.
    #[must_use]
    pub fn with_quotes(mut self, quotes: bool) -> Self {
        self.quotes = Some(quotes);
        self
    }

    /// With a bound on one row.
    #[must_use]
    pub fn with_max_row_bytes(mut self, max_row_bytes: usize) -> Self {
        self.max_row_bytes = max_row_bytes;
        self
    }

    /// Options that ask for all fields of a program's signature, with their types: its inputs as
    /// inputs, its outputs as required labels. Give the signature without outputs that no data set
    /// has, such as the reasoning of a chain of thought.
    pub fn for_signature(signature: &Signature) -> Self {
        let names = |fields: &[promptopt_core::signature::Field]| {
            fields.iter().map(|field| field.name.clone()).collect()
        };
        Self {
            inputs: names(signature.inputs()),
            required: names(signature.outputs()),
            types: signature.fields().map(|field| (field.name.clone(), field.kind.clone())).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_names_inputs_outputs_and_types() {
        let signature = Signature::parse("ticket, pages: int -> department: enum[a, b]").unwrap();
        let options = LoadOptions::for_signature(&signature);
        assert_eq!(options.inputs, ["ticket", "pages"]);
        assert_eq!(options.required, ["department"]);
        assert_eq!(options.types["department"], FieldType::literals(["a", "b"]));
    }

    #[test]
    fn options_are_read_from_json_and_misspelt_ones_refused() {
        let options: LoadOptions = serde_json::from_str(
            r#"{"columns": {"a": "b"}, "types": {"a": "integer"}, "unknown_fields": "drop"}"#,
        )
        .unwrap();
        assert_eq!(options.unknown_fields, UnknownFields::Drop);
        assert_eq!(options.max_row_bytes, DEFAULT_MAX_ROW_BYTES);
        let error = serde_json::from_str::<LoadOptions>(r#"{"column": {}}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `column`"), "{error}");
    }
}
