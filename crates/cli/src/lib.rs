//! The command `promptopt`: makes the prompts of a program that calls language models better by measurement.
//!
//! This is the library behind the command, for the command itself: [`main`] runs it. Install it and begin so:
//!
//! ```sh
//! cargo install promptopt-cli
//! promptopt init                  # writes a task file to begin with
//! promptopt optimize task.toml    # optimizes, measures on a sealed test, writes the program and a report
//! promptopt discover -- python3 app.py    # or begins with a program that exists already
//! ```
//!
//! To optimize from Rust, take the crate [`promptopt`](https://docs.rs/promptopt). From this crate a Rust program may want
//! two things: [`SavedProgram`], which reads what the command writes, and [`check_task_file`], for tests of task files.
//!
//! | feature | adds |
//! |---|---|
//! | `hub` (default) | datasets of the Hugging Face Hub, and Parquet files |
//! | `mcp` (default) | tools of MCP servers for agents |
//! | `otlp` (default) | `--otlp`: spans of every call for a receiver of OpenTelemetry |
//! | `fleet` | rollouts on other machines, over NATS JetStream: `worker`, `fleet` and `--fleet` |
//! | `providers` | Anthropic, Gemini and Ollama by their own APIs |
//! | `local` | an embedded model that runs on the CPU; takes a C++ compiler, cmake and libclang to build |

mod apply;
mod args;
mod compare;
mod data;
mod diff;
#[cfg(feature = "gateway")]
mod discover;
mod estimate;
mod evaluate;
mod exit;
mod export;
mod fleet;
mod forecast;
mod import;
mod init;
mod interrupt;
mod keeping;
mod kept;
mod least;
mod markdown;
mod mcp;
mod measure;
mod meter;
mod metrics;
mod models;
mod models_command;
mod optimize;
mod optimizers;
mod output;
mod outputs;
mod probe;
mod program;
mod progress;
mod pull;
mod recorded;
mod report;
mod run_clock;
mod saved;
mod schema;
mod secrets;
mod session;
mod show;
mod stages;
mod summary;
mod task_file;
mod tools;
mod traces;
mod user_command;
mod words;
mod worker;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::process::ExitCode;

use clap::error::Error as UsageError;
use clap::{CommandFactory as _, Parser as _};
use serde_json::json;
use tracing::Instrument as _;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};
use exit::Exit;
use output::{Output, safe, say};

pub use saved::{Definition, SavedProgram};

/// The command: reads its arguments, does what they say, and tells the code to end with.
pub async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let variables = std::env::vars_os()
        .map(|(name, value)| [name, value].map(|text| text.to_string_lossy().into_owned()));
    secrets::learn_surroundings(&words, variables.map(|[name, value]| (name, value)));
    std::panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::capture();
        match trace.status() {
            BacktraceStatus::Captured => say(format_args!("{panic}\n{trace}")),
            _ => say(panic),
        }
    }));
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&words, &error),
    };
    let level = match (args.output.verbose, args.output.quiet) {
        (true, _) => "debug",
        (_, true) => "error",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_env("PROMPTOPT_LOG").unwrap_or_else(|_| {
        EnvFilter::new(format!("{level},hyper=warn,reqwest=warn,rmcp=off,async_nats=off"))
    });
    let output = Output::new(args.output);
    let result = match traces::begin(&args.traces, filter) {
        Ok(traces) => {
            let result = run(&args.command, output).instrument(span(&args.command)).await;
            traces.end();
            result
        }
        Err(error) => Err(error),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    if error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(is_closed_pipe) {
        // Whoever read our output has seen enough, as `head` does.
        return ExitCode::SUCCESS;
    }
    let exit = Exit::of(&error);
    let text = secrets::clean_strictly(&without_repetition(&error)).into_owned();
    say(format_args!("error: {text}"));
    let _ = output.object(&json!({"error": text, "exit_code": exit as u8}));
    ExitCode::from(exit as u8)
}

/// The span that all of a command is in.
fn span(command: &Command) -> tracing::Span {
    let name = match command {
        Command::Optimize(_) => "optimize",
        Command::Discover(_) => "discover",
        Command::Probe(_) => "probe",
        Command::Resume(_) => "resume",
        Command::Eval(_) => "eval",
        Command::Compare(_) => "compare",
        // The others call no model.
        _ => return tracing::Span::none(),
    };
    tracing::info_span!(target: "promptopt", "command", otel.name = format!("promptopt {name}"))
}

/// Says what is wrong with a command line, or what it asked to be told. Words of it are quoted then, so it is read
/// again with words that may be shown.
fn usage(words: &[String], error: &UsageError) -> ExitCode {
    let safe = words.iter().map(|word| safe(word));
    let said = Args::try_parse_from(safe).err();
    match said.map(|said| said.print().map(|()| said.exit_code())) {
        Some(Ok(code)) => ExitCode::from(u8::try_from(code).unwrap_or(Exit::Configuration as u8)),
        Some(Err(closed)) if closed.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => {
            say(error);
            ExitCode::from(Exit::Configuration as u8)
        }
    }
}

/// Checks a task file as the command does before anything is loaded.
///
/// # Errors
///
/// What is wrong with it, with its line where that is known.
pub fn check_task_file(text: &str) -> anyhow::Result<()> {
    let task = task_file::TaskFile::parse(text)?;
    program::Blueprint::of(&task.program)?;
    Ok(())
}

fn is_closed_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

async fn run(command: &Command, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Init(options) => init::run(options, output),
        #[cfg(feature = "gateway")]
        Command::Discover(options) => discover::run(options, output).await,
        #[cfg(not(feature = "gateway"))]
        Command::Discover(_) => {
            anyhow::bail!("this promptopt was built without the gateway: build it with `--features gateway`")
        }
        Command::Apply(options) => apply::run(options, output),
        Command::Optimize(options) => optimize::run(options, output).await,
        Command::Probe(options) => probe::run(options, output).await,
        Command::Estimate(options) => estimate::run(options, output).await,
        Command::Resume(options) => optimize::resume(options, output).await,
        Command::Eval(options) => evaluate::run(options, output).await,
        Command::Compare(options) => compare::run(options, output).await,
        Command::Show(options) => show::run(options, output).await,
        Command::Diff(options) => diff::run(options, output).await,
        Command::Export(options) => export::run(options, output).await,
        Command::Import(options) => import::run(options, output).await,
        Command::Report(options) => report::run(options, output),
        Command::Worker(options) => worker::run(options, output).await,
        Command::Fleet(command) => fleet::status(command, output).await,
        Command::Models(options) => models_command::run(options, output).await,
        Command::Model(command) => pull::run(command, output).await,
        Command::Schema => schema::run(output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "promptopt", &mut script);
            output.data(&String::from_utf8(script)?)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page)?;
            output.data(&String::from_utf8(page)?)
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
