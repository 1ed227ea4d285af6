//! `cargo xtask crash`: runs that are killed at random moments and resumed until they are done.

use anyhow::{Context as _, Result, bail};

use crate::shell;

pub(crate) const HELP: &str = "\
Starts real runs of promptopt against a server on the loopback interface, kills them with SIGKILL at random
moments and resumes them until they are done. Fails unless every run ends with the same bytes as one that
was left alone, and no completed call reached the server twice. Prints the figures.

usage: cargo xtask crash [--cycles N] [--program own|run|serve] [--optimizer each|miprov2|copro|gepa] [--seed N]

  --cycles N        kills for each optimizer (default 20)
  --program NAME    our own (default), or one in Python behind the gateway: a process for each row (`run`), or
                    four that stay (`serve`)
  --optimizer NAME  one of them, or `each` (default)
  --seed N          of the moments (default 0)
";

const PROGRAMS: [&str; 3] = ["own", "run", "serve"];
const OPTIMIZERS: [&str; 4] = ["each", "miprov2", "copro", "gepa"];

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let mut crash = shell::cargo();
    crash.current_dir(shell::root()?);
    crash.args(["test", "--quiet", "-p", "promptopt-cli", "--test", "resume", "--"]);
    crash.args(["--exact", "crash_cycles", "--ignored", "--nocapture"]);
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = rest.next().with_context(|| format!("`{option}` needs a value"))?;
        let number =
            || value.parse::<u64>().with_context(|| format!("`{option}` is `{value}`, not a whole number"));
        match option.as_str() {
            "--cycles" => crash.env("PROMPTOPT_CRASH_CYCLES", number()?.to_string()),
            "--seed" => crash.env("PROMPTOPT_CRASH_SEED", number()?.to_string()),
            "--program" if PROGRAMS.contains(&value.as_str()) => crash.env("PROMPTOPT_CRASH_PROGRAM", value),
            "--program" => bail!("there is no program `{value}`; there are {}", PROGRAMS.join(", ")),
            "--optimizer" if OPTIMIZERS.contains(&value.as_str()) => {
                crash.env("PROMPTOPT_CRASH_OPTIMIZER", value)
            }
            "--optimizer" => bail!("there is no optimizer `{value}`; there are {}", OPTIMIZERS.join(", ")),
            unknown => bail!("there is no option `{unknown}`: `cargo xtask crash --help` lists them"),
        };
    }
    shell::run(&mut crash)
}
