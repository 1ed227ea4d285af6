//! `cargo xtask comparison`: the three optimizers side by side on the embedded model, without a key.

use anyhow::Result;

use crate::demo::{MODEL, built, step};
use crate::{shell, tools};

pub(crate) const HELP: &str = "\
Builds the example `comparison` with the embedded language model and runs it. Needs no key.

usage: cargo xtask comparison [arguments of the example...]

as in `cargo xtask comparison --max-calls 500`. It takes Rust, a C++ compiler with make, and Python 3
with pip, and some minutes; `cargo run -p promptopt-examples --bin comparison -- --lm sim` takes seconds.
";

pub(crate) fn main(arguments: &[String]) -> Result<()> {
    tools::check_python()?;
    let environment = tools::build_environment()?;

    let mut build = shell::cargo();
    build.args(["build", "--release", "-p", "promptopt-cli", "-p", "promptopt-examples"]);
    build.args(["--features", "promptopt-cli/local,promptopt-examples/local"]);
    step("build", "a few minutes the first time: the model's engine is C++", &mut build, &environment)?;

    let mut pull = built("promptopt")?;
    pull.args(["model", "pull", MODEL]);
    step("the model", "fetched once, checked against its checksum", &mut pull, &[])?;

    let mut comparison = built("comparison")?;
    comparison.args(arguments.iter().filter(|argument| *argument != "--"));
    step("comparison", "COPRO, MIPROv2 and GEPA at the same budget", &mut comparison, &[])
}
