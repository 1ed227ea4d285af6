//! Parts that run in a process of their own: servers, so that they share nothing with what is measured, and
//! what memory is measured of.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{fleet, gateway_program, memory, server};

/// The first argument of a child.
const FLAG: &str = "child";

/// A child that is under way. It ends when this is dropped.
pub(crate) struct Running {
    process: Child,
    input: Option<ChildStdin>,
    /// The first line that it printed.
    pub(crate) line: String,
}

/// Starts this program as a child in a role, and waits for its first line.
pub(crate) fn start(role: &str, arguments: &[String]) -> Result<Running> {
    let mut process = Command::new(std::env::current_exe()?)
        .arg(FLAG)
        .arg(role)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting the child `{role}`"))?;
    let input = process.stdin.take();
    let output = process.stdout.take().context("the child has no standard output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let line = line.trim().to_owned();
    if line.is_empty() {
        let status = process.wait()?;
        bail!("the child `{role}` ended without a word: {status}");
    }
    Ok(Running { process, input, line })
}

impl Drop for Running {
    fn drop(&mut self) {
        // A child ends when its standard input does.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

/// Plays the role of a child, if the arguments say so.
pub(crate) fn play(arguments: &[String]) -> Option<Result<()>> {
    match arguments {
        [flag, role, rest @ ..] if flag == FLAG => Some(match role.as_str() {
            "server" => server::serve(rest),
            "program" => gateway_program::answer(rest),
            "fleet" => fleet::work(rest),
            role => memory::child(role, rest),
        }),
        _ => None,
    }
}

/// Prints the line that the parent waits for.
pub(crate) fn answer(line: &str) {
    crate::table::say(line);
}

/// Waits until the parent closes standard input.
pub(crate) fn wait_for_parent() {
    let mut text = String::new();
    while std::io::stdin().read_line(&mut text).is_ok_and(|read| read > 0) {}
}
