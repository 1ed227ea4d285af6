//! Commands that a user names: metrics, tools, and servers of tools. No shell.
//!
//! A command gets the usual environment variables and those that are handed on by name, so a key of ours does not reach a
//! program that has no need of it. It runs in a process group of its own, and all that it started ends with the
//! [`ProcessGroup`].
//!
//! ```
//! use promptopt_process::{CommandLine, Complaint};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let command = CommandLine::new("sh", ["-c".to_owned(), "echo the index is closed >&2; exit 3".to_owned()]);
//! let mut group = command.start()?;
//! let complaint = group.leader().stderr.take().map(Complaint::of);
//! let said = complaint.unwrap().await.said(|text| text.into());
//! assert_eq!((group.wait().await?.code(), said.as_str()), (Some(3), "the index is closed"));
//! # Ok(())
//! # }
//! ```

mod command_line;
mod complaint;
mod environment;
mod group;

pub use command_line::CommandLine;
pub use complaint::Complaint;
pub use group::{ProcessGroup, end_all};
