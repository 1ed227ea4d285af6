//! The `promptopt` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    promptopt_cli::main().await
}
