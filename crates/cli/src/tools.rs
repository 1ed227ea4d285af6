//! Tools of an agent that are commands: JSON in, JSON or text out, no shell.

use std::path::Path;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use promptopt_core::lm::ToolDefinition;
use promptopt_core::program::{CallContext, Unavailable};
use promptopt_core::signature::{Field, FieldType};
use promptopt_predict::Tool;
use promptopt_process::{Complaint, ProcessGroup};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::secrets::clean_strictly;
use crate::task_file::ToolSection;
use crate::user_command::UserCommand;

/// The longest result that is read, in bytes.
const MAX_OUTPUT: u64 = 1024 * 1024;

/// A command that is run for each call, in the task file's folder: the arguments come as a JSON object on standard input, and
/// what it writes to standard output is the result, as JSON or as text.
pub(crate) struct CommandTool {
    definition: ToolDefinition,
    command: UserCommand,
}

impl CommandTool {
    /// The tool that a section describes, with its arguments as fields.
    pub(crate) fn new(section: &ToolSection, arguments: &[Field], folder: &Path) -> anyhow::Result<Self> {
        let schema = section.schema.clone().map_or_else(|| schema(arguments), Value::Object);
        Ok(Self {
            definition: ToolDefinition::new(&section.name, &section.description, schema),
            command: UserCommand::new("", &section.command, folder, section.timeout, &section.env)?,
        })
    }

    async fn run(&self, mut group: ProcessGroup, arguments: &Map<String, Value>) -> anyhow::Result<Value> {
        let child = group.leader();
        let mut stdin = child.stdin.take().context("it has no standard input")?;
        let stdout = child.stdout.take().context("it has no standard output")?;
        let stderr = child.stderr.take().context("it has no standard error")?;
        let input = serde_json::to_vec(arguments)?;
        // One that does not read its input may do without it.
        let write = async {
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        };
        let (output, complaint, ()) = tokio::join!(read(stdout), Complaint::of(stderr), write);
        let output = output?;
        let status = group.wait().await.context("waiting for its end")?;
        if !status.success() {
            let said = complaint.said(clean_strictly);
            bail!("it ended with {status}{}{said}", if said.is_empty() { "" } else { ": " });
        }
        let text = String::from_utf8(output).context("its output is not UTF-8")?;
        Ok(serde_json::from_str(text.trim()).unwrap_or_else(|_| text.trim().into()))
    }
}

/// All that comes, up to the bound.
async fn read(stream: impl AsyncRead + Unpin) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(MAX_OUTPUT + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > MAX_OUTPUT {
        bail!("it wrote more than {MAX_OUTPUT} bytes");
    }
    Ok(bytes)
}

/// The JSON schema of an object with these fields. Optional ones may be left out.
fn schema(fields: &[Field]) -> Value {
    let property = |field: &Field| {
        let mut schema = field.kind.json_schema();
        if let (Value::Object(schema), false) = (&mut schema, field.description.is_empty()) {
            schema.insert("description".to_owned(), field.description.clone().into());
        }
        (field.name.clone(), schema)
    };
    let properties: Map<String, Value> = fields.iter().map(property).collect();
    let is_required = |field: &&Field| !matches!(field.kind, FieldType::Optional(_));
    let required: Vec<&str> = fields.iter().filter(is_required).map(|field| field.name.as_str()).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

#[async_trait]
impl Tool for CommandTool {
    fn definition(&self) -> ToolDefinition {
        self.definition.clone()
    }

    async fn call(&self, _: &CallContext, arguments: Map<String, Value>) -> anyhow::Result<Value> {
        let timeout = self.command.timeout;
        // What cannot be started says nothing of the prompt.
        let group =
            self.command.start().map_err(|error| Unavailable::new(clean_strictly(&format!("{error:#}"))))?;
        let said = match tokio::time::timeout(timeout, self.run(group, &arguments)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no result within {} s", timeout.as_secs_f64()),
        };
        bail!("{}", clean_strictly(&said))
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{LmReply, lm_fn};
    use promptopt_core::money::Usage;

    use super::*;

    async fn call(script: &str, timeout: f64) -> Result<Value, String> {
        let folder = tempfile::tempdir().unwrap();
        let section = ToolSection {
            name: "search".to_owned(),
            command: vec!["python3".to_owned(), "-c".to_owned(), script.to_owned()],
            timeout: Some(timeout),
            ..ToolSection::default()
        };
        let fields =
            [Field::new("query"), Field::new("limit").typed(FieldType::optional(FieldType::Integer))];
        let tool = CommandTool::new(&section, &fields, folder.path()).unwrap();
        assert_eq!(tool.definition().parameters["required"], json!(["query"]));
        let model = lm_fn("none", |_| async { Ok(LmReply::text("", Usage::default())) });
        let context = CallContext::new(std::sync::Arc::new(model));
        let arguments = Map::from_iter([("query".to_owned(), json!("tea"))]);
        tool.call(&context, arguments).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn arguments_go_in_and_a_result_comes_out() {
        let echo = "import json, sys; print(json.dumps({'asked': json.load(sys.stdin)['query']}))";
        assert_eq!(call(echo, 10.0).await, Ok(json!({"asked": "tea"})));
        assert_eq!(call("print('two minutes')", 10.0).await, Ok(json!("two minutes")));
        assert_eq!(call("print(3)", 10.0).await, Ok(json!(3)));
        assert_eq!(call("pass", 10.0).await, Ok(json!("")));
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_started_is_an_outage() {
        let folder = tempfile::tempdir().unwrap();
        let command = vec!["pyhton3".to_owned()];
        let section = ToolSection { name: "search".to_owned(), command, ..ToolSection::default() };
        let tool = CommandTool::new(&section, &[], folder.path()).unwrap();
        let model = lm_fn("none", |_| async { Ok(LmReply::text("", Usage::default())) });
        let context = CallContext::new(std::sync::Arc::new(model));
        let error = tool.call(&context, Map::new()).await.unwrap_err();
        assert!(error.is::<Unavailable>() && error.to_string().contains("pyhton3"), "{error:#}");
    }

    #[tokio::test]
    async fn failures_are_told() {
        let failed = call("import sys; sys.exit('the index is closed')", 10.0).await.unwrap_err();
        assert!(failed.contains("exit status: 1: the index is closed"), "{failed}");
        let late = call("import time; time.sleep(60)", 1.0).await.unwrap_err();
        assert_eq!(late, "no result within 1 s");
        let long = call("print('x' * 2_000_000)", 10.0).await.unwrap_err();
        assert!(long.contains("it wrote more than 1048576 bytes"), "{long}");
        let chatty = "import sys; sys.stderr.write('x' * 3_000_000); print('two minutes')";
        assert_eq!(call(chatty, 10.0).await, Ok(json!("two minutes")));
        let bytes = call("import sys; sys.stdout.buffer.write(b'\\xff')", 10.0).await.unwrap_err();
        assert!(bytes.contains("not UTF-8"), "{bytes}");
    }
}
