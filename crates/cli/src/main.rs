//! The `promptopt` command.

use std::process::ExitCode;

// One thread for rollouts and connections: a reply wakes nobody else, which at 20 ms a call is 1 %.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    promptopt_cli::main().await
}
