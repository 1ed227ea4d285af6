//! The `promptopt` command: makes the prompts of an LLM program better by measurement.

mod args;
mod evaluate;
mod models;
mod optimize;
mod program;
mod progress;
mod pull;
mod saved;
mod session;
mod summary;
mod task_file;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let level = if args.verbose { "debug" } else { "warn" };
    let filter = EnvFilter::try_from_env("PROMPTOPT_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},hyper=warn,reqwest=warn")));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    let result = match &args.command {
        Command::Optimize(options) => optimize::run(options).await,
        Command::Eval(options) => evaluate::run(options).await,
        Command::Model(command) => pull::run(command).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {}", without_repetition(&error));
            ExitCode::FAILURE
        }
    }
}

/// The chain of causes in one line, without causes that their own context already quotes.
fn without_repetition(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}\n  because: {cause}");
        }
    }
    text
}
