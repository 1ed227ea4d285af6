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
    /// The tools that the model may call before it answers: the program is an agent then.
    pub(crate) tools: Vec<ToolSection>,
    /// MCP servers whose tools the model may call.
    pub(crate) mcp: Vec<McpSection>,
    /// Requests that an agent may make for one row, the one that answers included. Default: 10.
    pub(crate) max_turns: Option<u32>,
    /// How an agent tells the model of its tools. Default: auto.
    pub(crate) tool_form: ToolForm,
    /// Whether the optimizer may change the descriptions of the tools as well.
    pub(crate) improve_tools: bool,
    /// A program that is not ours: a command that is started for each row. It gets the inputs as a JSON object on standard
    /// input and in `{input}` of its arguments, and writes its answer, text or JSON, to standard output.
    pub(crate) run: Option<Vec<String>>,
    /// Environment variable -> input, for `run`.
    pub(crate) variables: BTreeMap<String, String>,
    /// A program that is not ours: a command that is started once and asked in lines of JSON.
    pub(crate) serve: Option<Vec<String>>,
    /// How many processes of `serve` there are. Default: 1.
    pub(crate) workers: Option<usize>,
    /// A program that is not ours: a service that is asked over HTTP.
    pub(crate) url: Option<String>,
    /// Seconds that such a program may take for one row. Default: 120.
    pub(crate) timeout: Option<f64>,
    /// Names of environment variables that it gets besides the usual ones such as `PATH`.
    pub(crate) env: Vec<String>,
    /// The most calls of a language model that it may make for one row. Default: 10.
    pub(crate) max_calls: Option<u64>,
    /// The texts of such a program that are improved.
    pub(crate) components: Vec<ComponentSection>,
}

/// A text of a program that is not ours. Where the program sends it to a language model, another one is put in its place.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComponentSection {
    /// Its name.
    pub(crate) name: String,
    /// The text as the program has it. `{name}` and `{{ name }}` in it are places that the program fills.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// The file that holds it, instead of `text`.
    #[serde(default)]
    pub(crate) file: Option<std::path::PathBuf>,
    /// Where it is looked for in the program's requests. Default: instruction.
    #[serde(default)]
    pub(crate) kind: ComponentKind,
    /// What it is for, for whoever writes it.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// The most characters of a text in its place.
    #[serde(default)]
    pub(crate) max_length: Option<usize>,
    /// What must stand in a text in its place, word by word. Default: its places, such as `{name}`.
    #[serde(default)]
    pub(crate) keep: Option<Vec<String>>,
    /// Where demos stand: a place in its text, such as `{examples}`, or `program` where the program shows them itself.
    /// Default: it takes none.
    #[serde(default)]
    pub(crate) demos: Option<String>,
    /// What the predictor behind it takes and gives, for `demos = "program"`. Default: the program's signature.
    #[serde(default)]
    pub(crate) signature: Option<String>,
}

/// Where a text is looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ComponentKind {
    /// In messages of the system, the developer and the user.
    #[default]
    Instruction,
    /// In descriptions of tools.
    ToolDescription,
    /// In all messages and in descriptions of tools.
    AnyText,
}

/// How an agent tells the model of its tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ToolForm {
    /// As tools of the request; as text where the model is known to take none, such as the embedded one.
    #[default]
    Auto,
    /// As tools of the request.
    Native,
    /// As text in the messages, for models and servers without tools.
    Text,
}

/// A tool that the model may call: a command.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolSection {
    /// Its name: letters, digits, `_` and `-`.
    pub(crate) name: String,
    /// What it does, for the model.
    #[serde(default)]
    pub(crate) description: String,
    /// What it takes. An optional type may be left out by the model.
    #[serde(default)]
    pub(crate) arguments: Vec<FieldSection>,
    /// The JSON schema of its arguments, instead of `arguments`.
    #[serde(default)]
    pub(crate) schema: Option<serde_json::Map<String, serde_json::Value>>,
    /// The program and its arguments, run in the task file's folder for each call. It gets the tool's arguments as a JSON
    /// object on standard input, and writes the result, JSON or text, to standard output.
    pub(crate) command: Vec<String>,
    /// Seconds that one call may take. Default: 60.
    #[serde(default)]
    pub(crate) timeout: Option<f64>,
    /// Names of environment variables to hand on, besides the usual ones such as `PATH`.
    #[serde(default)]
    pub(crate) env: Vec<String>,
}

/// An MCP server over standard input and output, whose tools the model may call.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct McpSection {
    /// Its name, for messages.
    pub(crate) name: String,
    /// The program and its arguments, started in the task file's folder once for all calls.
    pub(crate) command: Vec<String>,
    /// Only these of its tools, in this order. Default: all.
    #[serde(default)]
    pub(crate) tools: Option<Vec<String>>,
    /// What stands before the names of its tools, so that those of several servers can be told apart.
    #[serde(default)]
    pub(crate) prefix: Option<String>,
    /// Seconds that its start and each call may take. Default: 60.
    #[serde(default)]
    pub(crate) timeout: Option<f64>,
    /// Names of environment variables to hand on, besides the usual ones such as `PATH`.
    #[serde(default)]
    pub(crate) env: Vec<String>,
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
    /// The tools that it may call before it answers: it is an agent then.
    #[serde(default)]
    pub(crate) tools: Vec<ToolSection>,
    /// MCP servers whose tools it may call.
    #[serde(default)]
    pub(crate) mcp: Vec<McpSection>,
    /// Requests that an agent may make for one row, the one that answers included. Default: as the program.
    pub(crate) max_turns: Option<u32>,
}

/// A field of a predictor: `"name"`, `"name: type"`, or a table.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "FieldForm")]
pub(crate) struct FieldSection {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) values: Option<Vec<String>>,
    pub(crate) schema: Option<serde_json::Map<String, serde_json::Value>>,
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
    /// The JSON schema of an object; a reply that does not adhere to it cannot be used.
    schema: Option<serde_json::Map<String, serde_json::Value>>,
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
