//! Runs commands that a user has named: without a shell, with few environment variables, and ended with all they
//! started.
//!
//! A [`CommandLine`] is a program with its arguments. It gets the usual environment variables and those that are handed
//! on by name, so an API key in the environment does not reach a program that has no need of it. It runs in a process
//! group of its own. When the [`ProcessGroup`] is dropped, the program ends, and so does everything that it has
//! started. A small shell is started with the first group, and ends all groups where this process is killed.
//!
//! In [promptopt](https://docs.rs/promptopt), metrics, tools and servers of tools are such commands. This crate works
//! alone.
//!
//! ```
//! use std::process::ExitStatus;
//!
//! use promptopt_process::{CommandLine, Complaint};
//!
//! /// Runs a script that may read one of our keys. Returns how it ended, and the last that it said on standard error.
//! async fn run(script: &str) -> std::io::Result<(ExitStatus, String)> {
//!     let command = CommandLine::new("sh", ["-c".to_owned(), script.to_owned()]);
//!     let command = command.handing_on(["REPORT_TOKEN".to_owned()]);
//!     let mut group = command.start()?;
//!     // All three streams are pipes. A script that writes much to standard output waits until that is read, too.
//!     let complaint = match group.leader().stderr.take() {
//!         Some(stderr) => Complaint::of(stderr).await,
//!         None => Complaint::default(),
//!     };
//!     let said = complaint.said(|text| text.into()); // Nothing is taken out: this script knows no secret of its own.
//!     Ok((group.wait().await?, said))
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! #     let (status, said) = run("echo the index is closed >&2; exit 3").await?;
//! #     assert_eq!((status.code(), said.as_str()), (Some(3), "the index is closed"));
//! #     Ok(())
//! # }
//! ```
//!
//! It needs a tokio runtime. There are no cargo features.

mod command_line;
mod complaint;
mod environment;
mod group;
mod guard;
mod strays;

pub use command_line::CommandLine;
pub use complaint::Complaint;
pub use group::{ProcessGroup, end_all};
