//! The section `[program]`: one predictor, or a chain of several.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ModelSection;
use super::model::ModelForm;
use super::shorthand::{FromName, maybe_name_or_table, name_or_table};

/// What is optimized.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProgramSection {
    /// Name of the program and of the file that is written. Default: the task file's name.
    pub(crate) name: Option<String>,
    /// Short form: `ticket -> department: enum[billing, sales]`. With `predictors`, what the whole
    /// program takes and gives.
    pub(crate) signature: Option<String>,
    /// The instruction to start from.
    pub(crate) instruction: Option<String>,
    /// Whether the model reasons before it answers.
    pub(crate) reasoning: bool,
    /// How requests are written. Default: plain for the embedded model, else chat.
    pub(crate) format: Option<Format>,
    /// Field -> what it means.
    pub(crate) descriptions: BTreeMap<String, String>,
    /// The predictors of a chain, in the order in which they run.
    pub(crate) predictors: Vec<PredictorSection>,
}

/// One predictor of a chain.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PredictorSection {
    /// Its name, unique in the program.
    pub(crate) name: String,
    /// Short form, instead of `inputs` and `outputs`.
    pub(crate) signature: Option<String>,
    /// What it takes: inputs of the task and outputs of predictors before it.
    #[serde(default)]
    pub(crate) inputs: Vec<FieldSection>,
    /// What it gives.
    #[serde(default)]
    pub(crate) outputs: Vec<FieldSection>,
    /// The instruction to start from.
    pub(crate) instruction: Option<String>,
    /// Whether the model reasons before it answers. Default: as the program.
    pub(crate) reasoning: Option<bool>,
    /// How requests are written. Default: as the program.
    pub(crate) format: Option<Format>,
    /// Field -> what it means.
    #[serde(default)]
    pub(crate) descriptions: BTreeMap<String, String>,
    /// The model it runs on. Default: the task's.
    #[serde(default, deserialize_with = "maybe_name_or_table")]
    #[schemars(with = "Option<ModelForm>")]
    pub(crate) model: Option<ModelSection>,
    /// Softmax temperature of its requests. Default: the model's.
    pub(crate) temperature: Option<f64>,
    /// The most tokens of its replies. Default: the model's.
    pub(crate) max_tokens: Option<u32>,
}

/// A field of a predictor: `"name"`, `"name: type"`, or a table.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "FieldForm")]
pub(crate) struct FieldSection {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) values: Option<Vec<String>>,
    pub(crate) schema: Option<serde_json::Value>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FieldTable {
    /// Letters, digits and `_`.
    name: String,
    /// `str`, `int`, `float`, `bool`, `enum[a, b]`, `list[type]`, `object`, `optional[type]`, `union[type, type]`,
    /// `date`, `datetime`, and of inputs `image`, `file` and `history`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// What it means.
    description: Option<String>,
    /// The only values it may have.
    values: Option<Vec<String>>,
    /// The JSON schema of an object; a reply that does not adhere to it is asked for once more.
    schema: Option<serde_json::Value>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is the schema of what is read by hand and is never made")]
enum FieldForm {
    /// `name` or `name: type`.
    Short(String),
    Table(FieldTable),
}

impl From<FieldTable> for FieldSection {
    fn from(table: FieldTable) -> Self {
        let FieldTable { name, kind, description, values, schema } = table;
        Self { name, kind, description, values, schema }
    }
}

impl<'de> Deserialize<'de> for FieldSection {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read(FieldSection);

        impl<'de> Deserialize<'de> for Read {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self(FieldTable::deserialize(deserializer)?.into()))
            }
        }

        impl FromName for Read {
            const EXPECTED: &'static str = "the name of a field";

            fn from_name(text: &str) -> Result<Self, String> {
                let (name, kind) = match text.split_once(':') {
                    Some((name, kind)) => (name, Some(kind.trim().to_owned())),
                    None => (text, None),
                };
                let name = name.trim().to_owned();
                Ok(Self(FieldSection { name, kind, description: None, values: None, schema: None }))
            }
        }

        Ok(name_or_table::<D, Read>(deserializer)?.0)
    }
}

/// How requests are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Fields between markers, as DSPy writes them.
    Chat,
    /// Outputs as a JSON object.
    Json,
    /// `name: value` lines, for very small models.
    Plain,
}
