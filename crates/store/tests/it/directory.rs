//! The run directory.

use std::fs;
use std::path::Path;

use promptopt_core::data::ContentHash;
use promptopt_store::{Journal, Manifest, Redactor, RunDirectory, StoreError};
use serde_json::{Value, json};

use crate::support::{answer, block_on, key, manifest, request};

fn create(path: &Path) -> Result<RunDirectory, StoreError> {
    RunDirectory::create(path, &manifest(1), Redactor::default())
}

fn open(path: &Path) -> Result<RunDirectory, StoreError> {
    RunDirectory::open(path, Redactor::default())
}

#[test]
fn a_run_is_started_once_and_resumed_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/run");
    let run = create(&path).unwrap();
    assert_eq!((run.path(), run.manifest()), (path.as_path(), &manifest(1)));
    assert_eq!(Manifest::read(&path).unwrap(), manifest(1));
    drop(run);
    let error = create(&path).err().unwrap();
    assert!(matches!(error, StoreError::RunExists { .. }) && error.to_string().contains("resume"), "{error}");
    let run = open(&path).unwrap();
    assert_eq!(run.manifest(), &manifest(1));
    run.check(&manifest(1)).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["events.jsonl", "journal.redb", "run.json", "run.lock"]);
}

#[cfg(unix)]
#[test]
fn a_run_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    // A directory that is there and empty may be used; then it is made private.
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let run = create(&path).unwrap();
    run.events().append(&json!({"event": "any"})).unwrap();
    run.write_result("outcome.json", &json!({})).unwrap();
    run.write_text("report.html", "page").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap().map(Result::unwrap) {
        assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
    }
    drop(run);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    drop(open(&path).unwrap());
    assert_eq!(mode(&path), 0o700);
}

#[test]
fn what_looks_like_a_key_is_in_no_record_and_stays_in_results() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let key = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let mut manifest = manifest(1);
    manifest.configuration = json!({"metric": {"command": ["judge", key]}});
    let run = RunDirectory::create(&path, &manifest, Redactor::default()).unwrap();
    run.events().append(&json!({"event": "warning", "message": key})).unwrap();
    run.write_text("report.html", key).unwrap();
    for name in ["run.json", "events.jsonl", "report.html"] {
        let text = fs::read_to_string(path.join(name)).unwrap();
        assert!(text.contains("[redacted]") && !text.contains(key), "{text}");
    }
    // A program may be about such texts, so its prompts are kept as they are.
    let program = run.write_result("program.json", &json!({"demo": key})).unwrap();
    assert!(fs::read_to_string(program).unwrap().contains(key));
    drop(run);
    open(&path).unwrap().check(&manifest).unwrap();
}

#[test]
fn what_is_no_run_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::NotARun { .. })));
    assert!(matches!(open(&folder.path().join("none")), Err(StoreError::NotARun { .. })));
    assert!(matches!(Manifest::read(folder.path()), Err(StoreError::NotARun { .. })));
    fs::write(folder.path().join("thesis.tex"), "years of work").unwrap();
    let error = create(folder.path()).err().unwrap();
    assert!(matches!(&error, StoreError::Foreign { found, .. } if found == "thesis.tex"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_interrupted_start_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::create(folder.path().join("journal.redb")).unwrap());
    fs::write(folder.path().join("run.lock"), "").unwrap();
    fs::write(folder.path().join(".promptopt-temporary-abc"), "half").unwrap();
    drop(create(folder.path()).unwrap());
    assert!(!folder.path().join(".promptopt-temporary-abc").exists());

    // A journal with replies is another matter: somebody took the manifest away.
    let run = open(folder.path()).unwrap();
    block_on(run.journal().put(&key("a"), answer(&request("a")))).unwrap();
    drop(run);
    fs::remove_file(folder.path().join("run.json")).unwrap();
    let error = create(folder.path()).err().unwrap();
    assert!(matches!(&error, StoreError::Foreign { found, .. } if found == "journal.redb"), "{error}");
    assert_eq!(Journal::open(folder.path().join("journal.redb")).unwrap().replies_at_open(), 1);
}

#[test]
fn another_configuration_is_refused_with_all_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(folder.path()).unwrap();
    let mut later = manifest(1);
    later.created_at = "later".into();
    run.check(&later).unwrap();
    let mut other = manifest(2);
    other.configuration["optimizer"]["num_trials"] = json!(30);
    other.data = ContentHash::of("other data");
    other.promptopt = "9.9.9".into();
    let error = run.check(&other).unwrap_err();
    let StoreError::Changed { differences, .. } = &error else { panic!("{error}") };
    let pointers: Vec<&str> = differences.iter().map(|difference| difference.pointer.as_str()).collect();
    assert_eq!(pointers, ["/promptopt", "/seed", "/data", "/configuration/optimizer/num_trials"]);
    let text = error.to_string();
    assert!(text.contains("/configuration/optimizer/num_trials: 20 -> 30"), "{text}");
    assert!(text.contains("/seed: 1 -> 2"), "{text}");
}

#[test]
fn a_damaged_or_newer_manifest_is_an_error_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()).unwrap());
    let path = folder.path().join("run.json");
    let whole = fs::read_to_string(&path).unwrap();
    let mut newer: Value = serde_json::from_str(&whole).unwrap();
    newer["schema"] = json!(2);
    let deep = "[".repeat(100_000);
    for (content, expected) in [
        ("{", "run.json is damaged"),
        ("{}", "run.json is damaged"),
        (deep.as_str(), "run.json is damaged"),
        (newer.to_string().as_str(), "run.json has format 2"),
    ] {
        fs::write(&path, content).unwrap();
        let error = open(folder.path()).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    // A file of nothing but holes, larger than any manifest.
    fs::File::create(&path).unwrap().set_len(256 * 1024 * 1024 + 1).unwrap();
    let error = open(folder.path()).err().unwrap();
    assert!(
        matches!(error, StoreError::TooLarge { .. }) && error.to_string().contains("run.json"),
        "{error}"
    );
    fs::write(&path, whole).unwrap();
    fs::remove_file(folder.path().join("journal.redb")).unwrap();
    let error = open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("journal.redb"), "{error}");
    assert!(!folder.path().join("journal.redb").exists());
}

#[test]
fn results_are_written_and_read_back_under_plain_names() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(folder.path()).unwrap();
    assert_eq!(run.read_result::<Value>("outcome.json").unwrap(), None);
    let path = run.write_result("outcome.json", &json!({"best": 3})).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"best\": 3\n}\n");
    assert_eq!(run.read_result("outcome.json").unwrap(), Some(json!({"best": 3})));
    run.write_text("report.html", "<p>text</p>").unwrap();
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/x",
        "run.json",
        "RUN.JSON",
        "journal.redb",
        "events.jsonl",
        ".x",
        "a\\b",
    ] {
        let error = run.write_result(name, &json!(1)).unwrap_err();
        assert!(matches!(error, StoreError::ResultName { .. }), "{name}: {error}");
    }
}

#[test]
fn a_torn_event_is_cut_when_the_run_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(folder.path()).unwrap();
    run.events().append(&json!({"event": "a"})).unwrap();
    drop(run);
    let path = folder.path().join("events.jsonl");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"event\": \"tor");
    fs::write(&path, text).unwrap();
    let run = open(folder.path()).unwrap();
    run.events().append(&json!({"event": "b"})).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"event\":\"a\"}\n{\"event\":\"b\"}\n");
}
