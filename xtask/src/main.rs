//! Chores of the workspace: `cargo xtask <command>`.
//!
//! `tidy` checks what neither the compiler nor clippy can see, `bench` measures, `crash` kills runs and resumes
//! them, `fuzz` runs the fuzz targets, `outside` tries our crates as users do, `demo` and `comparison` show the
//! product to somebody who has just cloned it, `env` prints what the build of the embedded model needs.

mod bench;
mod comparison;
mod crash;
mod demo;
mod fuzz;
mod outside;
mod shell;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
Chores of the promptopt workspace.

usage: cargo xtask <command> [options]

commands:
  bench       measure overhead, concurrency, critical path, memory, scaling and search
  comparison  run the three optimizers side by side on the embedded model; needs no key
  crash       kill runs at random moments, resume them, and compare what they come to
  demo        build promptopt with the embedded model and optimize a prompt; needs no key
  env         print the build environment of the embedded model as shell `export` lines
  fuzz        run the parsers against inputs that a fuzzer makes
  outside     build and run crates that depend on ours from outside of the workspace
  tidy        check the rules of this repository

`cargo xtask <command> --help` tells more.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        eprint!("{HELP}");
        bail!("no command given");
    };
    match command.as_str() {
        "bench" => with_help(bench::HELP, rest, bench::main),
        "tidy" => with_help(tidy::HELP, rest, tidy::main),
        "comparison" => with_help(comparison::HELP, rest, comparison::main),
        "crash" => with_help(crash::HELP, rest, crash::main),
        "demo" => with_help(demo::HELP, rest, demo::main),
        "fuzz" => with_help(fuzz::HELP, rest, fuzz::main),
        "outside" => with_help(outside::HELP, rest, outside::main),
        "env" => with_help(tools::HELP, rest, tools::main),
        "help" | "--help" | "-h" => {
            shell::say(HELP);
            Ok(())
        }
        unknown => bail!("there is no command `{unknown}`: `cargo xtask --help` lists them"),
    }
}

/// Prints `help` where it is asked for ahead of a `--`, and runs the command otherwise.
fn with_help(help: &str, arguments: &[String], command: fn(&[String]) -> Result<()>) -> Result<()> {
    let mut own = arguments.iter().take_while(|argument| *argument != "--");
    if own.any(|argument| argument == "--help" || argument == "-h") {
        shell::say(help);
        return Ok(());
    }
    command(arguments)
}
