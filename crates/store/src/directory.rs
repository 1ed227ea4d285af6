//! The run directory: manifest, journal, events and results under one lock.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use promptopt_core::file::read_text;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::events::private;
use crate::files::{TEMPORARY_PREFIX, directory_of, sync_directory, write_privately};
use crate::manifest::{SCHEMA, differences};
use crate::{EventLog, Journal, Manifest, Redactor, StoreError};

const MANIFEST: &str = "run.json";
const JOURNAL: &str = "journal.redb";
const EVENTS: &str = "events.jsonl";
const LOCK: &str = "run.lock";

/// Largest JSON file of ours that is read, in bytes.
const MAX_JSON_BYTES: u64 = 256 * 1024 * 1024;

/// A directory that holds all of one run. While this value lives, no other process can work in it.
///
/// | file | what | how it is written |
/// |---|---|---|
/// | `run.json` | the [`Manifest`] | once, atomically, as the last step of starting a run |
/// | `journal.redb` | every reply, by the hash of its request | durable before a reply is used |
/// | `events.jsonl` | what happened, one JSON value a line | appended; a torn last line is cut on opening |
/// | `outcome.json` and other results | named by the caller | atomically |
/// | `run.lock` | empty; locked while a process works here | never removed |
///
/// Everything that is written goes through the [`Redactor`]: replies and results by the values of secrets,
/// manifest, events and texts [strictly](Redactor::strict). The directory is private (0700, its files 0600).
///
/// A resumed run replays, so its events come again: start it with an event of its own, and let
/// readers begin at the last such event.
pub struct RunDirectory {
    path: PathBuf,
    manifest: Manifest,
    redactor: Redactor,
    journal: Journal,
    events: EventLog,
    /// Unlocked when it is dropped, after everything else is closed.
    _lock: File,
}

impl RunDirectory {
    /// Starts a run in a new or empty directory. What a crash left of an earlier attempt to do so is
    /// taken up. Blocks until all is on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::RunExists`], [`StoreError::Foreign`] when the directory holds something else,
    /// [`StoreError::InUse`], and whatever keeps files from being written.
    pub fn create(
        path: impl AsRef<Path>,
        manifest: &Manifest,
        redactor: Redactor,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        create_directories(path)?;
        check_empty(path)?;
        make_private(path);
        let lock = lock(path)?;
        // Another process may have started a run while this one waited.
        check_empty(path)?;
        remove_leftovers(path)?;
        let journal = start_journal(path)?.redactor(redactor.clone());
        let events = EventLog::open(path.join(EVENTS), redactor.clone())?;
        let mut value = serde_json::to_value(manifest).map_err(StoreError::json(&path.join(MANIFEST)))?;
        redactor.strict().redact_json(&mut value);
        write_json(&path.join(MANIFEST), &value)?;
        Ok(Self { path: path.to_owned(), manifest: manifest.clone(), redactor, journal, events, _lock: lock })
    }

    /// Opens the directory of a run that was started before, to resume it or to read it. Blocks
    /// until the journal is checked. [`RunDirectory::check`] comes next.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotARun`], [`StoreError::InUse`], [`StoreError::Newer`], and whatever is wrong
    /// with one of the files; none is removed or replaced.
    pub fn open(path: impl AsRef<Path>, redactor: Redactor) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if !path.join(MANIFEST).is_file() {
            return Err(StoreError::NotARun { path: path.to_owned() });
        }
        let lock = lock(path)?;
        let manifest = read_manifest(path)?;
        make_private(path);
        remove_leftovers(path)?;
        let journal = Journal::open(path.join(JOURNAL))?.redactor(redactor.clone());
        let events = EventLog::open(path.join(EVENTS), redactor.clone())?;
        Ok(Self { path: path.to_owned(), manifest, redactor, journal, events, _lock: lock })
    }

    /// Refuses to go on with anything but what the run was started with: configuration, seed, data
    /// set, program, version of promptopt.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`] with all that differs.
    pub fn check(&self, manifest: &Manifest) -> Result<(), StoreError> {
        self.check_what_matters(manifest, |_| {})
    }

    /// The same where only a part of the configuration matters: `strip` takes out of it what may differ.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`] with all that differs and matters.
    pub fn check_what_matters(
        &self,
        manifest: &Manifest,
        strip: impl Fn(&mut Value),
    ) -> Result<(), StoreError> {
        let comparable = |manifest: &Manifest| -> Result<Value, StoreError> {
            let mut manifest = Manifest { created_at: String::new(), ..manifest.clone() };
            strip(&mut manifest.configuration);
            let mut value = serde_json::to_value(manifest).map_err(StoreError::json(&self.path))?;
            self.redactor.strict().redact_json(&mut value);
            Ok(value)
        };
        let differences = differences(&comparable(&self.manifest)?, &comparable(manifest)?);
        if differences.is_empty() {
            return Ok(());
        }
        Err(StoreError::Changed { path: self.path.clone(), differences })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the run was started with.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The replies of the run.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The events of the run.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// What removes secrets from everything that is written here.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Writes a result as indented JSON, without secrets, atomically; the events so far are flushed
    /// to the disk first. Returns its path.
    ///
    /// # Errors
    ///
    /// [`StoreError::ResultName`] when the name is not a plain file name or one that the run uses,
    /// [`StoreError::Json`], [`StoreError::Io`]; an older result of that name is still there then.
    pub fn write_result<T: Serialize + ?Sized>(&self, name: &str, result: &T) -> Result<PathBuf, StoreError> {
        let path = self.result_path(name)?;
        let mut value = serde_json::to_value(result).map_err(StoreError::json(&path))?;
        self.redactor.redact_json(&mut value);
        self.events.sync()?;
        write_json(&path, &value)?;
        Ok(path)
    }

    /// Writes results that are many, one a line, in the same way.
    ///
    /// # Errors
    ///
    /// As [`RunDirectory::write_result`].
    pub fn write_lines<T: Serialize>(&self, name: &str, results: &[T]) -> Result<PathBuf, StoreError> {
        let path = self.result_path(name)?;
        let mut lines = Vec::new();
        for result in results {
            let mut value = serde_json::to_value(result).map_err(StoreError::json(&path))?;
            self.redactor.redact_json(&mut value);
            serde_json::to_writer(&mut lines, &value).map_err(StoreError::json(&path))?;
            lines.push(b'\n');
        }
        self.events.sync()?;
        write_privately(&path, &lines)?;
        Ok(path)
    }

    /// Writes a text, such as a report, in the same way.
    ///
    /// # Errors
    ///
    /// As [`RunDirectory::write_result`].
    pub fn write_text(&self, name: &str, text: &str) -> Result<PathBuf, StoreError> {
        let path = self.result_path(name)?;
        self.events.sync()?;
        write_privately(&path, self.redactor.strict().redact(text).as_bytes())?;
        Ok(path)
    }

    /// Reads a result back; `None` when it was not written yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::ResultName`], [`StoreError::Corrupt`] when it is not what it should be,
    /// [`StoreError::TooLarge`], [`StoreError::Io`].
    pub fn read_result<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let path = self.result_path(name)?;
        match read_json(&path)? {
            None => Ok(None),
            Some(value) => {
                serde_json::from_value(value).map(Some).map_err(|error| StoreError::corrupt(&path, error))
            }
        }
    }

    fn result_path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let plain = Path::new(name).file_name().is_some_and(|plain| plain == name);
        let taken = [MANIFEST, JOURNAL, EVENTS, LOCK].iter().any(|own| own.eq_ignore_ascii_case(name));
        if !plain || taken || name.starts_with('.') || name.contains(['\\', ':', '\0']) {
            return Err(StoreError::ResultName { name: name.to_owned() });
        }
        Ok(self.path.join(name))
    }
}

impl fmt::Debug for RunDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunDirectory").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Creates a directory and those it is in, each durably.
fn create_directories(path: &Path) -> Result<(), StoreError> {
    let new: Vec<&Path> =
        path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    fs::create_dir_all(path).map_err(StoreError::io("creating", path))?;
    new.iter().try_for_each(|part| sync_directory(directory_of(part)))
}

/// Keeps everybody but the owner out of a directory, where the file system knows owners.
#[cfg(unix)]
fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(0o700)) {
        tracing::warn!(%error, path = %path.display(), "the run directory cannot be made private");
    }
}

/// Elsewhere a directory has the permissions of the one that it is in.
#[cfg(not(unix))]
fn make_private(_path: &Path) {}

/// Takes the lock of a directory, for as long as the file lives.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let file = private(OpenOptions::new().write(true).create(true).truncate(false))
        .open(&path)
        .map_err(StoreError::io("creating", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { doing: "locking", path, source }),
    }
}

/// Refuses a directory that holds anything but what a crash left of an attempt to start a run.
fn check_empty(directory: &Path) -> Result<(), StoreError> {
    let mut foreign = None;
    for name in names(directory)? {
        if name == MANIFEST {
            return Err(StoreError::RunExists { path: directory.to_owned() });
        }
        if ![JOURNAL, EVENTS, LOCK].contains(&name.as_str()) && !name.starts_with(TEMPORARY_PREFIX) {
            foreign.get_or_insert(name);
        }
    }
    match foreign {
        None => Ok(()),
        Some(found) => Err(StoreError::Foreign { path: directory.to_owned(), found }),
    }
}

/// Removes temporary files that a crash left. The lock is held, so nobody is writing one.
fn remove_leftovers(directory: &Path) -> Result<(), StoreError> {
    for name in names(directory)?.iter().filter(|name| name.starts_with(TEMPORARY_PREFIX)) {
        let path = directory.join(name);
        fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
    }
    Ok(())
}

fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let read = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    };
    read().map_err(StoreError::io("listing", directory))
}

fn start_journal(directory: &Path) -> Result<Journal, StoreError> {
    let path = directory.join(JOURNAL);
    if !path.exists() {
        return Journal::create(&path);
    }
    let journal = Journal::open(&path)?;
    // Replies without a manifest belong to a run whose manifest somebody took away.
    if journal.replies_at_open() > 0 {
        return Err(StoreError::Foreign { path: directory.to_owned(), found: JOURNAL.to_owned() });
    }
    Ok(journal)
}

fn write_json(path: &Path, value: &Value) -> Result<(), StoreError> {
    let mut text = serde_json::to_string_pretty(value).map_err(StoreError::json(path))?;
    text.push('\n');
    write_privately(path, text.as_bytes())
}

fn read_json(path: &Path) -> Result<Option<Value>, StoreError> {
    let text = match read_text(path, MAX_JSON_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => return Err(StoreError::corrupt(path, error)),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            let size = fs::metadata(path).map_err(StoreError::io("reading", path))?.len();
            return Err(StoreError::TooLarge {
                what: "JSON",
                path: path.to_owned(),
                size,
                limit: MAX_JSON_BYTES,
            });
        }
        text => text.map_err(StoreError::io("reading", path))?,
    };
    serde_json::from_str(&text).map(Some).map_err(|error| StoreError::corrupt(path, error))
}

/// Reads and checks the manifest of a run directory.
pub(crate) fn read_manifest(directory: &Path) -> Result<Manifest, StoreError> {
    let path = &directory.join(MANIFEST);
    let value = read_json(path)?.ok_or_else(|| StoreError::NotARun { path: directory.to_owned() })?;
    // The format comes first: a newer file may have other fields.
    let found = value.get("schema").and_then(Value::as_u64);
    if let Some(found) = found.filter(|found| *found > SCHEMA) {
        return Err(StoreError::Newer { path: path.clone(), found, supported: SCHEMA });
    }
    serde_json::from_value(value).map_err(|error| StoreError::corrupt(path, error))
}
