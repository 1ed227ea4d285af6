//! From a raw row to an example: renaming, required fields, types.

use std::collections::HashSet;
use std::path::PathBuf;

use promptopt_core::data::{Example, Fields, shown};
use promptopt_core::signature::FieldType;
use serde_json::Value;

use crate::files::Files;
use crate::{DataError, LoadOptions, Location, UnknownFields, words};

/// A row as a reader found it.
pub(crate) struct RawRow {
    /// Where it stands.
    pub(crate) at: Location,
    /// Its columns.
    pub(crate) fields: Fields,
    /// Whether it held numbers that JSON does not have, which were read as null.
    pub(crate) not_finite: bool,
}

impl RawRow {
    pub(crate) fn new(at: Location, fields: Fields) -> Self {
        Self { at, fields, not_finite: false }
    }
}

/// The rules of [`LoadOptions`], checked and ready for many rows.
pub(crate) struct Mapping {
    options: LoadOptions,
    required: Vec<String>,
    mapped_columns: HashSet<String>,
    files: Files,
}

impl Mapping {
    pub(crate) fn new(options: &LoadOptions) -> Result<Self, DataError> {
        let wrong = |reason: &str| Err(DataError::InvalidOptions { reason: reason.to_owned() });
        if options.limit == Some(0) {
            return wrong("a `limit` of 0 would load nothing: give 1 or more, or leave it out");
        }
        if options.max_row_bytes == 0 {
            return wrong("`max_row_bytes` of 0 admits no row: leave it out for the default of 16 MiB");
        }
        let mut required: Vec<String> = Vec::new();
        for field in options.inputs.iter().chain(&options.required).chain(options.columns.keys()) {
            if !required.contains(field) {
                required.push(field.clone());
            }
        }
        let mapped_columns = options.columns.values().cloned().collect();
        let files = Files { folder: None, outside: options.files_outside };
        Ok(Self { options: options.clone(), required, mapped_columns, files })
    }

    /// With the folder that paths of images and files start at.
    pub(crate) fn with_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.files.folder = folder;
        self
    }

    /// Whether a column feeds a field that is an image or a file, and so may hold bytes.
    #[cfg(feature = "parquet")]
    pub(crate) fn is_shown(&self, column: &str) -> bool {
        let is_shown = |field: &str| self.options.types.get(field).is_some_and(FieldType::is_shown);
        let mapped = self.options.columns.iter().filter(|(_, source)| *source == column);
        mapped.map(|(field, _)| field.as_str()).chain([column]).any(is_shown)
    }

    /// The columns that every row must have.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &str> {
        let column = |field: &'_ String| self.options.columns.get(field).map(String::as_str);
        self.required.iter().map(move |field| column(field).unwrap_or(field))
    }

    /// Whether a column can come into an example, or must be seen to be refused.
    #[cfg(feature = "parquet")]
    pub(crate) fn wants(&self, column: &str) -> bool {
        if self.mapped_columns.contains(column) {
            return true;
        }
        let known =
            self.required.iter().any(|field| field == column) || self.options.types.contains_key(column);
        !self.options.columns.contains_key(column)
            && (known || self.options.unknown_fields != UnknownFields::Drop)
    }

    pub(crate) fn example(&self, row: RawRow) -> Result<Example, DataError> {
        let mut fields = self.rename(&row)?;
        self.check_required(&row, &fields)?;
        for (field, kind) in &self.options.types {
            let Some(value) = fields.get_mut(field) else { continue };
            // A null is an absent value; where one is needed, it was refused above.
            if value.is_null() {
                continue;
            }
            if kind.is_shown() || *kind == FieldType::History {
                *value = self.with_bytes(value.take(), kind).map_err(|reason| DataError::File {
                    at: row.at.clone(),
                    field: field.clone(),
                    reason,
                })?;
            }
            let found = kind.read(value.take());
            *value = found.map_err(|found| wrong_type(&row, field, words::describe(kind), &found))?;
        }
        Ok(Example::new(fields, self.options.inputs.iter().cloned()))
    }

    fn with_bytes(&self, value: Value, kind: &FieldType) -> Result<Value, String> {
        match kind {
            FieldType::History => self.files.history(value, |name| self.options.types.get(name)),
            kind => self.files.read(value, kind),
        }
    }

    /// The columns under the names of their fields, in the order of the row.
    fn rename(&self, row: &RawRow) -> Result<Fields, DataError> {
        let mut fields = Fields::new();
        for (column, value) in &row.fields {
            for (field, _) in self.options.columns.iter().filter(|(_, source)| *source == column) {
                fields.insert(field.clone(), value.clone());
            }
            if self.mapped_columns.contains(column) || self.options.columns.contains_key(column) {
                continue;
            }
            let known = self.required.contains(column) || self.options.types.contains_key(column);
            if known || self.options.unknown_fields == UnknownFields::Keep {
                fields.insert(column.clone(), value.clone());
            } else if self.options.unknown_fields == UnknownFields::Error {
                return Err(self.unknown(row, column));
            }
        }
        Ok(fields)
    }

    fn check_required(&self, row: &RawRow, fields: &Fields) -> Result<(), DataError> {
        for field in &self.required {
            let kind = self.options.types.get(field);
            let may_be_null = matches!(kind, Some(FieldType::Optional(_) | FieldType::History));
            match fields.get(field) {
                // An input may be left out where it may be null, unless it was only misspelt.
                None if may_be_null
                    && self.options.inputs.contains(field)
                    && !self.is_misspelt(row, field) => {}
                None => return Err(self.missing(row, field)),
                Some(Value::Null) if may_be_null => {}
                Some(value @ Value::Null) => {
                    let expected =
                        self.options.types.get(field).map_or("a value".to_owned(), words::describe);
                    return Err(wrong_type(row, field, expected, value));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Whether a column of the row, or of a mapping, was probably meant by a field that the row lacks.
    fn is_misspelt(&self, row: &RawRow, field: &str) -> bool {
        let unknown =
            row.fields.keys().map(String::as_str).filter(|column| !self.options.types.contains_key(*column));
        self.options.columns.contains_key(field) || words::nearest(field, unknown).is_some()
    }

    fn missing(&self, row: &RawRow, field: &str) -> DataError {
        let names = || row.fields.keys().map(String::as_str);
        let has = format!("the row has {}", words::list(names()));
        let hint = match self.options.columns.get(field) {
            Some(column) => {
                let meant = words::nearest(column, names())
                    .map_or_else(String::new, |near| format!("; did you mean `{}`?", words::shorten(near)));
                format!("it is mapped to the column `{column}`, but {has}{meant}")
            }
            None => match words::nearest(field, names()) {
                Some(near) => format!(
                    "{has}; did you mean `{near}`? then map it with `columns`: {field} <- {near}",
                    near = words::shorten(near)
                ),
                None => format!("{has}; add it to the row, or map it to a column with `columns`"),
            },
        };
        DataError::MissingField { at: row.at.clone(), field: field.to_owned(), hint }
    }

    fn unknown(&self, row: &RawRow, column: &str) -> DataError {
        let mut known: Vec<&str> =
            self.required.iter().chain(self.options.types.keys()).map(String::as_str).collect();
        known.sort_unstable();
        known.dedup();
        let hint = match words::nearest(column, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? if not, set `unknown_fields` to keep or drop"),
            None => format!(
                "known are {}; remove it, or set `unknown_fields` to keep or drop",
                words::list(known.iter().copied())
            ),
        };
        DataError::UnknownField { at: row.at.clone(), field: words::shorten(column), hint }
    }
}

fn wrong_type(row: &RawRow, field: &str, expected: String, found: &Value) -> DataError {
    let mut text = shown(found);
    if found.is_null() && row.not_finite {
        text += " (as which NaN and Infinity are read)";
    }
    DataError::WrongType { at: row.at.clone(), field: field.to_owned(), expected, found: text }
}

#[cfg(test)]
mod tests {
    use promptopt_core::signature::Signature;
    use serde_json::json;

    use super::*;
    use crate::read_jsonl;

    fn options(signature: &str, columns: &[(&str, &str)], unknown_fields: UnknownFields) -> LoadOptions {
        let mut options = LoadOptions::for_signature(&Signature::parse(signature).unwrap());
        options.columns = columns.iter().map(|(field, column)| ((*field).into(), (*column).into())).collect();
        LoadOptions { unknown_fields, ..options }
    }

    fn load(row: &Value, options: &LoadOptions) -> Result<Example, DataError> {
        read_jsonl(row.to_string().as_bytes(), "rows.jsonl", options)?.next().unwrap()
    }

    fn check(row: Value, options: &LoadOptions, expected: Value) {
        let example = load(&row, options).unwrap();
        assert_eq!(Value::Object(example.fields().clone()), expected);
        assert_eq!(example.input_names(), options.inputs);
    }

    fn check_error(row: Value, options: &LoadOptions, expected: &str) {
        let error = load(&row, options).unwrap_err().to_string();
        assert!(error.starts_with("rows.jsonl, row 1 (line 1): ") && error.contains(expected), "{error}");
    }

    #[test]
    fn columns_are_renamed_kept_and_dropped() {
        let row = || json!({"body": "b", "dept": "d", "id": 1});
        let columns = [("ticket", "body"), ("department", "dept")];
        let keep = options("ticket -> department", &columns, UnknownFields::Keep);
        check(row(), &keep, json!({"ticket": "b", "department": "d", "id": 1}));
        let drop = options("ticket -> department", &columns, UnknownFields::Drop);
        check(row(), &drop, json!({"ticket": "b", "department": "d"}));
        let error = options("ticket -> department", &columns, UnknownFields::Error);
        check_error(row(), &error, "the field `id` is not known: known are `department`, `ticket`");
    }

    #[test]
    fn a_mapping_may_swap_and_repeat_columns() {
        let swap = options("a -> b", &[("a", "b"), ("b", "a")], UnknownFields::Error);
        check(json!({"a": "1", "b": "2"}), &swap, json!({"b": "1", "a": "2"}));
        let repeat = options("a -> b", &[("a", "x"), ("b", "x")], UnknownFields::Error);
        check(json!({"x": "1", "b": "2"}), &repeat, json!({"a": "1", "b": "1"}));
    }

    #[test]
    fn missing_fields_say_what_there_is() {
        let plain = options("ticket -> department", &[], UnknownFields::Keep);
        check_error(
            json!({"tickets": "b"}),
            &plain,
            "`ticket` is missing: the row has `tickets`; did you mean `tickets`?",
        );
        check_error(json!({"ticket": "b"}), &plain, "`department` is missing: the row has `ticket`; add it");
        let mapped = options("ticket -> department", &[("ticket", "body")], UnknownFields::Keep);
        check_error(
            json!({"Body": "b"}),
            &mapped,
            "mapped to the column `body`, but the row has `Body`; did you mean `Body`?",
        );
    }

    #[test]
    fn unknown_fields_are_refused_where_asked() {
        let strict = options("ticket -> department", &[], UnknownFields::Error);
        let row = json!({"ticket": "b", "department": "d", "departement": "d"});
        check_error(row, &strict, "the field `departement` is not known: did you mean `department`?");
    }

    #[test]
    fn values_are_read_by_their_types_and_others_refused() {
        let typed = options("n: int -> label: enum[1, b], score: float", &[], UnknownFields::Keep);
        check(json!({"n": 1, "label": "b", "score": 1}), &typed, json!({"n": 1, "label": "b", "score": 1}));
        check(
            json!({"n": "1", "label": 1, "score": "1.10"}),
            &typed,
            json!({"n": 1, "label": "1", "score": 1.1}),
        );
        check_error(
            json!({"n": "one", "label": "b", "score": 1}),
            &typed,
            "`n` must be a whole number, but holds the text `one`",
        );
        check_error(
            json!({"n": 1.5, "label": "b", "score": 1}),
            &typed,
            "`n` must be a whole number, but holds `1.5`",
        );
        check_error(
            json!({"n": 1, "label": "c", "score": 1}),
            &typed,
            "`label` must be one of `1`, `b`, but holds the text `c`",
        );
        check_error(
            json!({"n": null, "label": "b", "score": 1}),
            &typed,
            "`n` must be a whole number, but holds `null`",
        );
        let text = options("q -> a", &[], UnknownFields::Keep);
        check(json!({"q": 7, "a": true}), &text, json!({"q": "7", "a": "true"}));
        check_error(json!({"q": ["x"], "a": "b"}), &text, "`q` must be a text, but holds `[\"x\"]`");
    }

    #[test]
    fn an_optional_value_may_be_null() {
        let types = [("note".to_owned(), FieldType::String)].into();
        check(json!({"note": null}), &LoadOptions { types, ..LoadOptions::default() }, json!({"note": null}));
    }

    #[test]
    fn null_a_field_that_is_left_out_and_the_text_null_are_told_apart() {
        let options = options("q: str?, past: history -> n: int?, t: str?", &[], UnknownFields::Error);
        let row = |q: Value| json!({"q": q, "n": null, "t": "null"});
        check(row(json!(null)), &options, json!({"q": null, "n": null, "t": "null"}));
        check(row(json!("null")), &options, json!({"q": "null", "n": null, "t": "null"}));
        check(json!({"n": "null", "t": "x"}), &options, json!({"n": null, "t": "x"}));
        check(json!({"past": [], "n": 1, "t": "x"}), &options, json!({"past": [], "n": 1, "t": "x"}));
        // A label is compared, so it must be there; and a misspelt input is not one that was left out.
        check_error(json!({"q": "a", "n": 1}), &options, "the field `t` is missing");
        let kept = LoadOptions { unknown_fields: UnknownFields::Keep, ..options };
        check_error(
            json!({"pasd": [], "n": 1, "t": "x"}),
            &kept,
            "the field `past` is missing: the row has `pasd`",
        );
    }

    #[test]
    fn a_file_that_cannot_be_had_is_named_with_row_and_field() {
        let options = options("photo: image -> a", &[], UnknownFields::Error);
        check_error(json!({"photo": "a.png", "a": "x"}), &options, "the field `photo`: `a.png` is a path");
        let address = json!({"photo": "https://x.org/a.png", "a": "x"});
        check(address.clone(), &options, address);
        check_error(
            json!({"photo": 3, "a": "x"}),
            &options,
            "`photo` must be an image (an address, base64 or a path)",
        );
    }

    #[test]
    fn options_that_load_nothing_are_refused() {
        for options in [
            LoadOptions { limit: Some(0), ..LoadOptions::default() },
            LoadOptions { max_row_bytes: 0, ..LoadOptions::default() },
        ] {
            assert!(matches!(load(&json!({}), &options), Err(DataError::InvalidOptions { .. })));
        }
    }
}
