//! Tools of [MCP](https://modelcontextprotocol.io) servers for agents, over standard input and output.
//!
//! A server is a command. [`McpServer::tools`] starts it and gives its tools, each of which is a
//! [`Tool`](promptopt_predict::Tool). The process ends with the last of them.
//!
//! ```no_run
//! use promptopt_core::signature::Signature;
//! use promptopt_mcp::{CommandLine, McpServer};
//! use promptopt_predict::Agent;
//!
//! # async fn agent() -> Result<Agent, Box<dyn std::error::Error>> {
//! let command = CommandLine::new("uvx", ["mcp-server-time".to_owned()]);
//! let mut agent = Agent::new("desk", Signature::parse("question -> answer")?);
//! for tool in McpServer::new("clock", command).tools().await? {
//!     agent = agent.with_tool(tool);
//! }
//! # Ok(agent)
//! # }
//! ```
//!
//! Tools come in the order of their names, whatever order the server lists them in, so a program is the same at each start.
//! Calls of all rollouts go over one process. A server that keeps something between calls shows it to all of them: give it
//! tools that only read, or what is measured depends on the order of the calls.

mod answer;
mod connection;
mod error;
mod link;
mod server;
mod watch;

pub use error::Error;
pub use promptopt_process::CommandLine;
pub use server::{McpServer, McpTool};

/// Compiles the README.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
}
