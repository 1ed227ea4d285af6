//! The event log: one JSON value a line, only ever appended to.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::{Redactor, StoreError};

/// How much of the file's end is read at once when a torn line is looked for, in bytes.
const CHUNK: u64 = 64 * 1024;

/// A file of events, one JSON value a line. Clones share the file.
///
/// A line is handed to the system as a whole before [`EventLog::append`] returns, so it survives
/// the end of the process; [`EventLog::sync`] makes the lines so far survive a power cut, too.
#[derive(Clone)]
pub struct EventLog(Arc<Inner>);

struct Inner {
    path: PathBuf,
    redactor: Redactor,
    file: Mutex<File>,
}

impl EventLog {
    /// Opens a log for appending, creating it where it is missing. A last line that a crash tore is
    /// cut off. Only one handle should have a log open; [`RunDirectory`](crate::RunDirectory) sees to
    /// that.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn open(path: impl AsRef<Path>, redactor: Redactor) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let open = || -> io::Result<File> {
            let mut file =
                private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(path)?;
            let end = end_of_lines(&mut file)?;
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            Ok(file)
        };
        let file = open().map_err(StoreError::io("opening", path))?;
        let redactor = redactor.strict();
        Ok(Self(Arc::new(Inner { path: path.to_owned(), redactor, file: Mutex::new(file) })))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Appends an event as a line, without its secrets and without what looks like one. A short write to the system's memory, so it
    /// may be called from an observer.
    ///
    /// # Errors
    ///
    /// [`StoreError::Json`] when the event has no JSON form, [`StoreError::Io`] when the line cannot
    /// be written; nothing of it is left then.
    pub fn append<T: Serialize + ?Sized>(&self, event: &T) -> Result<(), StoreError> {
        let inner = &*self.0;
        let mut value = serde_json::to_value(event).map_err(StoreError::json(&inner.path))?;
        inner.redactor.redact_json(&mut value);
        let line = format!("{value}\n");
        let mut file = inner.file.lock().unwrap_or_else(PoisonError::into_inner);
        append_line(&mut file, line.as_bytes()).map_err(StoreError::io("writing", &inner.path))
    }

    /// Waits until all lines so far are on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn sync(&self) -> Result<(), StoreError> {
        let file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.sync_data().map_err(StoreError::io("flushing", &self.0.path))
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventLog").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// A file that is made for its owner alone.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn append_line(file: &mut File, line: &[u8]) -> io::Result<()> {
    let end = file.stream_position()?;
    let written = file.write_all(line);
    if written.is_err() {
        // Half a line must not run into the next one.
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
    }
    written
}

/// Where the last complete line ends.
fn end_of_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let begin = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(begin))?;
        let mut chunk = Vec::new();
        (&mut *file).take(end - begin).read_to_end(&mut chunk)?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use secrecy::SecretString;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_torn_line_is_cut_and_no_other(
            texts in prop::collection::vec(any::<String>(), 0..6),
            torn in "[^\n]{0,200}",
            blow_up in prop::bool::weighted(0.1),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("events.jsonl");
            let log = EventLog::open(&path, Redactor::default()).unwrap();
            texts.iter().for_each(|text| log.append(text).unwrap());
            drop(log);
            let whole = fs::read_to_string(&path).unwrap();
            let torn = if blow_up { torn.repeat(1000) } else { torn };
            fs::write(&path, format!("{whole}{torn}")).unwrap();
            let log = EventLog::open(&path, Redactor::default()).unwrap();
            prop_assert_eq!(fs::read_to_string(&path).unwrap(), whole);
            log.append("after").unwrap();
            log.sync().unwrap();
            let lines = fs::read_to_string(&path).unwrap();
            let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let expected: Vec<Value> = texts.into_iter().chain(["after".into()]).map(Value::from).collect();
            prop_assert_eq!(lines, expected);
        }
    }

    #[test]
    fn events_hold_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let redactor = Redactor::new([SecretString::from("sk-canary")]);
        let log = EventLog::open(&path, redactor).unwrap();
        log.append(&json!({"event": "warning", "message": "bad key sk-canary"})).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(written, "{\"event\":\"warning\",\"message\":\"bad key [redacted]\"}\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let path = PathBuf::from("events.jsonl");
        let inner = Inner { path, redactor: Redactor::default(), file: Mutex::new(file) };
        let error = EventLog(Arc::new(inner)).append("event").unwrap_err();
        assert!(error.to_string().contains("events.jsonl"), "{error}");
    }
}
