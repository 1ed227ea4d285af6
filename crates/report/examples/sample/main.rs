//! Writes a report for each optimizer, and some for special cases: `cargo run -p promptopt-report
//! --example sample -- FOLDER`.
//!
//! MIPROv2 really runs, on a simulated model; the outcomes of the others are made up.

#![expect(clippy::indexing_slicing, reason = "what is made up here has the lengths it has")]

mod copro;
mod gepa;
mod hostile;
mod made_up;
mod real;

use std::path::PathBuf;

use anyhow::Context as _;
use promptopt_report::Report;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mipro = real::report().await?;
    let mut outcome = mipro.outcome.clone();
    (outcome.best, outcome.selected, outcome.comparison) = (0, mipro.outcome.baseline, None);
    let mut nothing_won = mipro.clone();
    nothing_won.outcome = outcome;
    nothing_won.prompts_after = mipro.prompts_before.clone();
    let mut untested = gepa::report(6)?;
    untested.test = None;
    let mut agent = gepa::report(6)?;
    for row in agent.test.iter_mut().flat_map(|test| &mut test.examples) {
        row.steps_before = made_up::steps("other");
        row.steps_after = made_up::steps("shipping");
    }
    let reports = [
        ("agent", agent),
        ("miprov2", mipro),
        ("gepa", gepa::report(24)?),
        ("gepa-200", gepa::report(200)?),
        ("copro", copro::report()?),
        ("nothing-won", nothing_won),
        ("no-test", untested),
        ("empty", Report::default()),
        ("hostile", hostile::report("http://127.0.0.1:9")),
    ];
    for (name, report) in reports {
        report.write(folder.join(format!("{name}.html")))?;
        report.write_json(folder.join(format!("{name}.json")))?;
    }
    Ok(())
}
