//! What can go wrong with a server.

/// Why a server gave no tools, or a call no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command could not be started.
    #[error("starting the MCP server `{server}` (`{command}`); is the program installed?")]
    Start {
        /// The name of the server.
        server: String,
        /// Its program and arguments.
        command: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It ended, was silent, or broke the protocol.
    #[error("the MCP server `{server}` (`{command}`) {reason}")]
    Failed {
        /// The name of the server.
        server: String,
        /// Its program and arguments.
        command: String,
        /// What happened, and what it said of it.
        reason: String,
    },
    /// It has not the tool that was asked for.
    #[error("the MCP server `{server}` has no tool `{tool}`; it has {}", quoted(known))]
    UnknownTool {
        /// The name of the server.
        server: String,
        /// The tool that it has not.
        tool: String,
        /// The tools that it has.
        known: Vec<String>,
    },
    /// Something of a tool cannot be handed on to a model.
    #[error("the tool `{tool}` of the MCP server `{server}` {flaw}")]
    Unusable {
        /// The name of the server.
        server: String,
        /// The tool.
        tool: String,
        /// What is wrong with it, and what to do.
        flaw: String,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
