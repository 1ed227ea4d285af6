//! Tools of an agent that are commands: JSON in, JSON or text out, no shell.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use promptopt_core::data::shorten;
use promptopt_core::lm::ToolDefinition;
use promptopt_core::program::CallContext;
use promptopt_core::signature::Field;
use promptopt_predict::Tool;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::environment::environment;
use crate::processes::ProcessGroup;
use crate::secrets::clean_strictly;
use crate::task_file::ToolSection;

/// The longest result that is read, in bytes.
const MAX_OUTPUT: u64 = 1024 * 1024;
/// How much of standard error a failure shows, in characters.
const MAX_STDERR: usize = 600;
const TIMEOUT: f64 = 60.0;

/// A command that is run for each call, in the task file's folder: the arguments come as a JSON object on standard input, and
/// what it writes to standard output is the result, as JSON or as text.
pub(crate) struct CommandTool {
    definition: ToolDefinition,
    command: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
    timeout: Duration,
}

impl CommandTool {
    /// The tool that a section describes, with its arguments as fields.
    pub(crate) fn new(section: &ToolSection, arguments: &[Field], folder: &Path) -> anyhow::Result<Self> {
        if section.command.first().is_none_or(|program| program.trim().is_empty()) {
            bail!(
                "`command` is empty: give the program and its arguments, such as [\"python3\", \"search.py\"]"
            );
        }
        let timeout = Duration::try_from_secs_f64(section.timeout.unwrap_or(TIMEOUT)).unwrap_or_default();
        if timeout.is_zero() {
            bail!("`timeout` must be a number of seconds above 0, and not endless");
        }
        if let Some(missing) = section.env.iter().find(|name| std::env::var_os(name).is_none()) {
            bail!("`env` names the variable {missing}, which is not set: set it, or leave it out");
        }
        let schema = section.schema.clone().unwrap_or_else(|| schema(arguments));
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Ok(Self {
            definition: ToolDefinition::new(&section.name, &section.description, schema),
            command: section.command.clone(),
            environment: environment(std::env::vars_os(), &section.env),
            folder: folder.to_owned(),
            timeout,
        })
    }

    async fn run(&self, arguments: &Map<String, Value>) -> anyhow::Result<Value> {
        let (program, rest) = self.command.split_first().context("the command is empty")?;
        let mut command = Command::new(program);
        command
            .args(rest)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut group = ProcessGroup::start(command)
            .with_context(|| format!("starting `{program}`; is it installed?"))?;
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
        let (output, complaint, ()) = tokio::join!(read(stdout), read(stderr), write);
        let status = child.wait().await.context("waiting for its end")?;
        let output = output?;
        if !status.success() {
            let complaint = String::from_utf8_lossy(&complaint.unwrap_or_default()).trim().to_owned();
            let end: String =
                complaint.chars().rev().take(MAX_STDERR).collect::<Vec<_>>().into_iter().rev().collect();
            bail!("it ended with {status}{}{end}", if end.is_empty() { "" } else { ": " });
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
    let is_required = |field: &&Field| !field.kind.to_string().starts_with("optional[");
    let required: Vec<&str> = fields.iter().filter(is_required).map(|field| field.name.as_str()).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

#[async_trait]
impl Tool for CommandTool {
    fn definition(&self) -> ToolDefinition {
        self.definition.clone()
    }

    async fn call(&self, _: &CallContext, arguments: Map<String, Value>) -> anyhow::Result<Value> {
        let said = match tokio::time::timeout(self.timeout, self.run(&arguments)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no result within {} s", self.timeout.as_secs_f64()),
        };
        // What a program complains of may repeat keys that only it knows.
        bail!("{}", clean_strictly(&shorten(&said, 2 * MAX_STDERR)))
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{LmReply, lm_fn};
    use promptopt_core::money::Usage;
    use promptopt_core::signature::FieldType;

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
    async fn failures_are_told() {
        let failed = call("import sys; sys.exit('the index is closed')", 10.0).await.unwrap_err();
        assert!(failed.contains("exit status: 1: the index is closed"), "{failed}");
        let late = call("import time; time.sleep(60)", 1.0).await.unwrap_err();
        assert_eq!(late, "no result within 1 s");
        let long = call("print('x' * 2_000_000)", 10.0).await.unwrap_err();
        assert!(long.contains("it wrote more than 1048576 bytes"), "{long}");
        let bytes = call("import sys; sys.stdout.buffer.write(b'\\xff')", 10.0).await.unwrap_err();
        assert!(bytes.contains("not UTF-8"), "{bytes}");
    }

    #[test]
    fn a_section_that_cannot_work_says_what_to_do() {
        let check = |change: fn(&mut ToolSection), words: &str| {
            let mut section = ToolSection { command: vec!["true".to_owned()], ..ToolSection::default() };
            change(&mut section);
            let error = CommandTool::new(&section, &[], Path::new("")).err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        };
        check(|section| section.command.clear(), "`command` is empty");
        check(|section| section.timeout = Some(0.0), "`timeout` must be a number of seconds above 0");
        check(
            |section| section.env = vec!["NO_SUCH_VARIABLE".to_owned()],
            "NO_SUCH_VARIABLE, which is not set",
        );
    }
}
