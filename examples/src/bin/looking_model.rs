//! A stand-in for a model that looks at images, on the loopback interface, beside a command that asks it:
//!
//! `cargo run -p promptopt-examples --bin looking_model -- promptopt optimize examples/colours.toml`
//!
//! The command gets `--lm looking@http://127.0.0.1:PORT/v1`. The model looks at the bytes of the last image it is sent and
//! names its colour, right more often the more demos it is shown. It shows the way, and not what a real model gains.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use promptopt_testkit::{LookingLm, LoopbackServer};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut command = std::env::args().skip(1);
    let name = command
        .next()
        .context("name the command to run, such as: promptopt optimize examples/colours.toml")?;
    let model = Arc::new(LookingLm::new(["red", "green", "blue"], 1));
    let server = LoopbackServer::start(model, Duration::ZERO, None).await?;
    let mut child = std::process::Command::new(&name);
    child.args(command).args(["--lm", &format!("looking@{}", server.base_url())]);
    let status = tokio::task::spawn_blocking(move || child.status()).await?;
    let status = status.with_context(|| format!("running {name}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
