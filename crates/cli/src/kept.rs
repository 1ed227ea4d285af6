//! The run directory, as the command uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use promptopt_core::file::read_text;
use promptopt_core::telemetry::Span;
use promptopt_run::{Event, Observer, StopReason};
use promptopt_store::{EventLog, Journal, Manifest, Redactor, RunDirectory, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exit::Exit;
use crate::recorded;
use crate::report;
use crate::run_clock::{RunClock, Timekeeper};
use crate::saved::{CANDIDATES, LARGEST, SavedProgram};

/// The optimized program.
pub(crate) const PROGRAM: &str = "program.json";
/// What the run came to.
const OUTCOME: &str = "outcome.json";
/// How much time the run took so far.
const CLOCK: &str = "clock.json";
/// The report.
pub(crate) const REPORT: &str = "report.html";
/// The files of a run that nothing else may replace.
pub(crate) const OWN: [&str; 8] =
    ["run.json", "journal.redb", "events.jsonl", "run.lock", OUTCOME, PROGRAM, CLOCK, CANDIDATES];
/// Everything in a directory in which nothing happened yet.
const NOTHING_YET: [&str; 5] = ["run.json", "journal.redb", "events.jsonl", CLOCK, "run.lock"];

/// Where a run is kept.
pub(crate) enum Place {
    Nowhere,
    New(PathBuf),
    Old(PathBuf),
}

impl Place {
    /// The directory.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Nowhere => None,
            Self::New(path) | Self::Old(path) => Some(path),
        }
    }
}

/// The directory of a run, where the run has one. Without one there is nothing to keep, and nothing to resume.
pub(crate) struct Kept(Option<Folder>);

struct Folder {
    directory: RunDirectory,
    /// Whether this process made it.
    new: bool,
}

/// What is read of `outcome.json`.
#[derive(Deserialize)]
struct Finished {
    finished: bool,
}

/// What is written to `outcome.json`.
#[derive(Serialize)]
struct Ended<'a> {
    finished: bool,
    outcome: &'a promptopt_run::Outcome,
    test: &'a Option<promptopt_report::TestReport>,
    errors: &'a [promptopt_report::ErrorLine],
}

impl Kept {
    /// Starts a run in a directory, or goes on with one, if that is what the manifest says.
    pub(crate) fn begin(
        place: &Place,
        manifest: impl FnOnce() -> anyhow::Result<Manifest>,
        redactor: Redactor,
    ) -> anyhow::Result<Self> {
        let folder = match place {
            Place::Nowhere => return Ok(Self(None)),
            Place::New(path) => {
                Folder { directory: RunDirectory::create(path, &manifest()?, redactor)?, new: true }
            }
            Place::Old(path) => {
                let manifest = manifest()?;
                let directory = RunDirectory::open(path, redactor)?;
                directory.check_what_matters(&manifest, recorded::strip)?;
                Folder { directory, new: false }
            }
        };
        folder.begin()?;
        Ok(Self(Some(folder)))
    }

    /// Where replies are kept.
    pub(crate) fn journal(&self) -> Option<Journal> {
        self.0.as_ref().map(|folder| folder.directory.journal().clone())
    }

    /// The clock of a run whose time is limited, and who writes the time down. It goes on from the time spent.
    pub(crate) fn clock(&self) -> (RunClock, Option<Timekeeper>) {
        let Some(Folder { directory, .. }) = &self.0 else {
            return (RunClock::after(Duration::ZERO, 0), None);
        };
        let file = directory.path().join(CLOCK);
        let clock = RunClock::after(RunClock::read(&file), directory.journal().replies_at_open());
        (clock.clone(), Some(Timekeeper::start(clock, file)))
    }

    /// What an earlier process wrote of a run whose search came to its end.
    pub(crate) fn searched(&self) -> anyhow::Result<Option<SavedProgram>> {
        let Some(Folder { directory, new: false }) = &self.0 else { return Ok(None) };
        let saved: Option<SavedProgram> = directory.read_result(PROGRAM)?;
        let goes_on = |stop: &StopReason| matches!(stop, StopReason::Cancelled | StopReason::Provider { .. });
        let Some(mut saved) = saved.filter(|saved| !goes_on(&saved.outcome.stop)) else { return Ok(None) };
        saved.read_candidates(directory.path())?;
        Ok(Some(saved))
    }

    /// Where the run is, and what it knows already, for people.
    pub(crate) fn introduction(&self) -> Option<String> {
        let folder = self.0.as_ref()?;
        let path = folder.directory.path().display();
        Some(match folder.directory.journal().replies_at_open() {
            0 => format!("run: {path}"),
            replies => format!("run: {path}, with {replies} replies that were paid before"),
        })
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|folder| folder.directory.path())
    }

    /// How to go on with the run, at the end of a sentence.
    pub(crate) fn goes_on(&self) -> Option<String> {
        Some(format!("; `promptopt resume {}` goes on with it", self.path()?.display()))
    }

    /// Writes program and outcome. `finished` is whether there is nothing left to resume.
    pub(crate) fn write(&self, saved: &SavedProgram, finished: bool) -> anyhow::Result<()> {
        let Some(Folder { directory, .. }) = &self.0 else { return Ok(()) };
        directory.write_result(PROGRAM, saved)?;
        if !saved.aside.is_empty() {
            directory.write_lines(CANDIDATES, &saved.aside)?;
        }
        let ended = Ended { finished, outcome: &saved.outcome, test: &saved.test, errors: &saved.errors };
        directory.write_result(OUTCOME, &ended)?;
        Ok(())
    }

    /// Writes the report beside them.
    pub(crate) fn write_report(&self, saved: &SavedProgram) -> anyhow::Result<()> {
        let Some(Folder { directory, .. }) = &self.0 else { return Ok(()) };
        // The report says when the run was started.
        directory.write_text(REPORT, &report::page(saved, &directory.manifest().created_at)?)?;
        Ok(())
    }

    /// Who tells the events to the log and to whoever looks on.
    pub(crate) fn observer(&self, seen: Arc<dyn Observer>) -> Arc<dyn Observer> {
        match &self.0 {
            None => seen,
            Some(folder) => Arc::new(Told { log: folder.directory.events().clone(), seen }),
        }
    }

    /// The error of a run that did not come to an outcome: with how to go on, where something was paid for. Where
    /// nothing was, the directory is taken away again.
    pub(crate) async fn given_up(self, error: anyhow::Error) -> anyhow::Error {
        let Some(folder) = self.0 else { return error };
        let path = folder.directory.path().to_owned();
        if !folder.give_up().await {
            return error;
        }
        let path = path.display();
        let exit = Exit::of(&error);
        let goes_on = match exit {
            // It would end where it ended.
            Exit::Budget => "but its cap is used up, so begin anew with a larger one".to_owned(),
            _ => format!("and `promptopt resume {path}` goes on with it"),
        };
        let hint = format!("every reply so far is kept in {path}, {goes_on}");
        exit.with(anyhow!("{error:#}\n{hint}"))
    }
}

impl Folder {
    /// A replay tells everything again, so whoever reads the events begins here.
    fn begin(&self) -> Result<(), StoreError> {
        self.directory.events().append(&json!({
            "event": if self.new { "run_started" } else { "run_resumed" },
            "promptopt": env!("CARGO_PKG_VERSION"),
            "replies": self.directory.journal().replies_at_open(),
        }))
    }

    /// Takes the directory away again where nothing was paid for, so that a run that could not begin leaves
    /// nothing behind. Says whether there is something to resume.
    async fn give_up(self) -> bool {
        if !self.new || !matches!(self.directory.journal().is_empty().await, Ok(true)) {
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
        // A link that leads nowhere is there as well.
        if path.symlink_metadata().is_err() {
            return (path, unfinished);
        }
        if is_run(&path) && !is_finished(&path) {
            unfinished = Some(path);
        }
    }
    (folder.join(format!("{stem}.run")), unfinished)
}

/// Whether a folder is a run directory.
pub(crate) fn is_run(folder: &Path) -> bool {
    folder.join("run.json").exists()
}

/// Whether a run directory holds all that its run came to.
fn is_finished(path: &Path) -> bool {
    let text = read_text(&path.join(OUTCOME), LARGEST).unwrap_or_default();
    serde_json::from_str::<Finished>(&text).is_ok_and(|outcome| outcome.finished)
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

    fn span(&self) -> Span {
        self.seen.span()
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
