//! A data set of the hub: its files, and their rows as examples.

use std::collections::VecDeque;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use promptopt_core::data::Example;
use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::client::Client;
use super::listing::{CONVERTED, Listing, is_safe_path, listing};
use super::remote::{Fetched, Source};
use super::select::{has_data, select};
use super::{HubError, HubSettings};
use crate::format::Format;
use crate::mapping::RawRow;
use crate::rows::RowSource;
use crate::{DataError, LoadOptions, Rows, file, parquet_rows};

/// A data set of the [Hugging Face Hub](https://huggingface.co/datasets).
///
/// Without a revision the hub's own conversion to Parquet is read, which nearly every public data
/// set has, else the files of `main`. With one, the files of that revision are read: those that the
/// data set's card assigns to the split, or those whose paths say so, as in the `datasets` library.
///
/// Whole files are kept in the [cache](HubSettings::cache) under their commit, so that a commit is
/// loaded once. With a limit, only the first parts of large files are asked for.
///
/// Calls block; from async code use `spawn_blocking`.
///
/// ```no_run
/// use promptopt_data::{HubDataset, LoadOptions};
///
/// let dataset = HubDataset::new("fancyzhx/ag_news", "train").with_limit(300);
/// let options = LoadOptions::default().with_inputs(vec!["text".into()]);
/// let loaded = dataset.load(&options)?;
/// println!("{} rows of {} at {}", loaded.examples.len(), loaded.source.repo, loaded.source.revision);
/// # Ok::<(), promptopt_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HubDataset {
    /// `owner/name`.
    pub repo: String,
    /// The configuration, also called subset. Default: the only one, else the one that the data set
    /// calls its default.
    #[serde(default)]
    pub config: Option<String>,
    /// The split, such as `train`.
    pub split: String,
    /// A branch, tag or commit. Default: the conversion to Parquet, else `main`.
    #[serde(default)]
    pub revision: Option<String>,
    /// Load only so many rows, from the first. Default: all.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// What a data set was loaded from, for the record of a run. Given as the revision of a
/// [`HubDataset`], the commit gives the same rows again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HubSource {
    /// The data set.
    pub repo: String,
    /// The configuration.
    pub config: String,
    /// The split.
    pub split: String,
    /// The commit.
    pub revision: String,
    /// The files, in the order in which they are read.
    pub files: Vec<String>,
}

/// The rows of a data set as they come.
#[derive(Debug)]
#[non_exhaustive]
pub struct HubRows {
    /// Where they come from.
    pub source: HubSource,
    /// The rows. What can go wrong on the network comes as an item too.
    pub rows: Rows<'static>,
}

/// A loaded data set.
#[derive(Debug)]
#[non_exhaustive]
pub struct HubExamples {
    /// Where it comes from.
    pub source: HubSource,
    /// The rows.
    pub examples: Vec<Example>,
    /// What a user should know of them, as [`Rows::notes`] says.
    pub notes: Vec<String>,
}

impl HubDataset {
    /// With a configuration.
    #[must_use]
    pub fn with_config(mut self, config: impl Into<Option<String>>) -> Self {
        self.config = config.into();
        self
    }

    /// At a branch, tag or commit.
    #[must_use]
    pub fn with_revision(mut self, revision: impl Into<Option<String>>) -> Self {
        self.revision = revision.into();
        self
    }

    /// With at most so many rows.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// A split of a data set, as a whole, in its default configuration.
    pub fn new(repo: impl Into<String>, split: impl Into<String>) -> Self {
        Self { repo: repo.into(), config: None, split: split.into(), revision: None, limit: None }
    }

    /// Loads the rows, with the hub as [the environment](HubSettings::from_env) says.
    ///
    /// # Errors
    ///
    /// [`DataError::Hub`] when the data set, its configuration, split or revision is not there or
    /// the network fails; and the errors of [`load`](crate::load) for its rows.
    pub fn load(&self, options: &LoadOptions) -> Result<HubExamples, DataError> {
        self.load_from(&HubSettings::from_env()?, options)
    }

    /// Loads the rows from a hub.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn load_from(&self, settings: &HubSettings, options: &LoadOptions) -> Result<HubExamples, DataError> {
        let HubRows { source, mut rows } = self.open(settings, options)?;
        let examples = rows.by_ref().collect::<Result<_, _>>()?;
        Ok(HubExamples { source, examples, notes: rows.notes() })
    }

    /// Finds the files and reads rows from them as the iterator is driven.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), but for what is wrong with the files and their rows.
    pub fn open(&self, settings: &HubSettings, options: &LoadOptions) -> Result<HubRows, DataError> {
        self.check()?;
        let client = Client::new(settings)?;
        let cache = Cache::new(&settings.cache, &self.repo);
        let listing = self.listing(&client, &cache, settings.offline)?;
        let selection = select(&self.repo, &listing, self.config.as_deref(), &self.split)?;
        let limit = [self.limit, options.limit].into_iter().flatten().min();
        let options = LoadOptions { limit, ..options.clone() };
        let source = HubSource {
            repo: self.repo.clone(),
            config: selection.config,
            split: self.split.clone(),
            revision: listing.commit,
            files: selection.files,
        };
        let files = Files {
            source: Arc::new(Source {
                client,
                cache,
                repo: self.repo.clone(),
                commit: source.revision.clone(),
                offline: settings.offline,
            }),
            pending: source.files.iter().cloned().collect(),
            current: None,
            notes: Vec::new(),
            options: options.clone(),
        };
        let rows = Rows::new(files, format!("{}@{}", self.repo, source.revision), &options)?;
        Ok(HubRows { source, rows })
    }

    fn check(&self) -> Result<(), HubError> {
        let is_name = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            !part.is_empty() && part.bytes().all(is_plain) && !part.starts_with('.') && !part.contains("..")
        };
        let parts: Vec<&str> = self.repo.split('/').collect();
        let invalid = |reason: &str| Err(HubError::Invalid { reason: reason.to_owned() });
        if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
            return invalid("the name of a data set is `owner/name`, of letters, digits, `-`, `_` and `.`");
        }
        if self.revision.as_deref().is_some_and(|revision| !is_safe_path(revision)) {
            return invalid("the revision must be a branch, a tag or a commit");
        }
        if self.limit == Some(0) {
            return invalid("a `limit` of 0 would load nothing: give 1 or more, or leave it out");
        }
        Ok(())
    }

    fn listing(&self, client: &Client, cache: &Cache, offline: bool) -> Result<Listing, HubError> {
        let asked = match &self.revision {
            Some(revision) => vec![revision.as_str()],
            None => vec![CONVERTED, "main"],
        };
        for revision in &asked {
            let listing = listing(client, cache, &self.repo, revision, offline)?;
            if let Some(listing) =
                listing.filter(|listing| self.revision.is_some() || *revision == "main" || has_data(listing))
            {
                return Ok(listing);
            }
        }
        let revision = asked.last().copied().unwrap_or_default().to_owned();
        let repo = self.repo.clone();
        Err(if offline {
            let what = format!("the list of files of `{repo}` at `{revision}`");
            HubError::Offline { what, cache: cache.root().to_owned() }
        } else {
            HubError::RevisionNotFound { repo, revision }
        })
    }
}

/// The rows of one file after the other.
struct Files {
    source: Arc<Source>,
    pending: VecDeque<String>,
    current: Option<Box<dyn RowSource + Send>>,
    /// Those of the files before it.
    notes: Vec<String>,
    options: LoadOptions,
}

impl RowSource for Files {
    fn next_row(&mut self) -> Result<Option<RawRow>, DataError> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(row) = current.next_row()?
            {
                return Ok(Some(row));
            }
            let Some(path) = self.pending.pop_front() else { return Ok(None) };
            let next = self.open(&path)?;
            self.notes.extend(self.current.replace(next).iter().flat_map(|read| read.notes()));
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.iter().cloned().chain(self.current.iter().flat_map(|read| read.notes())).collect()
    }
}

impl Files {
    fn open(&self, path: &str) -> Result<Box<dyn RowSource + Send>, DataError> {
        let name = format!("{}@{}/{path}", self.source.repo, self.source.commit);
        let local = Path::new(path);
        let unknown = || DataError::UnknownFormat { path: local.to_owned() };
        let format = Format::of(local).ok_or_else(unknown)?;
        match self.source.fetch(path, self.options.limit.is_some())? {
            Fetched::Whole(file) => file::rows(format, file, local, &name, &self.options),
            Fetched::Partial(file) if format == Format::Parquet => {
                Ok(Box::new(parquet_rows::rows(file, &name, &self.options)?))
            }
            Fetched::Partial(file) => {
                let reader = BufReader::with_capacity(64 * 1024, file.reader(0));
                format.text_rows(reader, &name, &self.options).unwrap_or_else(|| Err(unknown()))
            }
        }
    }
}
