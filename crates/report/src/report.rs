//! What a report is made from.

use std::io::Write as _;
use std::path::Path;

use promptopt_core::money::Usage;
use promptopt_core::prompt::Prompts;
use promptopt_run::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, ErrorLine, TestReport, page, render};

/// Everything that one run came to, in a form that can be saved, and shown as a page.
///
/// Texts may come from anywhere (models, data sets, files of others): the page shows them and never
/// acts on them. Keys do not belong here, least of all into `configuration`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Report {
    /// Heading of the page; when empty, optimizer and task make one.
    pub title: String,
    /// Name of the task.
    pub task: String,
    /// The model that the program runs on.
    pub model: String,
    /// The model that writes instructions, where it is another one.
    pub prompt_model: Option<String>,
    /// Name of the optimizer; when empty, the outcome's.
    pub optimizer: String,
    /// When the run ended, as text. It is given so that the same run always makes the same page.
    pub created_at: String,
    /// What the optimizer did.
    pub outcome: Outcome,
    /// The prompts the program came with.
    pub prompts_before: Prompts,
    /// The prompts it has now.
    pub prompts_after: Prompts,
    /// The sealed test; none when it was not run.
    pub test: Option<TestReport>,
    /// What failed, in words.
    pub errors: Vec<ErrorLine>,
    /// What it takes to make the same run again: task file, seed, splits.
    pub configuration: Value,
    /// What every stage cost, in the order of the stages.
    pub stages: Vec<StageCost>,
}

/// What one stage of the run cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StageCost {
    /// Name of the stage.
    pub stage: String,
    /// Completed language-model calls.
    pub calls: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Wall time in seconds, where it is known.
    pub seconds: Option<f64>,
    /// Money in US dollars, where prices are known.
    pub money: Option<f64>,
}

impl StageCost {
    /// What the calls of a stage came to.
    pub fn new(stage: impl Into<String>, usage: Usage) -> Self {
        Self {
            stage: stage.into(),
            calls: usage.calls,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            ..Self::default()
        }
    }

    /// With the wall time it took.
    #[must_use]
    pub fn with_seconds(mut self, seconds: f64) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// With what it cost in US dollars.
    #[must_use]
    pub fn with_money(mut self, money: f64) -> Self {
        self.money = Some(money);
        self
    }
}

impl Report {
    /// What a run on a task came to; the rest is to be filled in.
    pub fn new(task: impl Into<String>, outcome: Outcome) -> Self {
        Self { task: task.into(), outcome, ..Self::default() }
    }

    /// The report as one HTML page that needs nothing else: no network, no other file, and no script
    /// to be read. Long values and long lists are cut, and the page says so where it does.
    ///
    /// Equal reports make equal pages, byte for byte.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] when a template does not fit the data, which would be a fault of this crate.
    pub fn to_html(&self) -> Result<String, Error> {
        render::html(&page::Page::of(self))
    }

    /// The whole report as JSON, nothing cut; it reads back as it was.
    ///
    /// # Errors
    ///
    /// [`Error::Json`] when something in it has no JSON form.
    pub fn to_json(&self) -> Result<String, Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Writes the HTML page. A reader sees the old file or the new one, never half of it.
    ///
    /// # Errors
    ///
    /// Those of [`Report::to_html`], and [`Error::Write`] when the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_at_once(path.as_ref(), &self.to_html()?)
    }

    /// Writes the JSON form in the same way.
    ///
    /// # Errors
    ///
    /// Those of [`Report::to_json`], and [`Error::Write`] when the file cannot be written.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_at_once(path.as_ref(), &self.to_json()?)
    }

    /// Name of the optimizer.
    pub(crate) fn optimizer_name(&self) -> &str {
        if self.optimizer.is_empty() { &self.outcome.optimizer } else { &self.optimizer }
    }
}

fn write_at_once(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".promptopt-report-");
        // A report is for showing: it gets the permissions of any new file, not those of a secret.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}
