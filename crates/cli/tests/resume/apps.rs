//! Programs that are not ours, killed and beside themselves: nothing is paid twice, and the outcome is as if nothing had happened.

use std::path::{Path, PathBuf};
use std::process::Child;

use promptopt_core::money::{Money, Usage};

use super::{OPTIMIZERS, check_concurrency};
use crate::crash::crash;
use crate::harness::{Harness, Reference, Results, kill, promptopt, said, start, wait_until};

/// A process for each row, and processes that stay.
pub(crate) const DOORS: [&str; 2] = [
    "run = [\"python3\", \"-IS\", \"app.py\"]",
    "serve = [\"python3\", \"-IS\", \"app.py\", \"serve\"]\nworkers = 4",
];

/// Options of a run of a second or so.
pub(crate) fn optimizer(kind: &str) -> String {
    format!("[optimizer]\nkind = \"{kind}\"\nconcurrency = 8\nmax_calls = 300")
}

/// The processes that a run started, with those that left their group.
fn processes_of(run: u32) -> Vec<u32> {
    let mark = format!("PROMPTOPT_PROCESS={run}-");
    let is_marked = |place: &PathBuf| {
        let environ = std::fs::read(place.join("environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    };
    let places = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let numbers = places.filter(is_marked).filter_map(|place| place.file_name()?.to_str()?.parse().ok());
    numbers.collect()
}

/// Checks that nothing of a run is left.
fn check_gone(run: u32) {
    wait_until("the end of what the run started", || processes_of(run).is_empty());
}

#[test]
fn a_killed_run_of_a_program_pays_no_call_twice() {
    for (door, kinds) in DOORS.into_iter().zip([&OPTIMIZERS[2..], &OPTIMIZERS[..2]]) {
        let harness = Harness::of_app(door);
        for kind in kinds {
            let figures = crash(&harness, &harness.task("", &optimizer(kind)), 2, 5);
            assert_eq!((figures.repeated, figures.different), (0, 0), "{door} {kind}: {figures:?}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_killed_run_started_ends_with_it() {
    for door in DOORS {
        let harness = Harness::of_app(door);
        let folder = harness.folder(&harness.task("", &optimizer("gepa")));
        // It heeds nobody, and a child of it founds a session of its own.
        let stubborn = "import subprocess, sys, time\n\
                        subprocess.Popen([\"sleep\", \"1000\"], start_new_session=True)\ntime.sleep(1000)\n";
        std::fs::write(folder.path().join("app.py"), stubborn).unwrap();
        let mut child = start(folder.path(), &["optimize", "task.toml", "--run", "route.run"]);
        let run = child.id();
        wait_until("the programs", || processes_of(run).len() > 1);
        kill(&mut child);
        check_gone(run);
    }
}

/// Kills a program of a run each time that it made so many calls more, until the run is over. Says how many were killed.
fn kill_programs(harness: &Harness, child: &mut Child, seed: usize) -> usize {
    let (mut killed, mut next) = (0, 30);
    while child.try_wait().unwrap().is_none() {
        let programs = processes_of(child.id());
        if harness.requests() < next || programs.is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(1));
            continue;
        }
        let program = programs[(seed + killed) % programs.len()];
        let status = std::process::Command::new("kill").args(["-9", &program.to_string()]).status().unwrap();
        killed += usize::from(status.success());
        next = harness.requests() + 40;
    }
    killed
}

/// Kills programs at moments that depend on chance. Says how many.
pub(crate) fn check_killed_programs(harness: &Harness, task: &str, seed: usize) -> usize {
    let reference = Reference::run(harness, task);
    harness.reset();
    let folder = harness.folder(task);
    let mut child = start(folder.path(), &["optimize", "task.toml", "--run", "route.run"]);
    let run = child.id();
    let killed = kill_programs(harness, &mut child, seed);
    assert!(child.wait().unwrap().success());
    assert!(killed > 0);
    // Not even the calls that were under way were made again.
    assert_eq!(harness.by_body(), reference.by_body);
    assert_eq!(Results::of(folder.path()), reference.results);
    check_gone(run);
    killed
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_is_killed_is_asked_again_and_pays_nothing_twice() {
    for door in DOORS {
        let harness = Harness::of_app(door);
        check_killed_programs(&harness, &harness.task("", &optimizer("gepa")), 1);
    }
}

#[test]
fn a_program_that_asks_something_new_after_a_kill_pays_for_that_alone() {
    let harness = Harness::of_app(DOORS[1]);
    let task = harness.task("", &optimizer("copro"));
    let reference = Reference::run(&harness, &task);
    harness.reset();
    let folder = harness.folder(&task);
    let mut child = start(folder.path(), &["optimize", "task.toml", "--run", "route.run"]);
    wait_until("some replies", || harness.requests() > 60);
    kill(&mut child);
    let before = harness.by_body();
    edit(
        folder.path(),
        "\"check \" + first",
        "\"check \" + first + (\" \" if question == \"3 + 4\" else \"\")",
    );
    let output = promptopt(folder.path(), &["resume", "route.run"]);
    assert!(output.status.success(), "{}", said(&output));
    let is_new = |body: &&promptopt_core::data::ContentHash| !reference.by_body.contains_key(*body);
    let after = harness.by_body();
    let new = after.keys().filter(is_new).count();
    assert!(new > 0, "it asked nothing new");
    // Each call that had come back is paid once; those under way in the kill may be paid again.
    let again = before.iter().map(|(body, count)| {
        let most = reference.by_body.get(body).copied().unwrap_or_default().max(*count);
        after[body].saturating_sub(most)
    });
    assert!(again.sum::<usize>() <= crate::harness::CONCURRENCY);
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("app.py");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_program_gives_the_same_at_any_concurrency() {
    for (door, kinds) in DOORS.into_iter().zip([&OPTIMIZERS[1..2], &OPTIMIZERS[..]]) {
        let harness = Harness::of_app(door);
        for kind in kinds {
            check_concurrency(&harness, kind);
        }
    }
}

/// Runs a program under a cap of each kind: what was paid is what the server counted, no cap is overshot, and the run ends with
/// its best.
fn check_caps(harness: &Harness, kind: &str) {
    let prices = "[prices]\nm = { prompt = 1, completion = 2 }";
    for (option, cap) in [("--max-calls", "150"), ("--max-tokens", "9000"), ("--max-cost", "0.01")] {
        let folder = harness
            .folder(&harness.task("max_tokens = 200", &format!("[optimizer]\nkind = \"{kind}\"\n{prices}")));
        harness.reset();
        let output =
            promptopt(folder.path(), &["optimize", "task.toml", "--run", "route.run", "--json", option, cap]);
        let case = format!("{kind} {option} {cap}: {}", said(&output));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        // Dollars for a million tokens, so nanodollars for a thousandth of one.
        let counted = harness.usage();
        let money = Money::from_nanos(1_000 * counted.prompt_tokens + 2_000 * counted.completion_tokens);
        let paid: Usage = serde_json::from_value(told["paid"].clone()).unwrap();
        assert_eq!(
            (paid.calls, paid.total_tokens()),
            (harness.requests() as u64, counted.total_tokens()),
            "{case}"
        );
        let saved = std::fs::read_to_string(folder.path().join("route.optimized.json")).unwrap();
        let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
        let usage = |at: &str| serde_json::from_value::<Usage>(saved.pointer(at).unwrap().clone()).unwrap();
        let search = usage("/outcome/spending/task") + usage("/outcome/spending/prompt");
        let (spent, most) = match option {
            "--max-calls" => (search.calls, cap.parse().unwrap()),
            "--max-tokens" => (search.total_tokens(), cap.parse().unwrap()),
            _ => (search.money.unwrap().as_nanos(), cap.parse::<Money>().unwrap().as_nanos()),
        };
        assert!(spent <= most && saved["outcome"]["stop"] == "budget", "{case}");
        // What a program asks in the same words again is in the books once more, and not paid.
        let booked = (search + usage("/test_usage")).money.unwrap();
        assert!(money <= booked, "{case}");
    }
}

#[test]
fn the_books_of_a_program_are_those_of_its_server() {
    for (door, kind) in DOORS.into_iter().zip(["miprov2", "gepa"]) {
        check_caps(&Harness::of_app(door), kind);
    }
}
