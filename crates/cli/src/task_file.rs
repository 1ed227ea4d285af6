//! The task file: program, models, data, metric and optimizer in TOML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use miprov2::Auto;
use promptopt_data::{Portion, UnknownFields};
use serde::Deserialize;

/// A task, as `docs/task-file.md` describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskFile {
    pub(crate) program: ProgramSection,
    pub(crate) model: ModelSection,
    pub(crate) prompt_model: Option<ModelSection>,
    pub(crate) data: DataSection,
    #[serde(default)]
    pub(crate) metric: MetricSection,
    #[serde(default)]
    pub(crate) optimizer: OptimizerSection,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramSection {
    pub(crate) name: Option<String>,
    /// Short form: `ticket -> department: enum[billing, sales]`.
    pub(crate) signature: String,
    pub(crate) instruction: Option<String>,
    /// Whether the model reasons before it answers.
    #[serde(default)]
    pub(crate) reasoning: bool,
    /// How requests are written. Default: plain for the embedded model, else chat.
    pub(crate) format: Option<Format>,
    /// Field -> what it means.
    #[serde(default)]
    pub(crate) descriptions: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Fields between markers, as DSPy writes them.
    Chat,
    /// Outputs as a JSON object.
    Json,
    /// `name: value` lines, for very small models.
    Plain,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelSection {
    /// `local`, `local/NAME`, `sim`, `MODEL@BASE_URL`, or a model at `base_url`.
    pub(crate) name: String,
    pub(crate) base_url: Option<String>,
    /// The environment variable that holds the key.
    pub(crate) api_key_env: Option<String>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) max_tokens: Option<u32>,
    #[serde(default)]
    pub(crate) stop: Vec<String>,
    pub(crate) seed: Option<u64>,
    /// Seconds that one call may take.
    pub(crate) timeout: Option<f64>,
    pub(crate) max_retries: Option<u32>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Further parameters of the request's body.
    #[serde(default)]
    pub(crate) extra: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataSection {
    pub(crate) path: PathBuf,
    /// Field -> column, where their names differ.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, String>,
    /// Columns that are no field of the program: an error (default), kept or dropped.
    pub(crate) unknown_fields: Option<UnknownFields>,
    pub(crate) limit: Option<usize>,
    pub(crate) train: Option<Portion>,
    pub(crate) selection: Option<Portion>,
    pub(crate) test: Option<Portion>,
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) stratify_by: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricKind {
    /// The value itself.
    #[default]
    Exact,
    /// Without differences of case, punctuation and white space.
    Normalized,
    /// The expected value stands in the answer, case aside.
    Contains,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricSection {
    #[serde(default)]
    pub(crate) kind: MetricKind,
    /// The output to judge. Default: all of them; the score is the share that is right.
    pub(crate) field: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProposerKind {
    /// Templates where the prompt model is the embedded one, else the prompt model.
    #[default]
    Auto,
    /// The prompt model.
    Model,
    /// Templates, without any model.
    Template,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OptimizerKind {
    /// MIPROv2.
    #[default]
    Miprov2,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptimizerSection {
    #[serde(default, rename = "kind")]
    pub(crate) _kind: OptimizerKind,
    #[serde(default)]
    pub(crate) proposer: ProposerKind,
    pub(crate) auto: Option<Auto>,
    pub(crate) num_candidates: Option<usize>,
    pub(crate) num_trials: Option<usize>,
    pub(crate) minibatch: Option<bool>,
    pub(crate) minibatch_size: Option<usize>,
    pub(crate) minibatch_full_eval_steps: Option<usize>,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_bootstrapped_demos: Option<usize>,
    pub(crate) max_labeled_demos: Option<usize>,
    pub(crate) metric_threshold: Option<f64>,
    pub(crate) seed: Option<u64>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) max_errors: Option<u64>,
    pub(crate) max_calls: Option<u64>,
}

impl ModelSection {
    /// A model under its own settings.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

impl TaskFile {
    /// Reads a task file. Paths in it are relative to its folder.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the task file {}; is the path right?", path.display()))?;
        let mut task =
            Self::parse(&text).with_context(|| format!("reading the task file {}", path.display()))?;
        if let Some(folder) = path.parent() {
            task.data.path = folder.join(&task.data.path);
        }
        Ok(task)
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(toml::from_str(text)?)
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(task.metric.kind, MetricKind::Exact);
        assert!(!task.program.reasoning);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let check = |from: &str, to: &str, expected: &[&str]| {
            let error = TaskFile::parse(&SMALL.replace(from, to)).unwrap_err().to_string();
            for part in expected {
                assert!(error.contains(part), "{error}");
            }
        };
        check("signature", "signatur", &["line 3", "unknown field `signatur`", "`signature`"]);
        check("name = \"sim\"", "", &["missing field `name`"]);
        check("path = ", "train = 1.5x\npath = ", &["line"]);
        check("[data]", "[metric]\nkind = \"f2\"\n[data]", &["unknown variant `f2`", "`exact`"]);
    }
}
