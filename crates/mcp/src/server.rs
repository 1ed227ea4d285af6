//! A server, and its tools.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use promptopt_core::lm::ToolDefinition;
use promptopt_core::program::CallContext;
use promptopt_predict::Tool;
use promptopt_process::CommandLine;
use rmcp::model::CallToolRequestParams;
use serde_json::{Map, Value};

use crate::answer;
use crate::error::Error;
use crate::link::Link;

/// Seconds that the start and each call may take where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The most tools of one server that are handed on; providers take no more.
const MAX_TOOLS: usize = 128;
/// The longest name of a tool that providers take, in characters.
const MAX_NAME: usize = 64;
/// The longest description and the largest schema of a tool, in bytes.
const MAX_DESCRIPTION: usize = 20_000;
const MAX_SCHEMA: usize = 100_000;

/// An MCP server that is a command, and what is wanted of it.
#[derive(Debug, Clone)]
pub struct McpServer {
    name: String,
    command: CommandLine,
    timeout: Duration,
    only: Vec<String>,
    prefix: String,
}

impl McpServer {
    /// A server. Its name is for messages.
    pub fn new(name: impl Into<String>, command: CommandLine) -> Self {
        Self { name: name.into(), command, timeout: TIMEOUT, only: Vec::new(), prefix: String::new() }
    }

    /// How long its start may take, and each call. Default: 60 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Only these of its tools, in this order. Default: all, in the order of their names.
    #[must_use]
    pub fn only(mut self, tools: impl IntoIterator<Item = String>) -> Self {
        self.only.extend(tools);
        self
    }

    /// What stands before the name of each of its tools, so that those of several servers can be told apart.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Starts it, and gives its tools. It ends with the last of them. Needs a runtime of tokio.
    ///
    /// A tool has the server's name for it, with `_` for what providers do not take in a name.
    ///
    /// # Errors
    ///
    /// Where it does not start, does not speak MCP, has not the tools that are wanted, or has a tool that no model can be told
    /// of. The error names the server, and says what it said.
    pub async fn tools(self) -> Result<Vec<McpTool>, Error> {
        let link = Arc::new(Link::new(self.name.clone(), self.command.clone(), self.timeout));
        let listed = self.chosen(&link, link.start().await?)?;
        let mut tools: Vec<McpTool> = Vec::with_capacity(listed.len());
        for tool in listed {
            let tool = McpTool {
                definition: self.definition(&tool)?,
                name: tool.name.into(),
                link: Arc::clone(&link),
            };
            if let Some(other) = tools.iter().find(|one| one.definition.name == tool.definition.name) {
                let flaw = format!(
                    "has the name `{}`, which its tool `{}` has, too; take only one of the two",
                    tool.definition.name, other.name
                );
                return Err(self.unusable(&tool.name, flaw));
            }
            tools.push(tool);
        }
        Ok(tools)
    }

    /// The tools that are wanted, in the order in which they are.
    fn chosen(
        &self,
        link: &Link,
        mut listed: Vec<rmcp::model::Tool>,
    ) -> Result<Vec<rmcp::model::Tool>, Error> {
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        if !self.only.is_empty() {
            let known = || listed.iter().map(|tool| tool.name.clone().into_owned()).collect();
            let find = |name: &String| listed.iter().find(|tool| tool.name == **name).cloned();
            let unknown = |tool: &String| Error::UnknownTool {
                server: self.name.clone(),
                tool: tool.clone(),
                known: known(),
            };
            return self.only.iter().map(|name| find(name).ok_or_else(|| unknown(name))).collect();
        }
        let flaw = match listed.len() {
            0 => "lists no tools".to_owned(),
            1..=MAX_TOOLS => return Ok(listed),
            count => format!(
                "lists {count} tools, and a model takes {MAX_TOOLS} at most: name those that it needs"
            ),
        };
        Err(Error::Failed { server: self.name.clone(), command: link.command(), reason: flaw })
    }

    /// A tool as a model is told of it.
    fn definition(&self, tool: &rmcp::model::Tool) -> Result<ToolDefinition, Error> {
        let taken = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
        let name: String = self.prefix.chars().chain(tool.name.chars()).map(taken).collect();
        if tool.name.is_empty() || name.len() > MAX_NAME {
            return Err(self.unusable(
                &tool.name,
                format!("needs a name of 1 to {MAX_NAME} characters, prefix included"),
            ));
        }
        let description = tool.description.as_deref().unwrap_or_default().trim();
        let schema = Value::Object((*tool.input_schema).clone());
        for (what, size, most) in [
            ("a description", description.len(), MAX_DESCRIPTION),
            ("a schema", schema.to_string().len(), MAX_SCHEMA),
        ] {
            if size > most {
                let flaw = format!("has {what} of {size} bytes, and {most} is the most; leave it out");
                return Err(self.unusable(&tool.name, flaw));
            }
        }
        Ok(ToolDefinition::new(name, description, schema))
    }

    fn unusable(&self, tool: &str, flaw: String) -> Error {
        Error::Unusable { server: self.name.clone(), tool: tool.to_owned(), flaw }
    }
}

/// A tool of an MCP server.
#[derive(Clone)]
pub struct McpTool {
    definition: ToolDefinition,
    /// As the server calls it.
    name: String,
    link: Arc<Link>,
}

#[async_trait]
impl Tool for McpTool {
    fn definition(&self) -> ToolDefinition {
        self.definition.clone()
    }

    async fn call(&self, _: &CallContext, arguments: Map<String, Value>) -> anyhow::Result<Value> {
        let params = CallToolRequestParams::new(self.name.clone()).with_arguments(arguments);
        answer::read(self.link.call(params).await?)
    }
}
