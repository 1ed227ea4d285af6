//! The optimized program as a file.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use promptopt_core::file::read_text;
use promptopt_core::money::{Money, Usage};
use promptopt_core::prompt::Prompts;
use promptopt_report::{ErrorLine, Report, StageCost, TestReport};
use promptopt_run::Outcome;
use promptopt_store::Redactor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Exit;
use crate::models::short_id;
use crate::program::{Blueprint, PredictorChain};
use crate::task_file::{ProgramSection, TaskFile};

/// What `optimize` writes; `eval --program`, `show`, `diff`, `export` and `report` read it.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SavedProgram {
    /// Version of promptopt that wrote it.
    pub promptopt: String,
    /// Name of the task.
    pub task: String,
    /// The model it was optimized on.
    pub model: String,
    /// The model that wrote instructions, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_model: Option<String>,
    /// What the program is, so that its prompts can be written out without the task file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,
    /// Predictor path -> instruction and demos.
    pub prompts: Prompts,
    /// The prompts that the program came with.
    #[serde(default)]
    pub prompts_before: Prompts,
    /// The sealed test; none when it was not finished.
    pub test: Option<TestReport>,
    /// What the sealed test took.
    #[serde(default)]
    pub test_usage: Usage,
    /// What failed, in words.
    #[serde(default)]
    pub errors: Vec<ErrorLine>,
    /// What it takes to make the same run again.
    #[serde(default)]
    pub configuration: Value,
    /// Everything the optimizer did.
    pub outcome: Outcome,
}

/// What a program is: what the task file says of it, and how its requests are written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Definition {
    /// The section `[program]`.
    pub program: Value,
    /// Whether it runs on the embedded model, which has a format of its own.
    #[serde(default)]
    pub embedded: bool,
}

impl Definition {
    /// The definition of a task's program.
    pub(crate) fn of(task: &TaskFile, embedded: bool) -> Self {
        let mut program = task.source.get("program").cloned().unwrap_or_default();
        // Which model a predictor ran on, with its headers, is nothing that its prompt needs.
        let predictors = program.get_mut("predictors").and_then(Value::as_array_mut);
        for predictor in predictors.into_iter().flatten().filter_map(Value::as_object_mut) {
            predictor.shift_remove("model");
        }
        Self { program, embedded }
    }
}

impl SavedProgram {
    /// The program, with the prompts that the task file gives it.
    pub(crate) fn chain(&self) -> anyhow::Result<PredictorChain> {
        let definition =
            self.definition.as_ref().context("the file does not hold the program's definition")?;
        let section: ProgramSection =
            serde_json::from_value(definition.program.clone()).context("reading the program's definition")?;
        Ok(PredictorChain::new(&self.task, &Blueprint::of(&section)?, definition.embedded)?)
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        serde_json::from_str(text)
            .with_context(|| format!("{} is not a program as `promptopt optimize` writes it", path.display()))
            .map_err(Exit::configuration)
    }

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

    /// Reads the file that the command wrote.
    ///
    /// # Errors
    ///
    /// When there is no such file, or it holds something else.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || {
            let text = bounded(path, LARGEST, || format!("the program {}", path.display()))?;
            Self::parse(&text, path)
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
        let stage = |name: &str, usage: promptopt_core::money::Usage| {
            let mut cost = StageCost::new(name, usage);
            // What runs here is free, and an amount of nothing would only puzzle.
            cost.money = usage.money.filter(|money| *money > Money::ZERO).map(|money| money.as_dollars());
            cost
        };
        // The whole id, with every setting, stands where the run is described.
        let mut configuration = self.configuration.clone();
        if let Some(object) = configuration.as_object_mut() {
            object.insert("model".to_owned(), self.model.clone().into());
        }
        let mut report = Report::new(self.task.clone(), self.outcome.clone());
        report.model = short_id(&self.model);
        report.prompt_model = self.prompt_model.as_deref().map(short_id);
        report.optimizer = self.outcome.optimizer.clone();
        report.created_at = created_at;
        report.prompts_before = self.before().cloned().unwrap_or_default();
        report.prompts_after = self.prompts.clone();
        report.test = self.test.clone();
        report.errors = self.errors.clone();
        report.configuration = configuration;
        report.stages = vec![
            stage("running the program", spending.task),
            stage("writing instructions", spending.prompt),
            stage("sealed test", self.test_usage),
        ];
        report
    }
}

/// The largest program that is read, in bytes: it holds every candidate and every row of the test.
pub(crate) const LARGEST: u64 = 256 * 1024 * 1024;

/// Reads a text file of at most so many bytes; `what` says what it should be.
pub(crate) fn bounded(path: &Path, most: u64, what: impl Fn() -> String) -> anyhow::Result<String> {
    match read_text(path, most) {
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            bail!("{} is larger than {} MB; is it the right file?", what(), most / 1_000_000)
        }
        text => text.with_context(|| format!("reading {}; is the path right?", what())),
    }
}

/// Writes JSON at once.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(promptopt_store::write_atomically(path, &text)?)
}
