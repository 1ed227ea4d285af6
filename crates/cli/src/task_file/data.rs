//! The section `[data]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use promptopt_data::{Portion, UnknownFields};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the examples are, and how they are divided.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataSection {
    /// A `.jsonl`, `.ndjson`, `.json` (array), `.csv`, `.tsv` or `.parquet` file, relative to the task file.
    pub(crate) path: Option<PathBuf>,
    /// A data set of the Hugging Face Hub, instead of `path`.
    pub(crate) hub: Option<HubSection>,
    /// Field -> column, where their names differ.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, String>,
    /// Columns that are no field of the program: an error (default), kept or dropped. Those of a data set of
    /// the hub are dropped by default.
    #[schemars(with = "Option<UnknownFieldsForm>")]
    pub(crate) unknown_fields: Option<UnknownFields>,
    /// Read so many rows of each file. Default: all.
    pub(crate) limit: Option<usize>,
    /// What separates the cells of a CSV file, such as `";"`. Default: what its header shows; a tab in `.tsv`.
    pub(crate) delimiter: Option<char>,
    /// Whether quotes around a cell of a CSV file let it hold delimiters and line breaks. Default: yes; in `.tsv` no.
    pub(crate) quotes: Option<bool>,
    /// The largest size of one row in bytes. Default: 16 MiB.
    pub(crate) max_row_bytes: Option<usize>,
    /// Whether the path of an image or a file may lead out of the folder of the data file. Default: no.
    #[serde(default)]
    pub(crate) files_outside: bool,
    /// What optimizers learn from: a count (`100`) or a share (`0.6`) of the rows, or a file of its own.
    pub(crate) train: Option<Part>,
    /// What candidates are compared on.
    pub(crate) selection: Option<Part>,
    /// The sealed test: what the winner is measured on, at the end and once.
    pub(crate) test: Option<Part>,
    /// Decides which row goes where. Default: 0.
    #[serde(default)]
    pub(crate) seed: u64,
    /// A field whose values every part has in the same proportion.
    pub(crate) stratify_by: Option<String>,
}

/// A data set of the Hugging Face Hub.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HubSection {
    /// `owner/name`.
    pub(crate) repo: String,
    /// The configuration, also called subset. Default: the only one, or the default one.
    pub(crate) config: Option<String>,
    /// The split that is divided. Default: `train`.
    pub(crate) split: Option<String>,
    /// The split that is the sealed test. Default: a part of `split`.
    pub(crate) test_split: Option<String>,
    /// A branch, tag or commit. Default: the hub's own conversion to Parquet.
    pub(crate) revision: Option<String>,
}

/// A part of the data: so much of the rows, or a file of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a part must be a count (100), a share (0.2), or the path of a file (\"dev.jsonl\")"
)]
pub(crate) enum Part {
    Portion(#[schemars(with = "f64")] Portion),
    File(PathBuf),
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

impl Part {
    /// The portion, where it is one.
    pub(crate) fn portion(&self) -> Option<Portion> {
        match self {
            Self::Portion(portion) => Some(*portion),
            Self::File(_) => None,
        }
    }

    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Portion(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

impl DataSection {
    /// Checks that it says in one way where the rows are.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let train = self.train.as_ref().and_then(Part::file);
        match (&self.path, &self.hub, train) {
            (None, None, None) => {
                bail!("`[data]` needs a `path`, a `[data.hub]`, or files in `train` and `test`")
            }
            (Some(_), Some(_), _) => bail!("`data.path` and `[data.hub]` exclude each other: leave one out"),
            (Some(_), _, Some(_)) => {
                bail!("`data.train` is a file, so `data.path` has no place beside it: leave `path` out")
            }
            (_, Some(_), Some(_)) => {
                bail!("`data.train` is a file, so `[data.hub]` has no place beside it: leave one out")
            }
            _ => {}
        }
        let by_hub = self.hub.as_ref().is_some_and(|hub| hub.test_split.is_some());
        if by_hub && self.test.is_some() {
            bail!("`data.hub.test_split` and `data.test` both say what the test is: leave one out");
        }
        Ok(())
    }

    /// Makes the paths relative to the folder of the task file.
    pub(super) fn resolve(&mut self, folder: &Path) {
        let parts = [&mut self.train, &mut self.selection, &mut self.test];
        let files = parts.into_iter().filter_map(|part| match part {
            Some(Part::File(path)) => Some(path),
            _ => None,
        });
        for path in files.chain(&mut self.path) {
            *path = folder.join(&*path);
        }
    }

    /// Where the rows that are divided come from, in words.
    pub(crate) fn place(&self) -> String {
        let file = self.path.as_deref().or(self.train.as_ref().and_then(Part::file));
        match (&self.hub, file) {
            (Some(hub), _) => format!("hub data set {}", hub.repo),
            (None, Some(path)) => path.display().to_string(),
            (None, None) => "no data".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_come_from_one_place() {
        let check = |text: &str, says: Option<&str>| {
            let section: DataSection = toml::from_str(text).unwrap();
            match (section.check(), says) {
                (Ok(()), None) => {}
                (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{error}"),
                (result, says) => panic!("{text}: {result:?}, {says:?}"),
            }
        };
        check("path = \"a.csv\"\ntrain = 100\ntest = 0.2", None);
        check("train = \"a.csv\"\ntest = \"b.csv\"", None);
        check("path = \"a.csv\"\ntest = \"b.csv\"", None);
        check("hub = { repo = \"o/n\", test_split = \"test\" }\nselection = 0.2", None);
        check("test = \"b.csv\"", Some("needs a `path`"));
        check("path = \"a.csv\"\nhub = { repo = \"o/n\" }", Some("exclude each other"));
        check("path = \"a.csv\"\ntrain = \"b.csv\"", Some("leave `path` out"));
        check("hub = { repo = \"o/n\", test_split = \"test\" }\ntest = 5", Some("both say"));
        let error = toml::from_str::<DataSection>("path = \"a\"\ntest = true").unwrap_err().to_string();
        assert!(error.contains("a share (0.2)"), "{error}");
    }
}
