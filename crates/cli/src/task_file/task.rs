//! The whole task file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use promptopt_core::money::Prices;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::keys::with_suggestion;
use super::model::ModelForm;
use super::optimizer::OptimizerForm;
use super::shorthand::{maybe_name_or_table, name_or_table, one_or_many};
use crate::saved::bounded;
use crate::secrets::{self, without_assignments};

use super::{
    CacheSection, DataSection, FleetSection, MetricSection, ModelSection, OptimizerSection, ProgramSection,
};

/// A task, as `docs/task-file.md` describes it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "promptopt task file", rename = "TaskFile")]
pub(crate) struct TaskFile {
    pub(crate) program: ProgramSection,
    /// The model the program runs on.
    #[serde(deserialize_with = "name_or_table")]
    #[schemars(with = "ModelForm")]
    pub(crate) model: ModelSection,
    /// The model that writes instructions. Default: the same.
    #[serde(default, deserialize_with = "maybe_name_or_table")]
    #[schemars(with = "Option<ModelForm>")]
    pub(crate) prompt_model: Option<ModelSection>,
    pub(crate) data: DataSection,
    /// How answers are judged. Default: exact match of all outputs.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "MetricForm")]
    pub(crate) metric: Vec<MetricSection>,
    /// How prompts are looked for. Default: `miprov2`.
    #[serde(default)]
    #[schemars(with = "OptimizerForm")]
    pub(crate) optimizer: OptimizerSection,
    /// Model -> what a million tokens cost. Default: what is known of the provider.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, PriceForm>")]
    pub(crate) prices: Prices,
    /// Replies that runs share.
    pub(crate) cache: Option<CacheSection>,
    /// Other machines that make the rollouts.
    #[serde(default)]
    pub(crate) fleet: FleetSection,
    /// What the file says, before anything is read into it.
    #[serde(skip)]
    pub(crate) source: Value,
    /// The folder of the file, which its paths are relative to.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// What the schema says of `metric`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is the schema of what is read by hand and is never made")]
enum MetricForm {
    One(Box<MetricSection>),
    /// Several objectives.
    Many(Vec<MetricSection>),
}

/// What the schema says of a price.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "it stands for a type of another crate in the schema and is never made")]
struct PriceForm {
    /// Dollars for a million tokens read.
    prompt: f64,
    /// Dollars for a million tokens written.
    completion: f64,
    /// Dollars for a million tokens read that the provider had in its cache. Default: as for others.
    cached: Option<f64>,
    /// Dollars for a million tokens read that the provider puts into its cache. Default: as for others.
    cache_write: Option<f64>,
}

/// The largest task file that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

impl TaskFile {
    /// Reads a task file. Paths in it are relative to its folder.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = bounded(path, LARGEST, || format!("the task file {}", path.display()))?;
        let mut task = Self::parse(&text).with_context(|| {
            match path.extension().is_some_and(|ending| ending == "toml") {
                true => format!("reading the task file {}", path.display()),
                false => format!(
                    "reading {} as a task file, which is TOML; `promptopt init` writes one",
                    path.display()
                ),
            }
        })?;
        if let Some(folder) = path.parent() {
            task.resolve(folder);
        }
        // From here on nothing that is said repeats them.
        secrets::redactor(&task);
        Ok(task)
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut task: Self = toml::from_str(text)
            .map_err(|error| anyhow!(with_suggestion(&without_assignments(&error.to_string()))))?;
        task.source = toml::from_str(text)?;
        task.checked()
    }

    /// The task that a file described, from what it said; `folder` is where it stood.
    pub(crate) fn from_source(source: &Value, folder: &Path) -> anyhow::Result<Self> {
        let mut task: Self = serde_json::from_value(source.clone())?;
        task.source = source.clone();
        let mut task = task.checked()?;
        task.resolve(folder);
        Ok(task)
    }

    fn checked(mut self) -> anyhow::Result<Self> {
        self.model.settle("model")?;
        let is_app = self.program.run.is_some() || self.program.serve.is_some() || self.program.url.is_some();
        for (key, is_set) in
            [("name = \"as-asked\"", self.model.as_asked), ("embeddings", !self.model.embeddings.is_empty())]
        {
            if is_set && !is_app {
                bail!(
                    "`model.{key}` is for a program that is not ours: say by `run`, `serve` or `url` in `[program]` how it is asked"
                );
            }
        }
        let others = self.prompt_model.iter_mut().map(|section| ("prompt_model", section));
        let judges = self.metric.iter_mut().filter_map(|metric| metric.model.as_mut());
        let predictors = self.program.predictors.iter_mut().filter_map(|one| one.model.as_mut());
        let predictors = predictors.map(|section| ("program.predictors.model", section));
        let judges = judges.map(|section| ("metric.model", section));
        for (place, section) in others.chain(judges).chain(predictors) {
            section.settle(place)?;
            if section.as_asked || !section.embeddings.is_empty() {
                bail!("`{place}` is asked by nobody but promptopt: name one model");
            }
        }
        self.optimizer.check()?;
        self.data.check()?;
        for metric in &self.metric {
            metric.check()?;
        }
        if self.cache.as_ref().and_then(|cache| cache.max_mb) == Some(0) {
            bail!("`cache.max_mb` is 0, but must be at least 1; `mode = \"off\"` does without a cache");
        }
        Ok(self)
    }

    fn resolve(&mut self, folder: &Path) {
        self.data.resolve(folder);
        if let Some(cache) = &mut self.cache {
            cache.dir = folder.join(&cache.dir);
        }
        self.optimizer.resolve(folder);
        self.fleet.resolve(folder);
        let predictors = self.program.predictors.iter_mut().filter_map(|predictor| predictor.model.as_mut());
        let judges = self.metric.iter_mut().filter_map(|metric| metric.model.as_mut());
        for model in
            std::iter::once(&mut self.model).chain(&mut self.prompt_model).chain(predictors).chain(judges)
        {
            if let Some(file) = &mut model.api_key_file {
                *file = folder.join(&*file);
            }
        }
        folder.clone_into(&mut self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::super::MetricKind;
    use super::*;

    const SMALL: &str = r#"
        [program]
        signature = "ticket -> department"
        [model]
        name = "sim"
        [data]
        path = "tickets.jsonl"
    "#;

    #[test]
    fn a_small_task_is_enough() {
        let task = TaskFile::parse(SMALL).unwrap();
        assert!(task.metric.is_empty());
        assert!(!task.program.reasoning);
        assert_eq!(task.optimizer.name(), "miprov2");
    }

    #[test]
    fn short_forms_stand_for_tables() {
        let text = SMALL.replace("[model]\n        name = \"sim\"", "");
        let task = TaskFile::parse(&format!("optimizer = \"gepa\"\nmodel = \"sim\"\n{text}")).unwrap();
        assert_eq!((task.model.name.as_str(), task.optimizer.name()), ("sim", "gepa".to_owned()));
        let task =
            TaskFile::parse(&format!("{SMALL}\n[[metric]]\nkind = \"f1\"\n[[metric]]\nkind = \"set\""))
                .unwrap();
        assert_eq!(task.metric[1].kind, MetricKind::Set);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let check = |from: &str, to: &str, expected: &[&str]| {
            let error = TaskFile::parse(&SMALL.replace(from, to)).unwrap_err().to_string();
            for part in expected {
                assert!(error.contains(part), "{error}");
            }
        };
        check("signature", "signatur", &["line 3", "unknown field `signatur`", "did you mean `signature`?"]);
        check("name = \"sim\"", "", &["missing field `name`"]);
        check("path = ", "train = 1.5x\npath = ", &["line"]);
        check("[data]", "[metric]\nkind = \"f2\"\n[data]", &["unknown variant `f2`", "did you mean `f1`?"]);
        check("[data]", "[optimizer]\nbredth = 2\n[data]", &["line 7", "did you mean `breadth`?"]);
        check("[data]", "[optimiser]\n[data]", &["did you mean `optimizer`?"]);
        check("[data]", "[data]\noptimizer = \"gepa\"", &["above the first `[section]`"]);
        check("[program]", "optimizer = \"gpa\"\n[program]", &["no optimizer `gpa`", "did you mean `gepa`?"]);
    }
}
