//! Builds the benchmark in release and runs it, and counts the instructions of the hot path.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::demo::MODEL;
use crate::{shell, tools};

/// The help of the command.
pub(crate) const HELP: &str = "\
Measures promptopt, prints a table for each part and writes target/bench/PART.json.

usage: cargo xtask bench [PART...] [--quick] [--out FOLDER]
       cargo xtask bench --guard [--write]

parts:
  overhead       CPU time of a rollout apart from the model
  concurrency    rollouts a second against a server with latency, as a share of what the latency allows
  critical-path  wall time of whole optimizer runs over the chain of calls that wait for each other
  serve          what a service pays: many requests at once, a call beside bare HTTP, memory over many calls
  gateway        what the gateway costs a program that is not ours: CPU time a call, and the share of what the
                 latency allows
  fleet          how far a fleet goes: slots kept busy, what a rollout costs its coordinator, two cores, and a simulation
                 of 1,000 workers; needs a nats-server on the path; only where it is named
  memory         peak resident memory
  scaling        how cost grows with examples, candidates and predictors; draws docs/scaling.svg
  search         sealed-test score for calls on simulated tasks; with --peers beside DSPy
  probe          how often the probe for headroom is right on simulated tasks, and what it takes
  model          the embedded model on two real tasks; with --peers beside DSPy. It builds the model's engine,
                 which takes a C++ compiler with make, Python 3 with pip, and some minutes
  real           real tasks on real models, beside DSPy: takes hours, can be stopped, and goes on where it was;
                 only where it is named
  tools          function calling by rows and checkers of the Berkeley leaderboard, from PyPI, with a simulated
                 caller; only where it is named
  soak           memory and files of runs of two million calls, with resume and report; only where it is named

options:
  --quick        smaller sizes, no peers, no embedded model: under five minutes
  --peers        search: install DSPy in a scratch environment and run it against the same server
  --bridge       search: run our optimizers on DSPy's own program as well, through the gateway
  --landscape X  search: this simulated task alone
  --seeds A-B    search: seeds A to B instead of those of the report
  --plot FILE    search: draw the scores as SVG
  --models, --tasks, --methods X,Y; --sizes TRAIN,SELECTION,TEST; --calls N; --max-minutes N
                 real: this portion alone; `embedded`, `embedded+writer` and `writer` are the models
  --docs FOLDER  real: measure nothing, and write the tables of what is there into the pages in FOLDER
  --tasks X,Y    tools: only these of accepted, refused, instructions and descriptions
  --out FOLDER   where the JSON goes (default: target/bench)
  --guard        count the instructions of a rollout with valgrind, and fail if they are more than 10 %
                 above bench/instructions.json; without valgrind it prints a message and succeeds
  --write        with --guard: write the counts to bench/instructions.json
";

/// The parts that do not need the embedded model.
const PARTS: [&str; 13] = [
    "overhead",
    "concurrency",
    "critical-path",
    "serve",
    "gateway",
    "fleet",
    "memory",
    "scaling",
    "search",
    "harm",
    "probe",
    "tools",
    "soak",
];

/// The file of the counts that new ones are compared with.
const COUNTS: &str = "bench/instructions.json";
/// The highest ratio of a count to the one in the file that is accepted.
const MOST: f64 = 1.1;
/// Rollouts of the two runs whose difference is counted, so that starting counts for nothing.
const ROLLOUTS: (u64, u64) = (500, 2500);
/// Name of a case, and how many demos its prompt has.
const CASES: [(&str, u64); 2] = [("no demos", 0), ("four demos", 4)];

/// Runs the benchmark or the guard with `arguments`.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--guard") {
        return guard(arguments.iter().any(|argument| argument == "--write"));
    }
    let mut cargo = shell::cargo();
    cargo.current_dir(shell::root()?).args(["run", "--locked", "--release", "--quiet"]);
    cargo.args(["--package", "promptopt-bench", "--bin", "promptopt-bench"]);
    if has_model(arguments) {
        tools::check_python()?;
        let environment = tools::build_environment()?;
        let mut pull = shell::cargo();
        pull.current_dir(shell::root()?).args(["run", "--locked", "--release", "--quiet"]);
        pull.args(["--package", "promptopt-cli", "--bin", "promptopt", "--", "model", "pull", MODEL]);
        shell::run(&mut pull)?;
        cargo.args(["--features", "local"]).envs(environment);
    }
    if arguments.iter().any(|argument| argument == "soak" || argument == "real") {
        let mut command = shell::cargo();
        command.current_dir(shell::root()?).args(["build", "--locked", "--release", "--quiet"]);
        shell::run(command.args(["--package", "promptopt-cli", "--bin", "promptopt"]))?;
    }
    shell::run(cargo.arg("--").args(arguments))
}

/// Whether the part that takes the embedded model is among those to be measured.
fn has_model(arguments: &[String]) -> bool {
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    let others = PARTS.iter().any(|part| has(part));
    let help = has("--help") || has("-h");
    !help && !has("--quick") && !has("--docs") && (has("model") || !others)
}

/// Counts the instructions of a rollout and compares them with those in the file.
fn guard(write: bool) -> Result<()> {
    if !shell::answers("valgrind", &["--version"]) {
        shell::say("valgrind is missing, so instructions are not counted: apt-get install valgrind\n");
        return Ok(());
    }
    let root = shell::root()?;
    let mut cargo = shell::cargo();
    cargo.current_dir(&root).args(["build", "--locked", "--release", "--package", "promptopt-bench"]);
    shell::run(cargo.args(["--no-default-features", "--bin", "hot-path"]))?;
    let path = root.join(COUNTS);
    let kept = if write { String::from("{}") } else { fs::read_to_string(&path).context(COUNTS)? };
    let kept: serde_json::Value = serde_json::from_str(&kept).context(COUNTS)?;
    let mut counts = serde_json::Map::new();
    let mut grown = Vec::new();
    for (name, demos) in CASES {
        let (few, many) = ROLLOUTS;
        let count = (instructions(many, demos)? - instructions(few, demos)?) / (many - few);
        let before = kept.get(name).and_then(serde_json::Value::as_u64);
        let ratio = before.map(|before| count as f64 / before as f64);
        let against =
            ratio.map(|ratio| format!(", {ratio:.3} times the count in {COUNTS}")).unwrap_or_default();
        shell::say(&format!("{name}: {count} instructions a rollout{against}\n"));
        grown.extend(ratio.filter(|ratio| *ratio > MOST).map(|_| name));
        counts.insert(name.to_owned(), count.into());
    }
    if write {
        fs::write(&path, serde_json::to_string_pretty(&counts)? + "\n").context(COUNTS)?;
    }
    if !grown.is_empty() {
        bail!(
            "a rollout takes more than {MOST} times the instructions in {COUNTS} with {}; look for the cause with \
             `valgrind --tool=callgrind target/release/hot-path 5000`, or accept it with `cargo xtask bench --guard \
             --write`",
            grown.join(" and ")
        );
    }
    Ok(())
}

/// The instructions of a run of the hot path, as callgrind counts them.
fn instructions(rollouts: u64, demos: u64) -> Result<u64> {
    let program = shell::target_dir()?.join("release/hot-path");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = valgrind.arg(&program).args([rollouts.to_string(), demos.to_string()]).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`{}` failed: {text}", shell::shown(&valgrind));
    }
    collected(&text).with_context(|| format!("valgrind printed no count: {text}"))
}

/// The count in what callgrind says: `==1== Collected : 123`.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_built_where_its_part_is_measured() {
        let asked = |line: &str| has_model(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert!(asked("") && asked("model --peers") && asked("search model") && asked("real --seeds 1-1"));
        assert!(!asked("real --docs docs") && !asked("real --quick") && !asked("harm") && !asked("tools"));
        assert!(!asked("--quick") && !asked("search --peers") && !asked("--help") && !asked("soak"));
    }

    #[test]
    fn the_count_is_read_from_what_callgrind_says() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 21629497\n==7==\n"), Some(21_629_497));
        assert_eq!(collected("==7== Command: hot-path"), None);
    }
}
