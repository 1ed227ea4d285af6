//! A command that the user's task file names: a metric's, or a tool's. No shell.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::environment::environment;
use crate::processes::ProcessGroup;
use crate::secrets::clean_strictly;

/// Seconds that one answer may take where nothing else is said.
const TIMEOUT: f64 = 60.0;

/// How much of standard error is said, in characters,
const SAID: usize = 600;
/// and how much is kept in bytes, so that a key at a cut is still known for one.
const KEPT: usize = 16 * 1024;

/// A program and its arguments, the folder in which it runs, and what it gets of our environment.
#[derive(Debug, Clone)]
pub(crate) struct UserCommand {
    program: String,
    arguments: Vec<String>,
    folder: PathBuf,
    handed_on: Vec<String>,
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
        let timeout = Duration::try_from_secs_f64(timeout.unwrap_or(TIMEOUT)).unwrap_or_default();
        if timeout.is_zero() {
            bail!("`{section}timeout` must be a number of seconds above 0, and not endless");
        }
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Ok(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            folder: folder.to_owned(),
            handed_on: handed_on.to_vec(),
            timeout,
        })
    }

    /// The program and its arguments.
    pub(crate) fn name(&self) -> String {
        [&self.program].into_iter().chain(&self.arguments).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Starts it, with pipes to all three streams.
    pub(crate) fn start(&self) -> anyhow::Result<ProcessGroup> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(environment(std::env::vars_os(), &self.handed_on))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ProcessGroup::start(command)
            .with_context(|| format!("starting `{}`; is the program installed?", self.name()))
    }
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

/// The last of what a program says on standard error.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Vec<u8>);

impl Complaint {
    /// What came now.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }

    /// The end of it, as it may be said: programs may complain of keys that only they know.
    pub(crate) fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let text = clean_strictly(text.trim());
        let surplus = text.chars().count().saturating_sub(SAID);
        text.chars().skip(surplus).collect()
    }

    /// All that a program says until it says no more.
    pub(crate) async fn of(mut stderr: impl tokio::io::AsyncRead + Unpin) -> Self {
        use tokio::io::AsyncReadExt as _;
        let (mut complaint, mut buffer) = (Self::default(), [0; 4096]);
        while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
            complaint.add(buffer.get(..read).unwrap_or_default());
        }
        complaint
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

    #[test]
    fn the_end_of_a_complaint_is_said_without_keys() {
        let mut complaint = Complaint::default();
        let key = format!("sk-{}", "k".repeat(48));
        complaint.add(format!("{}\n{key}{}", "x".repeat(20_000), "y".repeat(0)).as_bytes());
        complaint.add(b"\nthe index is closed\n");
        let said = complaint.said();
        assert!(said.ends_with("the index is closed") && said.chars().count() <= SAID, "{said}");
        assert!(!said.contains("kkkk"), "{said}");
    }
}
