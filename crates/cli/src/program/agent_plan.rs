//! An agent as the task file describes it, checked.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use promptopt_core::lm::ToolDefinition;
use promptopt_core::program::CallContext;
use promptopt_core::signature::Field;
use promptopt_predict::Tool;
use serde_json::{Map, Value};

use super::blueprint::field;
use crate::mcp;
use crate::task_file::{McpSection, ProgramSection, ToolForm, ToolSection};
use crate::user_command::check_variables;

/// An agent to be built.
#[derive(Debug, Clone)]
pub(crate) struct AgentPlan {
    /// Each tool that is a command, and what it takes.
    pub(crate) tools: Vec<(ToolSection, Vec<Field>)>,
    servers: Vec<McpSection>,
    /// The tools of the servers, once those are started.
    pub(crate) served: Served,
    pub(crate) max_turns: Option<u32>,
    pub(crate) form: ToolForm,
    pub(crate) improve_tools: bool,
}

impl AgentPlan {
    /// `None` without tools.
    pub(super) fn of(
        tools: &[ToolSection],
        servers: &[McpSection],
        own_turns: Option<u32>,
        program: &ProgramSection,
    ) -> anyhow::Result<Option<Self>> {
        if tools.is_empty() && servers.is_empty() {
            return match own_turns {
                Some(_) => {
                    bail!(
                        "`max_turns` is for agents, and there are no `tools` and no `mcp`: add some, or leave it out"
                    )
                }
                None => Ok(None),
            };
        }
        let max_turns = own_turns.or(program.max_turns);
        if max_turns == Some(0) {
            bail!("`max_turns` is 0, and an agent needs at least 1 turn to answer");
        }
        let mut names = HashSet::new();
        for server in servers {
            if server.name.trim().is_empty() || !names.insert(&server.name) {
                bail!("two MCP servers are called `{}`, or one has no name: each needs its own", server.name);
            }
            mcp::check(server).with_context(|| format!("in the MCP server `{}`", server.name))?;
        }
        let mut plan = Self {
            tools: Vec::new(),
            servers: servers.to_vec(),
            served: Served::default(),
            max_turns,
            form: program.tool_form,
            improve_tools: program.improve_tools,
        };
        plan.add(tools).context("in `tools`")?;
        Ok(Some(plan))
    }

    fn add(&mut self, tools: &[ToolSection]) -> anyhow::Result<()> {
        let mut names = HashSet::new();
        for tool in tools {
            let place = || format!("in the tool `{}`", tool.name);
            if !is_tool_name(&tool.name) {
                bail!("`{}` is not the name of a tool: use up to 64 letters, digits, _ and -", tool.name);
            }
            if !names.insert(&tool.name) {
                bail!("two tools are called `{}`: each needs a name of its own", tool.name);
            }
            if tool.schema.is_some() && !tool.arguments.is_empty() {
                return Err(anyhow::anyhow!("give either `arguments` or `schema`, not both"))
                    .with_context(place);
            }
            let arguments: anyhow::Result<Vec<Field>> = tool.arguments.iter().map(field).collect();
            let mut known = HashSet::new();
            if let Some(twice) = tool.arguments.iter().find(|argument| !known.insert(&argument.name)) {
                bail!(
                    "the tool `{}` takes `{}` twice: give one of the two another name",
                    tool.name,
                    twice.name
                );
            }
            self.tools.push((tool.clone(), arguments.with_context(place)?));
        }
        Ok(())
    }

    /// Checks that the environment variables are set which its tools get.
    pub(super) fn check_variables(&self) -> anyhow::Result<()> {
        for (tool, _) in &self.tools {
            check_variables("", &tool.env).with_context(|| format!("in the tool `{}`", tool.name))?;
        }
        for server in &self.servers {
            check_variables("", &server.env)
                .with_context(|| format!("in the MCP server `{}`", server.name))?;
        }
        Ok(())
    }

    /// Starts its servers in a folder, and takes their tools.
    pub(super) async fn start(&mut self, folder: &Path) -> anyhow::Result<()> {
        self.check_variables()?;
        let whose = |tool: &(ToolSection, _)| (tool.0.name.clone(), "the tools that are commands".to_owned());
        let mut owners: HashMap<String, String> = self.tools.iter().map(whose).collect();
        for server in &self.servers {
            for tool in mcp::tools(server, folder).await? {
                let name = tool.definition().name;
                let owner = format!("the MCP server `{}`", server.name);
                if let Some(other) = owners.insert(name.clone(), owner) {
                    bail!(
                        "both {other} and the MCP server `{}` have a tool `{name}`: give the server a `prefix`, or name the tools that \
                         are needed with `tools`",
                        server.name
                    );
                }
                self.served.0.push(tool);
            }
        }
        Ok(())
    }

    /// Takes what is known of the tools of its servers.
    pub(super) fn show(&mut self, tools: &[ToolDefinition]) {
        let shown = |tool: &ToolDefinition| Arc::new(Shown(tool.clone())) as Arc<dyn Tool>;
        self.served = Served(tools.iter().map(shown).collect());
    }

    /// The tools of its servers.
    ///
    /// # Errors
    ///
    /// Where there are servers, and their tools are not known.
    pub(super) fn served(&self) -> anyhow::Result<&[Arc<dyn Tool>]> {
        match self.servers.first() {
            Some(server) if self.served.0.is_empty() => {
                bail!(
                    "nothing is known of the tools of the MCP server `{}`: name the task with --task",
                    server.name
                )
            }
            _ => Ok(&self.served.0),
        }
    }
}

/// Whether providers take a name for a tool.
fn is_tool_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    (1..=64).contains(&name.len()) && name.chars().all(is_letter)
}

/// Tools of MCP servers.
#[derive(Clone, Default)]
pub(crate) struct Served(Vec<Arc<dyn Tool>>);

impl Served {
    pub(crate) fn definitions(&self) -> Vec<ToolDefinition> {
        self.0.iter().map(|tool| tool.definition()).collect()
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Served").field(&self.definitions()).finish()
    }
}

/// A tool that is shown, and cannot be called.
struct Shown(ToolDefinition);

#[async_trait]
impl Tool for Shown {
    fn definition(&self) -> ToolDefinition {
        self.0.clone()
    }

    async fn call(&self, _: &CallContext, _: Map<String, Value>) -> anyhow::Result<Value> {
        bail!("the MCP server of the tool `{}` was not started", self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use crate::program::Blueprint;

    const CHAIN: &str = "[[predictors]]\nname = \"a\"\nsignature = \"x -> y\"\n[[predictors]]\nname = \"b\"\nsignature = \"y -> z\"\n";

    fn blueprint(text: &str) -> anyhow::Result<Blueprint> {
        Blueprint::of(&toml::from_str(text).unwrap())
    }

    #[test]
    fn mistakes_in_an_agent_are_named() {
        const TOOL: &str = "[[tools]]\nname = \"search\"\narguments = [\"query\"]\ncommand = [\"true\"]\n";
        let check = |head: &str, tool: &str, part: &str| {
            let error = format!("{:#}", blueprint(&format!("{head}\n{tool}")).unwrap_err());
            assert!(error.contains(part), "{error}");
        };
        let head = "signature = \"question -> answer\"";
        assert!(blueprint(&format!("{head}\nmax_turns = 3\n{TOOL}")).is_ok());
        check(&format!("{head}\nmax_turns = 3"), "", "`max_turns` is for agents");
        check(&format!("{head}\ntool_form = \"text\""), "", "`program.tool_form` is for agents");
        check(&format!("{head}\nimprove_tools = true"), "", "`program.improve_tools` is for agents");
        check(&format!("max_turns = 3\n{CHAIN}"), "", "`program.max_turns` is for agents");
        check(&format!("{head}\nmax_turns = 0"), TOOL, "at least 1 turn");
        check(head, &TOOL.replace("search", "look up"), "is not the name of a tool");
        check(head, &TOOL.repeat(2), "two tools are called `search`");
        check(head, &TOOL.replace("[\"query\"]", "[\"query\", \"query\"]"), "takes `query` twice");
        check(head, &format!("{TOOL}schema = {{}}"), "either `arguments` or `schema`");
    }
}
