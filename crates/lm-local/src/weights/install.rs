//! Putting a file into its place so that nobody ever sees half of it.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::checksum::hex;
use crate::Error;

const BUFFER: usize = 1 << 16;

/// Writes what `reader` gives to `target`, checked and all at once.
///
/// The bytes go to a temporary file in the target's folder (made if need be) and are hashed on
/// the way; when the sha256 fits, the file is flushed to the disk and renamed. On any error the
/// temporary file is gone and the target is as it was. `progress` hears the bytes written so far
/// after each block. Blocks the calling thread.
///
/// Give `expected_sha256` as `None` only for a file without a pinned checksum that the user asked
/// for by its name. The sha256 of what was written is returned either way.
///
/// # Errors
///
/// [`Error::Io`] when reading or writing fails, [`Error::NotGguf`] when the content is not a
/// model, [`Error::Checksum`] when the content is another.
pub fn install_from_reader(
    mut reader: impl Read,
    target: &Path,
    expected_sha256: Option<&str>,
    mut progress: impl FnMut(u64),
) -> Result<String, Error> {
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
    let mut file = tempfile::Builder::new()
        .prefix(".incomplete-")
        .tempfile_in(folder)
        .map_err(Error::io("creating a file in", folder))?;

    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut written = 0;
    loop {
        let read = match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(Error::io("receiving", target))?,
        };
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        if written == 0 && !bytes.starts_with(b"GGUF") {
            return Err(Error::NotGguf { path: target.to_owned() });
        }
        hasher.update(bytes);
        file.write_all(bytes).map_err(Error::io("writing", target))?;
        written += read as u64;
        progress(written);
    }
    if written == 0 {
        return Err(Error::NotGguf { path: target.to_owned() });
    }
    let actual = hex(&hasher.finalize());
    if let Some(expected) = expected_sha256.filter(|expected| !actual.eq_ignore_ascii_case(expected)) {
        return Err(Error::Checksum {
            path: target.to_owned(),
            actual,
            expected: expected.to_ascii_lowercase(),
        });
    }
    file.as_file().sync_all().map_err(Error::io("writing", target))?;
    file.persist(target).map_err(|error| Error::io("renaming a file to", target)(error.error))?;
    Ok(actual)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = b"GGUF weights";

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_good_file_arrives_whole_with_its_progress() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("deeper").join("model.gguf");
        let mut last = 0;
        let sum = install_from_reader(CONTENT, &target, None, |bytes| last = bytes).expect("installed");
        assert_eq!(last, CONTENT.len() as u64);
        assert_eq!(fs::read(&target).expect("the file"), CONTENT);
        crate::weights::verify(&target, &sum).expect("the sum that was returned");
        install_from_reader(CONTENT, &target, Some(&sum), |_| {}).expect("installed over itself");
    }

    #[test]
    fn a_wrong_file_leaves_nothing_behind_and_the_old_one_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("model.gguf");
        fs::write(&target, "old").expect("written");
        let wrong = install_from_reader(CONTENT, &target, Some("00"), |_| {});
        assert!(matches!(wrong, Err(Error::Checksum { .. })));
        let page = install_from_reader(&b"<html>not found"[..], &target, None, |_| {});
        assert!(matches!(page, Err(Error::NotGguf { .. })));
        let empty = install_from_reader(io::empty(), &target, None, |_| {});
        assert!(matches!(empty, Err(Error::NotGguf { .. })));
        assert_eq!(fs::read(&target).expect("the file"), b"old");
        assert_eq!(names(folder.path()), ["model.gguf"]);
    }

    #[test]
    fn a_broken_connection_leaves_nothing_behind() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, false) {
                    let mut content = CONTENT;
                    content.read(buffer)
                } else {
                    Err(io::Error::new(io::ErrorKind::ConnectionReset, "reset"))
                }
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        let result = install_from_reader(Broken(true), &folder.path().join("model.gguf"), None, |_| {});
        assert!(matches!(result, Err(Error::Io { .. })));
        assert!(names(folder.path()).is_empty());
    }
}
