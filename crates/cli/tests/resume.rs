//! Runs that are killed, interrupted, changed and shared: what was paid is never paid again.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lints know tests inside a crate, not files of tests"
)]

#[cfg(feature = "gateway")]
#[path = "resume/apps.rs"]
mod apps;
#[path = "resume/caps.rs"]
mod caps;
#[path = "resume/crash.rs"]
mod crash;
#[cfg(feature = "fleet")]
#[path = "resume/fleet.rs"]
mod fleet;
#[path = "resume/harness.rs"]
mod harness;
#[path = "resume/images.rs"]
mod images;
#[path = "resume/interrupt.rs"]
mod interrupt;
#[path = "resume/relay.rs"]
mod relay;
#[path = "resume/secrets.rs"]
mod secrets;
#[cfg(feature = "mcp")]
#[path = "resume/servers.rs"]
mod servers;

use std::path::Path;
use std::time::Instant;

use crash::{Figures, crash};
use harness::{
    Behaviour, Harness, Reference, Results, check_books, kill, optimizer, promptopt, said, start, wait_until,
};

const OPTIMIZERS: [&str; 3] = ["miprov2", "copro", "gepa"];

/// Kills runs of an optimizer, of our own program or of one behind the gateway.
fn check_crashes(program: &str, kind: &str, cycles: usize, seed: u64) -> Figures {
    let (harness, options) = match program {
        #[cfg(feature = "gateway")]
        "run" => (Harness::of_app(apps::DOORS[0]), apps::optimizer(kind)),
        #[cfg(feature = "gateway")]
        "serve" => (Harness::of_app(apps::DOORS[1]), apps::optimizer(kind)),
        _ => (Harness::start(Behaviour::default()), optimizer(kind)),
    };
    let figures = crash(&harness, &harness.task("", &options), cycles, seed);
    assert_eq!((figures.repeated, figures.different), (0, 0), "{program} {kind}: {figures:?}");
    figures
}

#[test]
fn a_killed_run_of_an_agent_pays_no_call_twice() {
    let harness = Harness::of_agent();
    for kind in OPTIMIZERS {
        let options = format!("[optimizer]\nkind = \"{kind}\"\nconcurrency = 8\nmax_calls = 150");
        let task = harness.task("", &options);
        let figures = crash(&harness, &task, 2, 11);
        assert_eq!((figures.repeated, figures.different), (0, 0), "{kind}: {figures:?}");
    }
}

#[test]
fn the_books_of_an_agent_are_those_of_its_server() {
    let harness = Harness::of_agent();
    let caps = [["--max-calls", "150"], ["--max-tokens", "50000"], ["--max-cost", "0.06"]];
    check_books(&harness, "gepa", &caps);
    for kind in ["miprov2", "copro"] {
        check_books(&harness, kind, &caps[..1]);
    }
}

/// Runs an agent row by row and with many rows at once.
fn check_concurrency(harness: &Harness, kind: &str) {
    let run = |concurrency: usize| {
        let options = format!("[optimizer]\nkind = \"{kind}\"\nmax_calls = 150\nconcurrency = {concurrency}");
        let reference = Reference::run(harness, &harness.task("", &options));
        (reference.by_body, reference.results)
    };
    assert_eq!(run(1), run(32), "{kind}");
}

#[test]
fn an_agent_gives_the_same_at_any_concurrency() {
    let harness = Harness::of_agent();
    for kind in OPTIMIZERS {
        check_concurrency(&harness, kind);
    }
}

#[test]
fn a_killed_run_ends_as_if_nothing_had_happened_and_pays_nothing_twice() {
    for kind in OPTIMIZERS {
        check_crashes("own", kind, 3, 1);
    }
}

/// What `cargo xtask crash` runs; the figures go to standard output.
#[test]
#[ignore = "takes as long as it is told to; `cargo xtask crash` runs it"]
fn crash_cycles() {
    let read = |name: &str| std::env::var(name).ok();
    let number = |name: &str, default: u64| read(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (cycles, seed) = (number("PROMPTOPT_CRASH_CYCLES", 20) as usize, number("PROMPTOPT_CRASH_SEED", 0));
    let program = read("PROMPTOPT_CRASH_PROGRAM").unwrap_or_else(|| "own".to_owned());
    let chosen = read("PROMPTOPT_CRASH_OPTIMIZER").unwrap_or_else(|| "each".to_owned());
    for kind in OPTIMIZERS.into_iter().filter(|kind| chosen == "each" || chosen == *kind) {
        let started = Instant::now();
        let figures = check_crashes(&program, kind, cycles, seed);
        let line = format!(
            "{kind:<8} {} kills in {} runs ({} while results were written, {} left half a file), {:.0} s: {} completed calls, {} \
             under way in a kill and made again, {} completed calls repeated, {} runs with other results\n",
            figures.kills,
            figures.runs,
            figures.while_writing,
            figures.half_written,
            started.elapsed().as_secs_f64(),
            figures.calls,
            figures.lost,
            figures.repeated,
            figures.different
        );
        #[expect(clippy::disallowed_methods, reason = "the harness keeps back what tests print")]
        let mut out = std::io::stdout();
        std::io::Write::write_all(&mut out, line.as_bytes()).unwrap();
    }
}

#[test]
fn one_directory_has_one_process_and_a_finished_run_pays_nothing() {
    let harness = Harness::start(Behaviour::default());
    let task = harness.task("", &optimizer("copro"));
    let folder = harness.folder(&task);
    let mut child = start(folder.path(), &["optimize", "task.toml"]);
    wait_until("the run", || harness.requests() > 3);
    let second = promptopt(folder.path(), &["resume", "route.run"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(said(&second).contains("another process is working in route.run"), "{}", said(&second));
    let taken = promptopt(folder.path(), &["optimize", "task.toml", "--run", "route.run"]);
    assert!(said(&taken).contains("already holds a run"), "{}", said(&taken));
    assert!(child.wait().unwrap().success());

    let results = Results::of(folder.path());
    harness.reset();
    let again = promptopt(folder.path(), &["resume", "route.run"]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!((harness.requests(), Results::of(folder.path())), (0, results));
    // Without a word about where, a new run has a directory of its own.
    assert!(promptopt(folder.path(), &["optimize", "task.toml"]).status.success());
    assert!(folder.path().join("route.2.run/outcome.json").exists());
    promptopt(folder.path(), &["optimize", "task.toml", "--no-run"]);
    assert!(!folder.path().join("route.3.run").exists());
}

#[test]
fn what_changed_since_the_start_is_named_and_nothing_is_asked() {
    let harness = Harness::start(Behaviour::default());
    let task = harness.task("", &optimizer("copro"));
    let folder = harness.folder(&task);
    let at = folder.path();
    let mut child = start(at, &["optimize", "task.toml"]);
    wait_until("some replies", || harness.requests() > 30);
    kill(&mut child);
    let before = harness.requests();
    let refused = |parts: &[&str]| {
        let output = promptopt(at, &["resume", "route.run"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        for part in parts {
            assert!(said(&output).contains(part), "`{part}` is not in {}", said(&output));
        }
    };
    let with = |name: &str, from: &str, to: &str| {
        let good = std::fs::read_to_string(at.join(name)).unwrap();
        std::fs::write(at.join(name), good.replace(from, to)).unwrap();
        good
    };
    let good = with("task.toml", "depth = 2", "depth = 3");
    refused(&["/configuration/task/optimizer/depth: 2 -> 3"]);
    std::fs::write(at.join("task.toml"), &good).unwrap();
    let rows = with("tickets.jsonl", "text number 7\"", "text number seven\"");
    refused(&["/data: "]);
    std::fs::write(at.join("tickets.jsonl"), rows).unwrap();
    let run = with("route.run/run.json", "\"promptopt\": \"", "\"promptopt\": \"9");
    refused(&["/promptopt: "]);
    std::fs::write(at.join("route.run/run.json"), run).unwrap();
    refused_elsewhere(at);
    assert_eq!(harness.requests(), before);

    // The run knows its task, so the file may go.
    std::fs::remove_file(at.join("task.toml")).unwrap();
    let output = promptopt(at, &["resume", "route.run"]);
    assert!(output.status.success(), "{}", said(&output));
}

fn refused_elsewhere(folder: &Path) {
    let output = promptopt(folder, &["resume", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("nowhere holds no run"), "{}", said(&output));
}

#[test]
fn runs_share_replies_through_a_cache() {
    let harness = Harness::start(Behaviour::default());
    let task = harness.task("", &optimizer("copro"));
    let results = |cache: &str, arguments: &[&str]| {
        harness.reset();
        let folder = harness.folder(&format!("{task}{cache}"));
        let output = promptopt(folder.path(), &[&["optimize", "task.toml"], arguments].concat());
        assert!(output.status.success(), "{}", said(&output));
        (std::fs::read_to_string(folder.path().join("route.optimized.json")).unwrap(), harness.requests())
    };
    let shared = tempfile::tempdir().unwrap();
    let path = shared.path().join("cache");
    let path = path.to_str().unwrap();
    let (first, paid) = results("", &["--cache", path]);
    assert!(paid > 50);
    assert_eq!(results("", &["--cache", path, "--cache-mode", "read"]), (first.clone(), 0));
    assert_eq!(results(&format!("[cache]\ndir = \"{path}\""), &["--no-run"]), (first.clone(), 0));
    assert_eq!(results(&format!("[cache]\ndir = \"{path}\"\nmode = \"off\""), &[]), (first.clone(), paid));
    assert_eq!(results("", &[]), (first, paid));
}

#[test]
fn budgets_of_tokens_money_and_time_end_a_run_with_its_best() {
    let harness = Harness::start(Behaviour::default());
    let run = |model: &str, rest: &str, arguments: &[&str]| {
        let folder = harness.folder(&harness.task(model, rest));
        let output = promptopt(folder.path(), &[&["optimize", "task.toml", "--json"], arguments].concat());
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), object, said(&output))
    };
    let (code, _, text) = run("", &optimizer("copro"), &["--max-cost", "1"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("price") && text.contains("prices"), "{text}");
    let prices = format!("{}\n[prices]\nm = {{ prompt = 1, completion = 2 }}", optimizer("gepa"));
    let (code, object, text) = run("max_tokens = 100", &prices, &["--max-cost", "0.02"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!((&object["stop"], &object["exhausted"]), (&"budget".into(), &"money".into()), "{text}");
    let (code, object, text) = run("max_tokens = 100", &optimizer("gepa"), &["--max-tokens", "10000"]);
    assert_eq!((code, &object["stop"]), (Some(0), &"budget".into()), "{text}");
    // Nothing but the cap says how long this goes on.
    let unbounded = "[optimizer]\nkind = \"gepa\"";
    let (code, object, text) = run("max_tokens = 100", unbounded, &["--max-tokens", "10000"]);
    assert_eq!((code, &object["stop"]), (Some(0), &"budget".into()), "{text}");
    let (code, _, text) = run("", &optimizer("copro"), &["--max-time", "soon"]);
    assert_eq!(code, Some(2), "{text}");
}
