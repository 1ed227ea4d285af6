//! Several processes, and a disk that is full.

use std::io::BufRead as _;
use std::sync::Arc;

use promptopt_store::{Cache, CacheMode, Journal, Redactor, RunDirectory, StoreError, StoredModel};

use crate::child::start;
use crate::support::{Echo, ask, block_on, manifest, request};

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    drop(RunDirectory::create(folder.path(), &manifest(1), Redactor::default()).unwrap());
    let mut holder = start("hold", folder.path());
    holder.wait_for("HELD");
    let error = RunDirectory::open(folder.path(), Redactor::default()).err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another process is working in"), "{error}");
    let journal = Journal::open(folder.path().join("journal.redb"));
    assert!(matches!(journal, Err(StoreError::InUse { .. })));
    let created = RunDirectory::create(folder.path(), &manifest(1), Redactor::default());
    assert!(matches!(created, Err(StoreError::RunExists { .. })));
    holder.kill();
    assert!(RunDirectory::open(folder.path(), Redactor::default()).is_ok());
}

#[test]
fn two_processes_share_a_cache_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Arc::new(Echo::default());
    let cache = Cache::open(folder.path(), CacheMode::ReadWrite, 1 << 30).unwrap();
    let model = StoredModel::new(echo.clone(), None, cache);
    let mut child = start("cache", folder.path());
    child.wait_for("READY");
    block_on(async {
        for number in 0..100 {
            ask(&model, &request(format!("parent {number}"))).await.unwrap();
        }
    });
    child.wait_for("DONE");
    assert!(child.child.wait().unwrap().success());
    assert_eq!(echo.calls(), 100);
    block_on(async {
        for number in 0..100 {
            ask(&model, &request(format!("child {number}"))).await.unwrap();
        }
    });
    assert_eq!((echo.calls(), model.stats().cached.calls), (100, 100));
}

#[test]
fn a_cache_survives_the_crash_of_one_of_its_users() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut child = start("cache", folder.path());
        child.wait_for("READY");
        std::thread::sleep(std::time::Duration::from_millis(20));
        child.kill();
    }
    let cache = Cache::open(folder.path(), CacheMode::ReadWrite, 1 << 30).unwrap();
    let model = StoredModel::new(Arc::new(Echo::default()), None, cache);
    block_on(async {
        for number in 0..100 {
            ask(&model, &request(format!("child {number}"))).await.unwrap();
        }
    });
    assert!(model.stats().cached.calls > 0);
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_and_says_what_was_lost() {
    use std::collections::BTreeSet;

    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    drop(RunDirectory::create(&place, &manifest(1), Redactor::default()).unwrap());
    let mut child = crate::child::start_limited("run", &place, 400);
    let (mut calls, mut kept, mut errors) = (0, BTreeSet::new(), Vec::new());
    let mut line = String::new();
    while child.lines.read_line(&mut line).unwrap() > 0 {
        if line.contains("CALL ") {
            calls += 1;
        } else if let Some((_, ack)) = line.trim_end().split_once("ACK ") {
            kept.insert(ack.to_owned());
        } else if let Some((_, error)) = line.split_once("ERROR ") {
            errors.push(error.to_owned());
        }
        line.clear();
    }
    child.child.wait().unwrap();
    let lost = errors.iter().filter(|error| error.contains("paid for could not be kept")).count();
    let refused = errors.iter().filter(|error| error.contains("no call was made")).count();
    assert!(lost > 0 && refused > 0, "{errors:?}");
    assert_eq!(lost + refused, errors.len());
    assert_eq!(calls, kept.len() + lost, "what was paid is kept, or said to be lost");
    assert!(errors.iter().all(|error| error.contains("fatal=true") && error.contains("journal.redb")));
    let run = RunDirectory::open(&place, Redactor::default()).unwrap();
    assert!(run.journal().replies_at_open() >= kept.len() as u64);
    block_on(async {
        for text in &kept {
            assert!(run.journal().get(&crate::support::key(text)).await.unwrap().is_some(), "{text}");
        }
    });
}
