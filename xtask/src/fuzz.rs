//! `cargo xtask fuzz`: parsers against inputs that a fuzzer makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

pub(crate) const HELP: &str = "\
Runs the fuzz targets of `fuzz/` with libFuzzer: what models, data sets, task files and saved files may hold.
Stops at the first input that fails a check and keeps it in `fuzz/artifacts`; inputs that reach new code go to
`fuzz/corpus`. Neither folder is part of the repository, `fuzz/seeds` is. Needs a C++ compiler; cargo-fuzz is
installed into the target folder if it is missing.

The checks use no `unsafe`, so they need no sanitizer and run with the toolchain of the workspace.
`cargo test --manifest-path fuzz/Cargo.toml` runs them over the seeds without the fuzzer.

usage: cargo xtask fuzz [--seconds N] [--target each|NAME]

  --seconds N    time for each target (default 60)
  --target NAME  one of them, or `each` (default)
";

/// The version of cargo-fuzz that is installed.
const VERSION: &str = "0.13.2";

/// Largest input, in bytes; deep and large ones have tests of their own.
const MAX_BYTES: usize = 4096;

/// An input that takes longer than this many seconds is a finding.
const SLOWEST: u64 = 10;

/// Memory that an input may take, in megabytes.
const MEMORY: u64 = 2048;

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (mut seconds, mut chosen) = (60, "each".to_owned());
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = rest.next().with_context(|| format!("`{option}` needs a value"))?;
        match option.as_str() {
            "--seconds" => {
                seconds = value
                    .parse::<u64>()
                    .with_context(|| format!("`--seconds` is `{value}`, not a whole number"))?;
            }
            "--target" => chosen.clone_from(value),
            unknown => bail!("there is no option `{unknown}`: `cargo xtask fuzz --help` lists them"),
        }
    }
    let folder = shell::root()?.join("fuzz");
    let all = targets(&folder)?;
    if chosen != "each" && !all.contains(&chosen) {
        bail!("there is no target `{chosen}`; there are each, {}", all.join(", "));
    }
    let cargo_fuzz = cargo_fuzz()?;
    for target in all.iter().filter(|target| chosen == "each" || chosen == **target) {
        shell::say(&format!("--- {target}\n"));
        shell::run(&mut fuzz(&cargo_fuzz, &folder, target, seconds)?)
            .with_context(|| format!("the target `{target}`: see what it says above"))?;
    }
    Ok(())
}

/// The names of the targets.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let read = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder)? {
            names.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        names.sort();
        Ok(names)
    };
    read().with_context(|| format!("listing {}", folder.display()))
}

/// The cargo-fuzz that is there, or one that is installed now.
fn cargo_fuzz() -> Result<PathBuf> {
    if shell::answers("cargo-fuzz", &["--version"]) {
        return Ok("cargo-fuzz".into());
    }
    let home = shell::target_dir()?.join("tools").join(format!("cargo-fuzz-{VERSION}"));
    let program = home.join("bin/cargo-fuzz");
    if !shell::answers(&program, &["--version"]) {
        let mut install = shell::cargo();
        install.args(["install", "--quiet", "--locked", "--version", VERSION, "--root"]).arg(&home);
        shell::run(install.arg("cargo-fuzz"))?;
    }
    Ok(program)
}

/// The command for one target.
fn fuzz(cargo_fuzz: &Path, folder: &Path, target: &str, seconds: u64) -> Result<Command> {
    let corpus = folder.join("corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("creating {}", corpus.display()))?;
    let mut command = Command::new(cargo_fuzz);
    command.current_dir(folder).args(["run", "--sanitizer", "none", "--features", "engine", "--target-dir"]);
    command.arg(shell::target_dir()?.join("fuzz")).arg(target);
    command.arg(corpus).arg(folder.join("seeds").join(target)).arg("--");
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_BYTES}"),
        format!("-timeout={SLOWEST}"),
        format!("-rss_limit_mb={MEMORY}"),
        "-print_final_stats=1".to_owned(),
    ]);
    let words = folder.join("dictionaries").join(format!("{target}.dict"));
    if words.exists() {
        command.arg(format!("-dict={}", words.display()));
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds() {
        let folder = shell::root().unwrap().join("fuzz");
        let targets = targets(&folder).unwrap();
        assert!(targets.len() > 5, "{targets:?}");
        for target in targets {
            assert!(fs::read_dir(folder.join("seeds").join(&target)).unwrap().count() > 0, "{target}");
        }
    }

    #[test]
    fn an_unknown_target_or_option_is_refused_before_anything_is_built() {
        let check = |arguments: [&str; 2], part: &str| {
            let error = main(&arguments.map(str::to_owned)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check(["--target", "replies"], "reply");
        check(["--seconds", "long"], "not a whole number");
        check(["--second", "1"], "--second");
    }
}
