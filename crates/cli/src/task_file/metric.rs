//! The section `[metric]`, or several of them.

use anyhow::bail;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelSection;
use super::keys::{either, set_keys};
use super::model::ModelForm;
use super::shorthand::maybe_name_or_table;

/// How an answer is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricKind {
    /// The value itself.
    #[default]
    Exact,
    /// The value without differences of case, punctuation and white space.
    Normalized,
    /// The expected value stands in the answer, case aside.
    Contains,
    /// The answer matches `pattern`; what its first group captures must be the expected value.
    Regex,
    /// The number is within `tolerance`.
    Numeric,
    /// F1 of the words.
    F1,
    /// The share of the expected object's fields that are equal.
    Json,
    /// The overlap of two lists, order and repetition aside.
    Set,
    /// A language model judges by `rubric`, with a score and feedback.
    Judge,
    /// A program of your own, asked in JSON lines.
    Command,
}

/// One metric. Several of them are objectives, and their weighted mean is the score.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricSection {
    /// How an answer is judged.
    pub(crate) kind: MetricKind,
    /// Name of the objective, where there are several metrics. Default: kind and field.
    pub(crate) name: Option<String>,
    /// Weight in the score, where there are several metrics. Default: 1.
    pub(crate) weight: Option<f64>,
    /// The output to judge. Default: all outputs; the score is their mean.
    pub(crate) field: Option<String>,
    /// `regex`: the pattern.
    pub(crate) pattern: Option<String>,
    /// `numeric`: the largest difference that is right. Default: 0.
    pub(crate) tolerance: Option<f64>,
    /// `numeric`: the largest difference that is right, as a share of the expected value. Default: 0.
    pub(crate) relative_tolerance: Option<f64>,
    /// `json`: the only keys to compare. Default: those of the expected object.
    pub(crate) keys: Option<Vec<String>>,
    /// `judge`: what makes an answer good, in words.
    pub(crate) rubric: Option<String>,
    /// `judge`: the model that judges. Default: the one that writes instructions.
    #[serde(skip_serializing, deserialize_with = "maybe_name_or_table")]
    #[schemars(with = "Option<ModelForm>")]
    pub(crate) model: Option<ModelSection>,
    /// `command`: the program and its arguments, run in the task file's folder.
    pub(crate) command: Option<Vec<String>>,
    /// `command`: seconds that one answer may take. Default: 60.
    pub(crate) timeout: Option<f64>,
    /// `command`: names of environment variables to hand on, besides the usual ones such as `PATH`.
    pub(crate) env: Option<Vec<String>>,
}

impl MetricKind {
    /// The name in the task file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Normalized => "normalized",
            Self::Contains => "contains",
            Self::Regex => "regex",
            Self::Numeric => "numeric",
            Self::F1 => "f1",
            Self::Json => "json",
            Self::Set => "set",
            Self::Judge => "judge",
            Self::Command => "command",
        }
    }

    /// Whether it compares an answer with the expected value, so that the data must have one.
    pub(crate) fn needs_labels(self) -> bool {
        !matches!(self, Self::Judge | Self::Command)
    }
}

impl MetricSection {
    /// Checks that every key belongs to the kind, and that the kind has what it needs.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let kind = self.kind.name();
        let mut set = set_keys(self);
        if self.model.is_some() {
            set.push("model".to_owned());
        }
        for key in &set {
            let owners = owners(key);
            if !owners.is_empty() && !owners.contains(&kind) {
                bail!("`metric.{key}` is for kind {}, but this metric is of kind `{kind}`", either(owners));
            }
        }
        for (key, missing) in [
            ("pattern", self.pattern.is_none()),
            ("rubric", self.rubric.is_none()),
            ("command", self.command.is_none()),
        ] {
            if missing && owners(key).contains(&kind) {
                bail!("a metric of kind `{kind}` needs `{key}`; docs/task-file.md has an example");
            }
        }
        for (key, value) in [
            ("weight", self.weight),
            ("tolerance", self.tolerance),
            ("relative_tolerance", self.relative_tolerance),
            ("timeout", self.timeout),
        ] {
            if let Some(value) = value
                && !(value >= 0.0 && value.is_finite())
            {
                bail!("`metric.{key}` is {value}, but must be 0 or more");
            }
        }
        Ok(())
    }
}

/// The kinds that a key is for; empty for keys of every kind.
fn owners(key: &str) -> &'static [&'static str] {
    match key {
        "pattern" => &["regex"],
        "tolerance" | "relative_tolerance" => &["numeric"],
        "keys" => &["json"],
        "rubric" | "model" => &["judge"],
        "command" | "timeout" | "env" => &["command"],
        "field" => &["exact", "normalized", "contains", "regex", "numeric", "f1", "json", "set", "judge"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(section: &str, parts: &[&str]) {
        let section: MetricSection = toml::from_str(section).unwrap();
        let error = section.check().unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn keys_of_another_kind_and_missing_ones_are_named() {
        check("kind = \"exact\"\ntolerance = 1", &["`metric.tolerance`", "`numeric`", "`exact`"]);
        check("kind = \"regex\"", &["`regex` needs `pattern`"]);
        check("kind = \"judge\"", &["`rubric`"]);
        check("kind = \"f1\"\nmodel = \"sim\"", &["`metric.model`", "`judge`"]);
        check("weight = -1", &["`metric.weight` is -1"]);
    }
}
