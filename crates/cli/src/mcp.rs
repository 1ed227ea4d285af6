//! Tools of the MCP servers that a task file names.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use promptopt_predict::Tool;

use crate::task_file::McpSection;
use crate::user_command::UserCommand;

/// Checks what can be checked before a server is started.
pub(crate) fn check(section: &McpSection) -> anyhow::Result<()> {
    command(section, Path::new(""))?;
    if section.tools.as_ref().is_some_and(Vec::is_empty) {
        bail!("`tools` names none: name those that are needed, or leave it out for all");
    }
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if let Some(prefix) = section.prefix.as_deref().filter(|prefix| !prefix.chars().all(is_letter)) {
        bail!("`prefix` is `{prefix}`: use letters, digits, _ and -");
    }
    if cfg!(not(feature = "mcp")) {
        bail!("this promptopt was built without MCP: build it with `--features mcp`");
    }
    Ok(())
}

fn command(section: &McpSection, folder: &Path) -> anyhow::Result<UserCommand> {
    UserCommand::new("", &section.command, folder, section.timeout, &section.env)
}

/// Starts a server in a folder. It ends with the last of its tools.
#[cfg(feature = "mcp")]
pub(crate) async fn tools(section: &McpSection, folder: &Path) -> anyhow::Result<Vec<Arc<dyn Tool>>> {
    use promptopt_mcp::{Error, McpServer};

    let UserCommand { line, timeout } = command(section, folder)?;
    let server = McpServer::new(&section.name, line)
        .with_timeout(timeout)
        .with_prefix(section.prefix.clone().unwrap_or_default())
        .only(section.tools.iter().flatten().cloned());
    match server.tools().await {
        Ok(tools) => Ok(tools.into_iter().map(|tool| Arc::new(tool) as Arc<dyn Tool>).collect()),
        Err(Error::UnknownTool { server, tool, known }) => {
            let meant = crate::task_file::nearest(&tool, known.iter().map(String::as_str))
                .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            bail!("{}{meant}", Error::UnknownTool { server, tool, known })
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(feature = "mcp"))]
pub(crate) async fn tools(section: &McpSection, _: &Path) -> anyhow::Result<Vec<Arc<dyn Tool>>> {
    check(section).map(|()| Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> String {
        let section = toml::from_str(&format!("name = \"clock\"\ncommand = [\"true\"]\n{text}")).unwrap();
        check(&section).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_server_that_cannot_work_says_what_to_do() {
        assert!(checked("tools = []").contains("leave it out for all"));
        assert!(checked("prefix = \"a b\"").contains("use letters, digits, _ and -"));
        let without = "built without MCP: build it with `--features mcp`";
        assert_eq!(checked("tools = [\"now\"]").contains(without), cfg!(not(feature = "mcp")));
    }
}
