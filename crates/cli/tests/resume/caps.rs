//! Runs that caps end: what they leave of the sealed test, and what a resumed run still buys.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Behaviour, Harness, completed, kill, promptopt, said, start, wait_until};

/// Rows of the sealed test,
const TEST: u64 = 24;
/// and those of all parts.
const PARTS: &str = "train = 16\nselection = 20\ntest = 24";

/// Nothing but a cap ends one of these soon.
fn large_plan(kind: &str) -> String {
    let options = match kind {
        "miprov2" => "num_candidates = 30\nnum_trials = 300",
        "copro" => "breadth = 30\ndepth = 30",
        "simba" => "max_steps = 100",
        "random_search" => "num_sets = 300",
        _ => "max_metric_calls = 20000",
    };
    format!("{PARTS}\n[optimizer]\nkind = \"{kind}\"\nconcurrency = 8\n{options}")
}

fn outcome(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("route.run/outcome.json")).unwrap()).unwrap()
}

/// How many rows a test has depends on how busy the machine is while it runs. Where the clock is virtual, in the tests of
/// the engine's caps, it has to be whole.
fn has_test(outcome: &Value) -> bool {
    outcome["test"]["optimized"]["n"].as_u64().is_some_and(|rows| rows > 0) && outcome["finished"] == true
}

fn has_whole_test(outcome: &Value) -> bool {
    outcome["test"]["optimized"]["n"] == TEST && outcome["finished"] == true
}

#[test]
fn a_run_that_its_time_ends_has_a_sealed_test() {
    let harness = Harness::start(Behaviour::default());
    // So slow that no search, however short, is over before its time: an evolution needs 340 calls, many of them alone.
    harness.set_latency(Duration::from_millis(100));
    for kind in ["miprov2", "copro", "gepa", "simba", "random_search"] {
        let folder = harness.folder(&harness.task("", &large_plan(kind)));
        let started = Instant::now();
        let output = promptopt(folder.path(), &["optimize", "task.toml", "--max-time", "3"]);
        assert!(output.status.success(), "{kind}: {}", said(&output));
        let outcome = outcome(folder.path());
        assert_eq!(outcome["outcome"]["exhausted"], "wall_time", "{kind}");
        assert!(has_test(&outcome), "{kind}: {}", outcome["test"]);
        // A finished run asks for nothing, and stays as it is.
        assert!(started.elapsed() < Duration::from_secs(30), "{kind}");
        harness.reset();
        let again = promptopt(folder.path(), &["resume", "route.run"]);
        assert!(again.status.success(), "{kind}: {}", said(&again));
        assert_eq!((harness.requests(), self::outcome(folder.path())), (0, outcome), "{kind}");
    }
}

#[test]
fn a_run_that_was_killed_in_its_test_makes_the_test_and_nothing_else() {
    let harness = Harness::start(Behaviour::default());
    let folder = harness.folder(&harness.task("", &large_plan("gepa")));
    let at = folder.path();
    let mut child = start(at, &["optimize", "task.toml", "--max-time", "2"]);
    wait_until("the end of the search", || at.join("route.run/outcome.json").exists());
    // The rest of the test takes longer than the time that is left.
    harness.set_latency(Duration::from_millis(400));
    std::thread::sleep(Duration::from_millis(100));
    kill(&mut child);
    let before: Value = outcome(at);
    assert_eq!(before["finished"], false, "it was killed too late");
    harness.reset();
    let output = promptopt(at, &["resume", "route.run"]);
    assert!(output.status.success(), "{}", said(&output));
    let after = outcome(at);
    assert!(harness.requests() as u64 <= 2 * TEST, "{} requests", harness.requests());
    assert!(has_whole_test(&after), "{}", after["test"]);
    for part in ["candidates", "best", "spending", "trials"] {
        assert_eq!(before["outcome"][part], after["outcome"][part], "{part}");
    }
}

#[test]
fn the_time_of_a_resumed_run_goes_on_from_what_was_spent() {
    let harness = Harness::start(Behaviour::default());
    let folder = harness.folder(&harness.task("", &large_plan("random_search")));
    let at = folder.path();
    let mut spent = Duration::ZERO;
    let whole = Duration::from_secs(6);
    let mut child = start(at, &["optimize", "task.toml", "--max-time", "6"]);
    for _ in 0..2 {
        let started = Instant::now();
        std::thread::sleep(Duration::from_millis(1800));
        kill(&mut child);
        spent += started.elapsed();
        assert!(completed(at) > 50, "nothing was bought yet");
        child = start(at, &["resume", "route.run"]);
    }
    let started = Instant::now();
    assert!(child.wait().unwrap().success());
    // What was not written down in a kill, a little for each process to begin, and the replay.
    assert!(
        spent + started.elapsed() < whole + Duration::from_secs(4),
        "{spent:?} and {:?}",
        started.elapsed()
    );
    assert!(has_test(&outcome(at)));
}

#[test]
fn a_cap_that_cannot_last_is_refused_before_anything_is_asked() {
    let harness = Harness::start(Behaviour::default());
    let prices = "[prices]\nm = { prompt = 1, completion = 2 }";
    let refused = |rest: &str, arguments: &[&str], parts: &[&str]| {
        harness.reset();
        let task = harness.task("max_tokens = 100", &format!("{PARTS}\n{rest}\n{prices}"));
        let folder = harness.folder(&task);
        for command in ["optimize", "estimate"] {
            let output = promptopt(folder.path(), &[&[command, "task.toml"], arguments].concat());
            assert_eq!(output.status.code(), Some(4), "{}", said(&output));
            for part in parts {
                assert!(said(&output).contains(part), "`{part}` is not in {}", said(&output));
            }
        }
        assert_eq!(harness.requests(), 0);
        assert!(!folder.path().join("route.run").exists());
    };
    refused("", &["--max-calls", "19"], &["max_calls", "the 20 selection examples", "at least 20 calls"]);
    refused("", &["--max-tokens", "1500"], &["max_tokens", "at least ", " tokens"]);
    refused("", &["--max-cost", "0.001"], &["max_cost", "at least $0.0"]);
    let judged = "[metric]\nkind = \"judge\"\nfield = \"department\"\nrubric = \"Is it right?\"";
    refused(judged, &["--max-calls", "39"], &["at least 40 calls"]);
    let compared = harness.folder(&harness.task("", PARTS));
    let output = promptopt(compared.path(), &["compare", "task.toml", "--max-calls", "19"]);
    assert_eq!((output.status.code(), harness.requests()), (Some(4), 0), "{}", said(&output));
}

#[test]
fn a_cap_of_calls_that_is_just_enough_is_enough() {
    let harness = Harness::start(Behaviour::default());
    // So slow that no search, however short, is over before its time: an evolution needs 340 calls, many of them alone.
    harness.set_latency(Duration::from_millis(100));
    for kind in ["miprov2", "copro", "gepa", "simba", "random_search"] {
        let options = format!("{PARTS}\n[optimizer]\nkind = \"{kind}\"");
        let folder = harness.folder(&harness.task("", &options));
        let output = promptopt(folder.path(), &["optimize", "task.toml", "--max-calls", "20", "--json"]);
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{kind}: {}", said(&output));
        assert_eq!(
            (&object["baseline"]["n"], &object["spending"]["task"]["calls"]),
            (&20.into(), &20.into())
        );
        assert!(has_whole_test(&outcome(folder.path())), "{kind}");
    }
}

#[test]
fn a_resumed_run_may_be_elsewhere_and_send_its_requests_otherwise() {
    let harness = Harness::start(Behaviour::default());
    let task = harness.task("timeout = 60", "[optimizer]\nkind = \"copro\"\nbreadth = 4\ndepth = 2");
    let whole = harness.folder(&task);
    assert!(promptopt(whole.path(), &["optimize", "task.toml", "--run", "route.run"]).status.success());
    let expected = std::fs::read_to_string(whole.path().join("route.run/outcome.json")).unwrap();

    let folder = harness.folder(&task);
    harness.reset();
    let mut child = start(folder.path(), &["optimize", "task.toml", "--run", "route.run"]);
    wait_until("some replies", || harness.requests() > 30);
    kill(&mut child);
    let bought = completed(folder.path());
    // The project moves, with rows in a folder of their own, and its provider is asked more gently.
    let home = tempfile::tempdir().unwrap();
    let moved = home.path().join("elsewhere");
    std::fs::rename(folder.path(), &moved).unwrap();
    std::fs::create_dir(moved.join("rows")).unwrap();
    std::fs::rename(moved.join("tickets.jsonl"), moved.join("rows/tickets.jsonl")).unwrap();
    let changed = task
        .replace("timeout = 60", "timeout = 90\nmax_retries = 2\nrequests_per_minute = 100000")
        .replace("tickets.jsonl", "rows/tickets.jsonl")
        .replace("breadth = 4", "breadth = 4\nconcurrency = 3");
    let changed =
        format!("{changed}\n[prices]\nm = {{ prompt = 1, completion = 2 }}\n[cache]\ndir = \"cache\"\n");
    std::fs::write(moved.join("task.toml"), &changed).unwrap();
    // What changes outcomes is still named, and nothing else.
    std::fs::write(
        moved.join("task.toml"),
        changed.replace("timeout = 90", "timeout = 90\ntemperature = 0.5"),
    )
    .unwrap();
    let output = promptopt(home.path(), &["resume", "elsewhere/route.run"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("/configuration/task/model/temperature: nothing -> 0.5"),
        "{}",
        said(&output)
    );
    assert!(
        !said(&output).contains("timeout") && !said(&output).contains("concurrency"),
        "{}",
        said(&output)
    );
    std::fs::write(moved.join("task.toml"), &changed).unwrap();
    harness.reset();
    let output = promptopt(home.path(), &["resume", "elsewhere/route.run"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains(&format!("with {bought} replies that were paid before")),
        "{}",
        said(&output)
    );
    // The program is written where the project is now.
    assert!(moved.join("route.optimized.json").exists());
    let without_money = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        for role in ["task", "prompt"] {
            value["outcome"]["spending"][role].as_object_mut().unwrap().remove("money");
        }
        value
    };
    let outcome = std::fs::read_to_string(moved.join("route.run/outcome.json")).unwrap();
    assert_eq!(without_money(&outcome), without_money(&expected));
}
