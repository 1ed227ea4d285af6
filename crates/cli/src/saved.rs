//! The optimized program as a file.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use promptopt_core::{Outcome, Prompts, Usage};
use promptopt_report::{ErrorLine, Report, StageCost, TestReport};
use promptopt_store::Redactor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Exit;

/// What `optimize` writes; `eval --program`, `show`, `diff` and `report` read it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedProgram {
    /// Version of promptopt that wrote it.
    pub(crate) promptopt: String,
    /// Name of the task.
    pub(crate) task: String,
    /// The model it was optimized on.
    pub(crate) model: String,
    /// The model that wrote instructions, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prompt_model: Option<String>,
    /// Predictor path -> instruction and demos.
    pub(crate) prompts: Prompts,
    /// The prompts that the program came with.
    #[serde(default)]
    pub(crate) prompts_before: Prompts,
    /// The sealed test; none when it was not finished.
    pub(crate) test: Option<TestReport>,
    /// What the sealed test took.
    #[serde(default)]
    pub(crate) test_usage: Usage,
    /// What failed, in words.
    #[serde(default)]
    pub(crate) errors: Vec<ErrorLine>,
    /// What it takes to make the same run again.
    #[serde(default)]
    pub(crate) configuration: Value,
    /// Everything the optimizer did.
    pub(crate) outcome: Outcome,
}

impl SavedProgram {
    /// Writes the file at once: a reader sees the old one or the new one, never half of it.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_json(path, self).with_context(|| format!("writing the optimized program to {}", path.display()))
    }

    /// The same without secrets, whoever repeated them.
    pub(crate) fn without_secrets(&self, redactor: &Redactor) -> anyhow::Result<Self> {
        let mut value = serde_json::to_value(self)?;
        redactor.redact_json(&mut value);
        serde_json::from_value(value).context("removing secrets from the outcome")
    }

    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading the program {}; is the path right?", path.display()))?;
            serde_json::from_str(&text).with_context(|| {
                format!("{} is not a program as `promptopt optimize` writes it", path.display())
            })
        };
        read().map_err(Exit::configuration)
    }

    /// The original prompts.
    pub(crate) fn before(&self) -> anyhow::Result<&Prompts> {
        let first = self.outcome.candidates.first().map(|candidate| &candidate.prompts);
        let kept = Some(&self.prompts_before).filter(|prompts| !prompts.is_empty());
        kept.or(first).ok_or_else(|| anyhow!("the program does not say what its original prompts were"))
    }

    /// The report of the run. `created_at` is when it ended, as text.
    pub(crate) fn report(&self, created_at: String) -> Report {
        let spending = self.outcome.spending;
        let stage = |name: &str, usage: promptopt_core::Usage| StageCost {
            stage: name.to_owned(),
            calls: usage.calls,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            money: usage.money.map(|money| money.as_dollars()),
            ..StageCost::default()
        };
        Report {
            task: self.task.clone(),
            model: self.model.clone(),
            prompt_model: self.prompt_model.clone(),
            optimizer: self.outcome.optimizer.clone(),
            created_at,
            outcome: self.outcome.clone(),
            prompts_before: self.before().cloned().unwrap_or_default(),
            prompts_after: self.prompts.clone(),
            test: self.test.clone(),
            errors: self.errors.clone(),
            configuration: self.configuration.clone(),
            stages: vec![
                stage("running the program", spending.task),
                stage("writing instructions", spending.prompt),
                stage("sealed test", self.test_usage),
            ],
            ..Report::default()
        }
    }
}

/// Writes JSON at once.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
