//! The run directory, as the command uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use promptopt_core::{Event, Observer};
use promptopt_store::{EventLog, Journal, Manifest, Redactor, RunDirectory, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::saved::SavedProgram;

/// The optimized program.
pub(crate) const PROGRAM: &str = "program.json";
/// What the run came to.
const OUTCOME: &str = "outcome.json";
/// The report.
pub(crate) const REPORT: &str = "report.html";
/// Everything in a directory in which nothing happened yet.
const NOTHING_YET: [&str; 4] = ["run.json", "journal.redb", "events.jsonl", "run.lock"];

/// The directory of a run.
pub(crate) struct Run {
    directory: RunDirectory,
    /// Whether this process made it.
    new: bool,
}

/// What is read of `outcome.json`.
#[derive(Deserialize)]
struct Ended {
    finished: bool,
}

/// What is written to `outcome.json`.
#[derive(Serialize)]
struct Result<'a> {
    finished: bool,
    outcome: &'a promptopt_core::Outcome,
    test: &'a Option<promptopt_report::TestReport>,
    errors: &'a [promptopt_report::ErrorLine],
}

impl Run {
    /// Starts a run in a directory.
    pub(crate) fn create(path: &Path, manifest: &Manifest, redactor: Redactor) -> anyhow::Result<Self> {
        let directory = RunDirectory::create(path, manifest, redactor)?;
        let run = Self { directory, new: true };
        run.begin()?;
        Ok(run)
    }

    /// Goes on with a run, if that is what the manifest says.
    pub(crate) fn resume(path: &Path, manifest: &Manifest, redactor: Redactor) -> anyhow::Result<Self> {
        let directory = RunDirectory::open(path, redactor)?;
        directory.check(manifest)?;
        let run = Self { directory, new: false };
        run.begin()?;
        Ok(run)
    }

    /// A replay tells everything again, so whoever reads the events begins here.
    fn begin(&self) -> std::result::Result<(), StoreError> {
        self.directory.events().append(&json!({
            "event": if self.new { "run_started" } else { "run_resumed" },
            "promptopt": env!("CARGO_PKG_VERSION"),
            "replies": self.journal().replies_at_open(),
        }))
    }

    pub(crate) fn journal(&self) -> &Journal {
        self.directory.journal()
    }

    /// When the run was started.
    pub(crate) fn created_at(&self) -> &str {
        &self.directory.manifest().created_at
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes program and outcome. `finished` is whether there is nothing left to resume.
    pub(crate) fn write(&self, saved: &SavedProgram, finished: bool) -> anyhow::Result<()> {
        self.directory.write_result(PROGRAM, saved)?;
        let result = Result { finished, outcome: &saved.outcome, test: &saved.test, errors: &saved.errors };
        self.directory.write_result(OUTCOME, &result)?;
        Ok(())
    }

    /// Writes a text beside them.
    pub(crate) fn write_text(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        Ok(self.directory.write_text(name, text)?)
    }

    /// Who tells the events to the log and to whoever looks on.
    pub(crate) fn observer(&self, seen: Arc<dyn Observer>) -> Arc<dyn Observer> {
        Arc::new(Told { log: self.directory.events().clone(), seen })
    }

    /// Takes the directory away again where nothing was paid for, so that a run that could not begin leaves
    /// nothing behind. Says whether there is something to resume.
    pub(crate) async fn give_up(self) -> bool {
        if !self.new || !matches!(self.journal().is_empty().await, Ok(true)) {
            return true;
        }
        let path = self.directory.path().to_owned();
        drop(self);
        // What cannot be removed is no loss, and the error that led here is what matters.
        for name in NOTHING_YET {
            let _ = std::fs::remove_file(path.join(name));
        }
        std::fs::remove_dir(&path).is_err()
    }
}

/// A directory for a new run, beside the program that it will write: the first that is not taken. The second
/// is an earlier run there that could be resumed.
pub(crate) fn choose(program: &Path) -> (PathBuf, Option<PathBuf>) {
    let name = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let stem = name.strip_suffix(".json").unwrap_or(&name);
    let stem = stem.strip_suffix(".optimized").unwrap_or(stem);
    let folder = program.parent().unwrap_or(Path::new(""));
    let mut unfinished = None;
    for number in 1_u64.. {
        let name = if number == 1 { format!("{stem}.run") } else { format!("{stem}.{number}.run") };
        let path = folder.join(name);
        if !path.exists() {
            return (path, unfinished);
        }
        if path.join("run.json").exists() && !is_finished(&path) {
            unfinished = Some(path);
        }
    }
    (folder.join(format!("{stem}.run")), unfinished)
}

/// Whether a run directory holds all that its run came to.
fn is_finished(path: &Path) -> bool {
    let text = std::fs::read_to_string(path.join(OUTCOME)).unwrap_or_default();
    serde_json::from_str::<Ended>(&text).is_ok_and(|ended| ended.finished)
}

/// Tells events to the log of the run and to whoever looks on.
struct Told {
    log: EventLog,
    seen: Arc<dyn Observer>,
}

impl Observer for Told {
    fn observe(&self, event: &Event) {
        // The journal is what counts; a log that cannot be written ends no run.
        if let Err(error) = self.log.append(event) {
            tracing::warn!(%error, "an event is not in the log");
        }
        self.seen.observe(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_taken_gets_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("route.optimized.json");
        let check = |expected: &str, unfinished: Option<&str>| {
            let (path, earlier) = choose(&program);
            assert_eq!(path, folder.path().join(expected));
            assert_eq!(earlier, unfinished.map(|name| folder.path().join(name)));
        };
        check("route.run", None);
        std::fs::create_dir(folder.path().join("route.run")).unwrap();
        check("route.2.run", None);
        std::fs::write(folder.path().join("route.run/run.json"), "{}").unwrap();
        check("route.2.run", Some("route.run"));
        std::fs::write(folder.path().join("route.run/outcome.json"), "{\"finished\": true}").unwrap();
        check("route.2.run", None);
    }
}
