//! `cargo xtask demo`: from a fresh clone to an optimized prompt, without a key.

use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{shell, tools};

pub(crate) const HELP: &str = "\
Builds promptopt with the embedded language model and optimizes a prompt on it. Needs no key.

usage: cargo xtask demo [--check] [-- <arguments of `promptopt optimize`>...]

  --check   a reduced run, as continuous integration makes it
  --        what follows is passed on, as in `cargo xtask demo -- --trials 5`

It takes Rust, a C++ compiler with make, and Python 3 with pip. Missing build tools (cmake, libclang)
go into the target folder; the model, 98 MB, goes into promptopt's cache.
";

/// The model that the demo runs on: small, and real.
pub(crate) const MODEL: &str = "smollm2-135m";

/// The task that the demo optimizes.
const TASK: &str = "examples/cities.toml";

/// What `--check` passes on: enough to go through every stage.
const REDUCED: [&str; 8] = ["--train", "24", "--selection", "16", "--test", "16", "--trials", "3"];

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let passed_on = passed_on(arguments)?;
    tools::check_python()?;
    let start = Instant::now();

    announce("the build tools", "a C++ compiler, cmake and libclang, for the embedded model's engine");
    let environment = tools::build_environment()?;
    done(start);

    let mut build = shell::cargo();
    build.args(["build", "--release", "-p", "promptopt-cli", "--features", "local"]);
    step("build", "a few minutes the first time: the model's engine is C++", &mut build, &environment)?;

    let mut pull = promptopt()?;
    pull.args(["model", "pull", MODEL]);
    step("the model", "fetched once, checked against its checksum", &mut pull, &[])?;

    let mut optimize = promptopt()?;
    optimize.args(["optimize", TASK, "--lm", "local"]).args(passed_on);
    step("optimize", "MIPROv2 on this machine; the last score is from the sealed test", &mut optimize, &[])?;

    eprintln!("\nthe whole demo took {}", shell::spoken(start.elapsed()));
    Ok(())
}

/// What goes on to `promptopt optimize`.
fn passed_on(arguments: &[String]) -> Result<Vec<String>> {
    let mut own = arguments.iter();
    let mut passed_on = Vec::new();
    while let Some(argument) = own.next() {
        match argument.as_str() {
            "--check" => passed_on.extend(REDUCED.map(str::to_owned)),
            "--" => passed_on.extend(own.by_ref().cloned()),
            other => {
                bail!("demo takes no argument `{other}`; arguments of `promptopt optimize` go after `--`")
            }
        }
    }
    Ok(passed_on)
}

/// The program that the build step has just built.
fn promptopt() -> Result<Command> {
    built("promptopt")
}

/// A program in the target folder's release part.
pub(crate) fn built(name: &str) -> Result<Command> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(Command::new(shell::target_dir()?.join("release").join(name)))
}

pub(crate) fn step(
    name: &str,
    about: &str,
    command: &mut Command,
    variables: &[(&str, OsString)],
) -> Result<()> {
    announce(name, about);
    eprintln!("    $ {}", shell::shown(command));
    let start = Instant::now();
    command.current_dir(shell::root()?).envs(variables.iter().map(|(name, value)| (name, value)));
    shell::run(command).with_context(|| format!("the step `{name}` of the demo"))?;
    done(start);
    Ok(())
}

fn announce(name: &str, about: &str) {
    eprintln!("\n==> {name}: {about}");
}

fn done(start: Instant) {
    eprintln!("    done in {}", shell::spoken(start.elapsed()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(arguments: &[&str]) -> Result<Vec<String>> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        passed_on(&arguments)
    }

    #[test]
    fn arguments_behind_the_dashes_are_passed_on() {
        assert!(passed(&[]).unwrap().is_empty());
        assert_eq!(passed(&["--", "--trials", "5", "--check"]).unwrap(), ["--trials", "5", "--check"]);
        assert_eq!(passed(&["--check"]).unwrap(), REDUCED);
        assert_eq!(passed(&["--check", "--", "--seed", "1"]).unwrap().len(), REDUCED.len() + 2);
    }

    #[test]
    fn an_argument_in_the_wrong_place_says_where_it_goes() {
        let error = passed(&["--trials", "5"]).unwrap_err().to_string();
        assert!(error.contains("after `--`"), "{error}");
    }
}
