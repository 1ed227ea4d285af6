//! A program with its arguments.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::environment::environment;
use crate::group::ProcessGroup;
use crate::strays;

/// A program and its arguments, the folder in which it runs, and what it gets of our environment.
#[derive(Debug, Clone)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
    folder: PathBuf,
    handed_on: Vec<String>,
    variables: Vec<(String, String)>,
    ends_strays: bool,
}

impl CommandLine {
    /// A program with its arguments, run in the current folder.
    pub fn new(program: impl Into<String>, arguments: impl IntoIterator<Item = String>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().collect(),
            folder: PathBuf::from("."),
            handed_on: Vec::new(),
            variables: Vec::new(),
            ends_strays: false,
        }
    }

    /// The same in another folder. An empty path is the current one.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        if folder.as_os_str().is_empty() {
            self.folder = PathBuf::from(".");
        }
        self
    }

    /// The same with environment variables that it gets besides the usual ones, by their names.
    #[must_use]
    pub fn handing_on(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.handed_on.extend(names);
        self
    }

    /// The same with variables of its own. They go before those that are handed on.
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// The same, and with it end those that it started and that left its group, such as daemons. They are known by a variable
    /// of their environment, and only on Linux; one that began without that variable stays.
    #[must_use]
    pub fn ending_strays(mut self) -> Self {
        self.ends_strays = true;
        self
    }

    /// The same with values in the places of its arguments that are written `{name}`; a place without a value stays.
    #[must_use]
    pub fn filling(mut self, value: impl Fn(&str) -> Option<String>) -> Self {
        for argument in &mut self.arguments {
            let mut filled = String::new();
            let mut rest = argument.as_str();
            while let Some((before, (name, behind))) =
                rest.split_once('{').and_then(|(before, tail)| Some((before, tail.split_once('}')?)))
            {
                filled.push_str(before);
                filled.push_str(&value(name).unwrap_or_else(|| format!("{{{name}}}")));
                rest = behind;
            }
            filled.push_str(rest);
            *argument = filled;
        }
        self
    }

    /// The names of the variables that it gets besides the usual ones.
    pub fn handed_on(&self) -> &[String] {
        &self.handed_on
    }

    /// Starts it, with pipes to all three streams.
    ///
    /// # Errors
    ///
    /// Where the program cannot be started: it is not installed, or the folder does not exist.
    pub fn start(&self) -> io::Result<ProcessGroup> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(environment(std::env::vars_os(), &self.handed_on))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ProcessGroup::start(command, self.ends_strays.then(strays::mark))
    }
}

/// The program and its arguments.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}
