//! A run of millions of calls through the command: its memory, its files, its resume and its report.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::options::Options;
use crate::table::{Goal, Row};

/// Rows of the task, and the most calls of the optimization: in full, and where `--quick` is given.
const FULL: (usize, u64) = (20_000, 2_000_000);
const QUICK: (usize, u64) = (2_000, 20_000);
/// The most memory, in MiB, and the largest program, in MB.
const MOST_MEMORY: f64 = 300.0;
const LARGEST_PROGRAM: f64 = 20.0;

/// Full evaluations of many candidates, minibatches of still more, and an evolution.
const OPTIMIZERS: [(&str, &str); 3] = [
    ("random_search", "num_sets = 600\nmax_labeled_demos = 2\nmax_bootstrapped_demos = 1"),
    ("miprov2", "num_candidates = 60\nnum_trials = 100000"),
    ("gepa", ""),
];

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let (rows, calls) = if options.quick { QUICK } else { FULL };
    let mut measured = Vec::new();
    for (optimizer, own) in OPTIMIZERS {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        write_task(
            folder.path(),
            rows,
            &format!("kind = \"{optimizer}\"\nmax_calls = {calls}\nconcurrency = 256\n{own}"),
        )?;
        let optimized =
            peak(folder.path(), &["optimize", "task.toml", "--run", "soak.run", "--out", "program.json"])?;
        let program = megabytes(&at("program.json"))?;
        let made = calls_of(&at("program.json"))?;
        let journal = megabytes(&at("soak.run/journal.redb"))?;
        // What a run that was killed before its end has to do again.
        fs::remove_file(at("soak.run/outcome.json")).context("the run has no outcome")?;
        let resumed = peak(folder.path(), &["resume", "soak.run"])?;
        let reported = peak(folder.path(), &["report", "soak.run"])?;
        let case = |what: &str| format!("{optimizer}, {rows} rows, {made} calls: {what}");
        let memory = |what: &str, mib: f64| {
            Row::new("soak", case(what), "MiB peak RSS", mib).goal(Goal::AtMost(MOST_MEMORY))
        };
        measured.extend([
            memory("optimize", optimized),
            memory("resume", resumed),
            memory("report", reported),
            Row::new("soak", case("program"), "MB", program).goal(Goal::AtMost(LARGEST_PROGRAM)),
            Row::new("soak", case("journal"), "MB", journal),
        ]);
    }
    Ok(measured)
}

/// A task of so many rows of support tickets for the simulated model.
fn write_task(folder: &Path, rows: usize, optimizer: &str) -> Result<()> {
    let task = format!(
        "[program]\nname = \"route\"\nsignature = \"ticket -> department: enum[billing, shipping, sales]\"\n\
         instruction = \"Route the ticket.\"\n[model]\nname = \"sim\"\n[data]\npath = \"tickets.jsonl\"\n\
         [optimizer]\n{optimizer}\n"
    );
    fs::write(folder.join("task.toml"), task)?;
    let mut file = BufWriter::new(File::create(folder.join("tickets.jsonl"))?);
    for number in 0..rows {
        let department = ["billing", "shipping", "sales"].get(number % 3);
        let ticket = format!("Ticket {number}: the order that was promised for last week has not come yet.");
        writeln!(file, "{}", json!({"ticket": ticket, "department": department}))?;
    }
    Ok(file.flush()?)
}

/// Runs the command beside this program to its end, and gives the most memory that it held, in MiB.
fn peak(folder: &Path, arguments: &[&str]) -> Result<f64> {
    let command = std::env::current_exe()?.with_file_name("promptopt");
    let said = folder.join("said.txt");
    let mut child = Command::new(&command)
        .args(arguments)
        .arg("--quiet")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said)?)
        .spawn()
        .with_context(|| format!("starting {}; `cargo xtask bench soak` builds it", command.display()))?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0.0_f64;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(peak > 0.0, "no memory was seen in /proc/PID/status, which is there on Linux");
    let said = fs::read_to_string(said)?;
    ensure!(ended.success(), "`promptopt {}` failed: {said}", arguments.join(" "));
    Ok(peak)
}

fn megabytes(path: &Path) -> Result<f64> {
    let bytes = fs::metadata(path).with_context(|| format!("{} is not there", path.display()))?.len();
    Ok(bytes as f64 / 1e6)
}

/// The calls that an optimization made.
fn calls_of(program: &Path) -> Result<u64> {
    let program: serde_json::Value = serde_json::from_slice(&fs::read(program)?)?;
    let calls = |role: &str| program.pointer(&format!("/outcome/spending/{role}/calls"))?.as_u64();
    Ok(calls("task").unwrap_or_default() + calls("prompt").unwrap_or_default())
}
