//! `cargo xtask outside`: crates that are no members of the workspace, as those of users are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell;

pub(crate) const HELP: &str = "\
Builds and runs the crates of `tests/outside` as somebody else would: by path, outside of the workspace, with
the features that they ask for and no others. Prints how many crates each brings, and fails where
`promptopt-statistics` brings more than 20.

usage: cargo xtask outside
";

/// Who depends on which of our crates, and the most crates that come with it where that is promised.
const CRATES: [(&str, Option<usize>); 4] =
    [("whole", None), ("production", None), ("rig", None), ("statistics", Some(20))];

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.first() {
        bail!("`{unknown}` is not known: `cargo xtask outside` takes no arguments");
    }
    let root = shell::root()?;
    for (name, most) in CRATES {
        let folder = root.join("tests/outside").join(name);
        // The versions that the workspace is tested with. Cargo leaves out what the crate does not need.
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).context("copying Cargo.lock")?;
        let manifest = folder.join("Cargo.toml");
        let mut run = shell::cargo();
        run.args(["run", "--quiet", "--manifest-path"]).arg(&manifest);
        shell::run(run.arg("--target-dir").arg(shell::target_dir()?))?;
        let count = dependencies(&manifest)?;
        shell::say(&format!("{name}: {count} crates\n"));
        if let Some(most) = most {
            ensure!(count <= most, "`{name}` brings {count} crates, and {most} are promised");
        }
    }
    Ok(())
}

/// How many crates come with one, its build dependencies included.
fn dependencies(manifest: &Path) -> Result<usize> {
    let mut tree = shell::cargo();
    tree.args(["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--manifest-path"]);
    let listed = shell::output(tree.arg(manifest))?;
    let crates: BTreeSet<&str> = listed.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    Ok(crates.len().saturating_sub(1))
}
