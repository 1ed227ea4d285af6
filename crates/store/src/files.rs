//! Files that a reader sees whole or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use promptopt_core::file;

use crate::StoreError;

/// What the names of our temporary files begin with. A crash may leave some.
pub(crate) const TEMPORARY_PREFIX: &str = ".promptopt-temporary-";

/// Replaces a file by `bytes`: a reader sees the old content or the new one, also after a power cut,
/// and when anything fails the old one is still there.
///
/// The bytes go to a temporary file in the same directory, which is flushed to the disk and
/// renamed; then the directory is flushed. A symbolic link is not followed, for whoever made it would
/// choose what is replaced, and neither is a pipe or a device replaced. Permissions of an existing file
/// are kept. Blocks the calling thread.
///
/// # Errors
///
/// [`StoreError::Io`] when any of these steps fails, or when there is something else than a regular file.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), StoreError> {
    write(path.as_ref(), bytes, false)
}

/// The same for a file that nobody but its owner may read.
pub(crate) fn write_privately(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write(path, bytes, true)
}

fn write(path: &Path, bytes: &[u8], private: bool) -> Result<(), StoreError> {
    replace(path, bytes, private).map_err(StoreError::io("writing", path))
}

/// Refuses to write where there is something else than a regular file.
///
/// # Errors
///
/// One that says what there is.
pub fn check_replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is a symbolic link, which is not followed; name the file itself",
        )),
        Ok(found) => file::check(found.file_type()),
        Err(_) => Ok(()),
    }
}

fn replace(path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    check_replaceable(path)?;
    let folder = directory_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    if !private {
        use std::os::unix::fs::PermissionsExt as _;
        // Temporary files are private by default; this one becomes a file like any other.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    if let Some(old) = fs::metadata(path).ok().filter(|_| !private) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    flush_directory(folder)
}

/// The directory that a path is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names in a directory durable.
pub(crate) fn sync_directory(folder: &Path) -> Result<(), StoreError> {
    flush_directory(folder).map_err(StoreError::io("flushing", folder))
}

#[cfg(unix)]
fn flush_directory(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file, and the system flushes names by itself.
#[cfg(not(unix))]
fn flush_directory(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outcome.json");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["outcome.json"]);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_the_error_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outcome.json");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "kept").unwrap();
        let error = write_atomically(&path, b"new").unwrap_err().to_string();
        assert!(error.contains("outcome.json"), "{error}");
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(names(folder.path()), ["outcome.json"]);
        assert!(write_atomically(folder.path().join("none/outcome.json"), b"new").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_and_permissions_survive() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for write in
            [|path: &Path| write_atomically(path, b"new"), |path: &Path| write_privately(path, b"new")]
        {
            let error = write(&link).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("a symbolic link, which is not followed"), "{cause}");
            assert_eq!(fs::read(&real).unwrap(), b"old");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
        let mode = || fs::metadata(&real).unwrap().permissions().mode() & 0o777;
        write_atomically(&real, b"new").unwrap();
        assert_eq!((fs::read(&real).unwrap(), mode()), (b"new".to_vec(), 0o640));
        write_privately(&real, b"newer").unwrap();
        assert_eq!((fs::read(&real).unwrap(), mode()), (b"newer".to_vec(), 0o600));
    }
}
