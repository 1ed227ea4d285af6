//! `cargo xtask crash`: runs that are killed at random moments and resumed until they are done.

use anyhow::{Context as _, Result, bail};

use crate::shell;

pub(crate) const HELP: &str = "\
Starts real runs of promptopt against a server on the loopback interface, kills them with SIGKILL at random
moments and resumes them until they are done. Fails unless every run ends with the same bytes as one that
was left alone, and no completed call reached the server twice. Prints the figures.
With --fleet the runs have workers and a nats-server (on the path, or named by PROMPTOPT_NATS_SERVER): first all
optimizers, kinds of programs and numbers of workers, then faults of workers, server, network and coordinator.

usage: cargo xtask crash [--cycles N] [--program own|run|serve] [--optimizer each|miprov2|copro|gepa] [--seed N]
       cargo xtask crash --fleet [--faults N] [--seed N]

  --cycles N        kills for each optimizer (default 20)
  --program NAME    our own (default), or one in Python behind the gateway: a process for each row (`run`), or
                    four that stay (`serve`)
  --optimizer NAME  one of them, or `each` (default)
  --seed N          of the moments (default 0)
  --fleet           workers over a nats-server instead
  --faults N        faults of the fleet in all (default 200); 0 for its outcomes alone
";

const PROGRAMS: [&str; 3] = ["own", "run", "serve"];
const OPTIMIZERS: [&str; 4] = ["each", "miprov2", "copro", "gepa"];

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let is_fleet = arguments.iter().any(|argument| argument == "--fleet");
    let mut variables = Vec::new();
    let mut rest = arguments.iter().filter(|argument| *argument != "--fleet");
    while let Some(option) = rest.next() {
        let value = rest.next().with_context(|| format!("`{option}` needs a value"))?;
        let number =
            || value.parse::<u64>().with_context(|| format!("`{option}` is `{value}`, not a whole number"));
        variables.push(match option.as_str() {
            "--seed" => ("PROMPTOPT_CRASH_SEED", number()?.to_string()),
            "--faults" if is_fleet => ("PROMPTOPT_FLEET_FAULTS", number()?.to_string()),
            "--cycles" if !is_fleet => ("PROMPTOPT_CRASH_CYCLES", number()?.to_string()),
            "--program" | "--optimizer" if is_fleet => {
                bail!("`{option}` is not for `--fleet`, which has all of them")
            }
            "--program" if PROGRAMS.contains(&value.as_str()) => ("PROMPTOPT_CRASH_PROGRAM", value.clone()),
            "--program" => bail!("there is no program `{value}`; there are {}", PROGRAMS.join(", ")),
            "--optimizer" if OPTIMIZERS.contains(&value.as_str()) => {
                ("PROMPTOPT_CRASH_OPTIMIZER", value.clone())
            }
            "--optimizer" => bail!("there is no optimizer `{value}`; there are {}", OPTIMIZERS.join(", ")),
            unknown => bail!("there is no option `{unknown}`: `cargo xtask crash --help` lists them"),
        });
    }
    let tests: &[&str] = match is_fleet {
        true => &[
            "fleet::same::all_outcomes_with_workers_are_those_of_one_process",
            "fleet::faults::fleet_faults",
        ],
        false => &["crash_cycles"],
    };
    for test in tests {
        let mut crash = shell::cargo();
        crash.current_dir(shell::root()?).envs(variables.iter().cloned());
        crash.args(["test", "--quiet", "-p", "promptopt-cli", "--test", "resume"]);
        if is_fleet {
            crash.args(["--features", "fleet"]).env("PROMPTOPT_REQUIRE_NATS", "1");
        }
        shell::run(crash.args(["--", "--exact", test, "--ignored", "--nocapture"]))?;
    }
    Ok(())
}
