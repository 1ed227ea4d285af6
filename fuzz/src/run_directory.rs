//! The files of a run directory beside the journal.

use std::cell::RefCell;
use std::fs;

use promptopt_core::data::ContentHash;
use promptopt_store::{EventLog, Manifest, Redactor, RunDirectory, StoreError};
use serde_json::json;
use tempfile::TempDir;

thread_local! {
    /// The directory of a run.
    static RUN: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

fn manifest() -> Manifest {
    let (data, program) = (ContentHash::of("data"), ContentHash::of("program"));
    Manifest::new(json!({"task": {"a": [1, 2]}}), data, program, 7, "2026-01-01T00:00:00Z")
}

fn start() -> Option<TempDir> {
    let folder = tempfile::tempdir().expect("a folder");
    drop(RunDirectory::create(folder.path(), &manifest(), Redactor::default()).expect("a run"));
    Some(folder)
}

/// Any bytes as manifest, event log or result are read, or refused with the name of the file and left as
/// they are.
pub fn run_directory(bytes: &[u8]) {
    RUN.with_borrow_mut(|run| {
        if run.is_none() {
            *run = start();
        }
        let folder = run.as_ref().expect("a run").path();
        check_manifest(folder, bytes);
        check_events(folder, bytes);
    });
}

fn check_manifest(folder: &std::path::Path, bytes: &[u8]) {
    let path = folder.join("run.json");
    let good = fs::read(&path).expect("a manifest");
    fs::write(&path, bytes).expect("writing");
    let read = Manifest::read(folder);
    if let Err(error) = &read {
        assert!(error.to_string().contains("run.json"), "{error}");
    }
    // Opening costs a flush to the disk, so what cannot be read is not opened.
    if let Ok(read) = read {
        let run = RunDirectory::open(folder, Redactor::default()).expect("a run with a manifest");
        assert_eq!(run.manifest(), &read);
        if let Err(error) = run.check(&manifest()) {
            assert!(matches!(error, StoreError::Changed { .. }) && error.to_string().len() < 100_000);
        }
        assert!(run.check(&read).is_ok());
    }
    assert_eq!(fs::read(&path).expect("a manifest"), bytes);
    fs::write(&path, good).expect("writing");
}

/// A log keeps its whole lines.
fn check_events(folder: &std::path::Path, bytes: &[u8]) {
    let path = folder.join("events.jsonl");
    fs::write(&path, bytes).expect("writing");
    let log = EventLog::open(&path, Redactor::default()).expect("a log");
    log.append("after").expect("appending");
    let lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let expected = [&bytes[..lines], b"\"after\"\n"].concat();
    assert_eq!(fs::read(&path).expect("a log"), expected);
    fs::write(&path, "").expect("writing");
}
