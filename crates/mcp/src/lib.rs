//! Tools of [MCP](https://modelcontextprotocol.io) servers for agents, over standard input and output.
//!
//! An MCP server is a command that offers tools to language models. [`McpServer::tools`] starts it and gives its tools.
//! Each is a [`Tool`](promptopt_predict::Tool) that an [`Agent`](promptopt_predict::Agent) of `promptopt-predict` can
//! call. The process ends with the last of them. So the prompts of an agent with these tools can be optimized by
//! [promptopt](https://docs.rs/promptopt), where this crate is the feature `mcp`. Servers that are reached over HTTP
//! are not supported.
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
//! Tools come in the order of their names, whatever order the server lists them in, so a program is the same at each
//! start. All calls go over one process, however many are under way. When an optimizer runs an agent on many examples
//! at once, a server that keeps something between calls shows it to all of them. Give it tools that only read, or what
//! is measured depends on the order of the calls.
//!
//! It needs a tokio runtime. There are no cargo features.

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
