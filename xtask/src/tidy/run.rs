//! Gathers the files, runs every check and prints what they found.

use anyhow::{Result, bail};

use super::{arrows, files, finding::Finding, links, rust, text, words};
use crate::shell;

pub(crate) const HELP: &str = "\
Checks the rules of the house that neither the compiler nor clippy checks.

usage: cargo xtask tidy

  - every Rust file opens with a `//!` line; over 500 lines is a warning
  - dependency arrows between our crates only point down, and core stays small
  - no words about how a file was made, no registry hosts, no paths of one machine
  - no print, debug or to-do macros in libraries, no bare allow, no ignored doc test
  - no trailing white space, a newline at the end, links in Markdown lead somewhere

Files are those that git tracks or would track. Ends with 1 where a rule is broken.
";

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("tidy takes no argument `{argument}`");
    }
    let root = shell::root()?;
    let files = files::text_files(&root)?;
    let mut findings = arrows::check(&root)?;
    let mut warnings = Vec::new();
    for file in &files {
        findings.extend(words::check(file));
        findings.extend(text::check(file));
        if file.has_extension("rs") {
            findings.extend(rust::check(file));
            warnings.extend(rust::too_long(file));
        }
        if file.has_extension("md") {
            findings.extend(rust::ignored_fences(file));
            findings.extend(links::check(file, |target| root.join(target).exists()));
        }
    }
    report(files.len(), &warnings, findings)
}

fn report(count: usize, warnings: &[Finding], mut findings: Vec<Finding>) -> Result<()> {
    for warning in warnings {
        shell::say(&format!("warning: {warning}\n"));
    }
    findings.sort();
    for finding in &findings {
        shell::say(&format!("error: {finding}\n"));
    }
    if findings.is_empty() {
        shell::say(&format!("tidy: {count} files checked, nothing to fix\n"));
        return Ok(());
    }
    bail!("tidy: {} to fix in {count} files checked", findings.len())
}
