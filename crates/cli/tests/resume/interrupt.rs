//! Ctrl-C: what is there afterwards, and how soon.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::harness::{
    Behaviour, Harness, Reference, Results, command, completed, optimizer, promptopt, said, start, wait_until,
};

/// From the signal to the end of the process. Requests under way have one second of it.
const SOON: Duration = Duration::from_secs(2);

/// Tries, of which the quickest counts: a machine may be busy, but not every time.
const TRIES: usize = 3;

fn interrupt(id: u32) {
    Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap();
}

/// A run that was interrupted.
struct Interrupted {
    folder: tempfile::TempDir,
    output: Output,
    took: Duration,
}

impl Interrupted {
    /// Starts a run, and interrupts it once `there` is true of the folder.
    fn when(harness: &Harness, task: &str, there: impl Fn(&Path) -> bool) -> Self {
        let folder = harness.folder(task);
        let child = command(folder.path(), &["optimize", "task.toml"]).spawn().unwrap();
        wait_until("the moment", || there(folder.path()));
        interrupt(child.id());
        let signalled = Instant::now();
        let output = child.wait_with_output().unwrap();
        Self { folder, output, took: signalled.elapsed() }
    }

    /// Checks the code and what it says; a run that goes on comes to the results of one that was left alone.
    fn check(&self, harness: &Harness, reference: &Reference) {
        let text = said(&self.output);
        assert_eq!(self.output.status.code(), Some(130), "{text}");
        assert!(text.contains("`promptopt resume route.run` goes on with it"), "{text}");
        assert_ne!(Results::of(self.folder.path()), reference.results);
        let (asked, kept) = (harness.requests(), completed(self.folder.path()));
        harness.set_latency(Duration::from_millis(5));
        let again = promptopt(self.folder.path(), &["resume", "route.run"]);
        assert!(again.status.success(), "{}", said(&again));
        assert_eq!(Results::of(self.folder.path()), reference.results);
        assert_eq!(harness.requests() - asked, completed(self.folder.path()) - kept, "{}", said(&again));
        assert!(said(&again).contains("calls that were paid before"), "{}", said(&again));
    }

    /// The files that hold a program, each of which must be whole.
    fn programs(&self) -> usize {
        let names = ["route.run/outcome.json", "route.run/program.json", "route.optimized.json"];
        let texts =
            names.iter().filter_map(|name| std::fs::read_to_string(self.folder.path().join(name)).ok());
        let whole = texts.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
        whole.count()
    }
}

#[test]
fn an_interrupted_run_leaves_a_result_and_loses_no_reply() {
    let harness = Harness::start(Behaviour::default());
    let task = harness.task("", &optimizer("gepa"));
    let reference = Reference::run(&harness, &task);
    let asked = reference.by_body.values().sum::<usize>();
    harness.reset();
    harness.set_latency(Duration::from_millis(60));
    let run = Interrupted::when(&harness, &task, |_| harness.requests() > asked / 3);
    assert_eq!(run.programs(), 3);
    run.check(&harness, &reference);
    // What was under way had its second to come back.
    assert_eq!(harness.by_body(), reference.by_body);
}

/// Interrupts runs whose model has stopped answering, so that the whole second is waited for.
fn check_soon(kind: &str, programs: usize, moment: impl Fn(&Harness, &Path) -> bool) {
    let harness = Harness::start(Behaviour::default());
    let task = harness.task("", &optimizer(kind));
    let reference = Reference::run(&harness, &task);
    let mut quickest = Duration::MAX;
    for _ in 0..TRIES {
        harness.reset();
        harness.set_latency(Duration::from_millis(5));
        let run = Interrupted::when(&harness, &task, |folder| {
            if !moment(&harness, folder) {
                return false;
            }
            // What leaves from now on gets no reply; some of it must have left.
            harness.set_latency(Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(100));
            true
        });
        assert_eq!(run.programs(), programs, "{}", said(&run.output));
        quickest = quickest.min(run.took);
        run.check(&harness, &reference);
        if quickest < SOON {
            break;
        }
    }
    assert!(quickest < SOON, "{kind}: {quickest:?} from the signal to the end");
}

#[test]
fn a_run_whose_model_does_not_answer_ends_within_two_seconds() {
    for kind in ["miprov2", "copro", "gepa"] {
        check_soon(kind, 3, |harness, _| harness.requests() > 60);
    }
}

#[test]
fn a_run_that_is_interrupted_before_its_baseline_leaves_no_program() {
    check_soon("copro", 0, |harness, _| harness.requests() >= 3);
}

#[test]
fn a_run_that_is_interrupted_in_its_sealed_test_keeps_the_program() {
    check_soon("gepa", 3, |_, folder| folder.join("route.run/outcome.json").exists());
}

#[test]
fn a_second_interrupt_leaves_at_once_and_loses_nothing_that_was_kept() {
    let harness = Harness::start(Behaviour::default());
    let task = harness.task("", &optimizer("copro"));
    let reference = Reference::run(&harness, &task);
    harness.reset();
    let folder = harness.folder(&task);
    let mut child = start(folder.path(), &["optimize", "task.toml"]);
    wait_until("some replies", || harness.requests() > 60);
    harness.set_latency(Duration::from_secs(30));
    wait_until("a slow request", || harness.requests() > 62);
    interrupt(child.id());
    std::thread::sleep(Duration::from_millis(100));
    interrupt(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    std::thread::sleep(Duration::from_millis(50));
    let (asked, kept) = (harness.requests(), completed(folder.path()));
    harness.set_latency(Duration::from_millis(15));
    let output = promptopt(folder.path(), &["resume", "route.run"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(Results::of(folder.path()), reference.results);
    assert!(kept > 40, "{kept}");
    assert_eq!(harness.requests() - asked, completed(folder.path()) - kept);
}
