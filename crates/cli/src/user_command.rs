//! A command that the user's task file names: a metric's, or a tool's. No shell.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use promptopt_process::{CommandLine, ProcessGroup};

/// Seconds that one answer may take where nothing else is said.
const TIMEOUT: f64 = 60.0;

/// A command, and how long it may take.
#[derive(Debug, Clone)]
pub(crate) struct UserCommand {
    pub(crate) line: CommandLine,
    /// How long one answer may take.
    pub(crate) timeout: Duration,
}

impl UserCommand {
    /// `section` is where the keys `command` and `timeout` stand, with a full stop behind it. `handed_on` names the
    /// variables that the program gets besides the usual ones.
    pub(crate) fn new(
        section: &str,
        command: &[String],
        folder: &Path,
        timeout: Option<f64>,
        handed_on: &[String],
    ) -> anyhow::Result<Self> {
        let Some((program, arguments)) =
            command.split_first().filter(|(program, _)| !program.trim().is_empty())
        else {
            bail!(
                "`{section}command` is empty: give the program and its arguments, such as [\"python3\", \"script.py\"]"
            );
        };
        let timeout = checked_timeout(section, timeout.unwrap_or(TIMEOUT))?;
        let line = CommandLine::new(program, arguments.iter().cloned());
        Ok(Self { line: line.in_folder(folder).handing_on(handed_on.iter().cloned()), timeout })
    }

    /// The program and its arguments.
    pub(crate) fn name(&self) -> String {
        self.line.to_string()
    }

    /// Starts it, with pipes to all three streams.
    pub(crate) fn start(&self) -> anyhow::Result<ProcessGroup> {
        self.line.start().with_context(|| format!("starting `{}`; is the program installed?", self.line))
    }
}

/// How long something may take; `section` is as in [`UserCommand::new`].
pub(crate) fn checked_timeout(section: &str, seconds: f64) -> anyhow::Result<Duration> {
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    if timeout.is_zero() {
        bail!("`{section}timeout` must be a number of seconds above 0, and not endless");
    }
    Ok(timeout)
}

/// Checks that variables which are handed on are set; `section` is as in [`UserCommand::new`].
pub(crate) fn check_variables(section: &str, handed_on: &[String]) -> anyhow::Result<()> {
    match handed_on.iter().find(|name| std::env::var_os(name).is_none()) {
        Some(missing) => {
            bail!("`{section}env` names the variable {missing}, which is not set: set it, or leave it out")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_work_says_what_to_do() {
        let new = |command: &[&str], timeout: Option<f64>| {
            let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
            UserCommand::new("metric.", &command, Path::new(""), timeout, &[])
        };
        let refused = |command: &[&str], timeout: Option<f64>, words: &str| {
            let error = new(command, timeout).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(&[], None, "`metric.command` is empty");
        refused(&[" "], None, "`metric.command` is empty");
        refused(&["true"], Some(0.0), "`metric.timeout` must be a number of seconds above 0");
        refused(&["true"], Some(f64::INFINITY), "and not endless");
        assert_eq!(new(&["sh", "-c", "x"], None).unwrap().name(), "sh -c x");
        let missing = check_variables("metric.", &["NO_SUCH_VARIABLE".to_owned()]).unwrap_err().to_string();
        assert!(
            missing.contains("`metric.env` names the variable NO_SUCH_VARIABLE, which is not set"),
            "{missing}"
        );
    }
}
