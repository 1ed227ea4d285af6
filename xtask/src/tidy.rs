//! `cargo xtask tidy`: the rules of this repository that neither the compiler nor clippy checks.

mod arrows;
mod files;
mod finding;
mod links;
mod rust;
mod text;
mod words;

use anyhow::{Result, bail};

use finding::Finding;

use crate::shell;

pub(crate) const HELP: &str = "\
Checks the rules of this repository that neither the compiler nor clippy checks.

usage: cargo xtask tidy

  - every Rust file opens with a `//!` line; over 500 lines is a warning
  - a module with parts is `x.rs` beside the folder `x`, never `x/mod.rs`
  - our crates depend only on crates below them, core depends on no runtime, and the crate `promptopt` has a
    feature for every optimizer
  - no words about how a file was made, no hosts of registries, no absolute paths of one machine
  - no print, debug or to-do macros in libraries, no bare allow, no ignored doc test
  - no trailing white space, a newline at the end, links in Markdown lead somewhere

Files are those that git tracks or would track. Fails if a rule is broken.
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
