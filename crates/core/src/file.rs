//! Small files, read whole.

use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// The text of a regular file of at most `most` bytes.
///
/// Nothing else is read: a pipe may have nobody who writes, and a device no end.
///
/// # Errors
///
/// What the system says, and errors of our own for what is no regular file, is larger, or is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    // This comes before opening, which would wait for whoever writes to a pipe.
    check(fs::metadata(path)?.file_type())?;
    let file = File::open(path)?;
    check(file.metadata()?.file_type())?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {}", size(most))));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Refuses what is no regular file.
///
/// # Errors
///
/// One that says what it is instead.
pub fn check(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let what = what(kind);
    let advice = if kind.is_dir() { "" } else { "; write what it gives to a file first" };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {what}, not a regular file{advice}")))
}

#[cfg(unix)]
fn what(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn what(kind: FileType) -> &'static str {
    if kind.is_dir() { "a folder" } else { "a device" }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} bytes"),
        1000..1_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let folder = std::env::temp_dir().join(format!("promptopt-core-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let check = |path: &Path, says: &str| {
            let error = read_text(path, 5).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        let file = folder.join("file");
        fs::write(&file, "short").unwrap();
        assert_eq!(read_text(&file, 5).unwrap(), "short");
        fs::write(&file, "longer").unwrap();
        check(&file, "larger than 5 bytes");
        fs::write(&file, b"\xff").unwrap();
        check(&file, "not UTF-8");
        check(&folder, "it is a folder");
        check(&folder.join("none"), "");
        #[cfg(unix)]
        {
            check(Path::new("/dev/zero"), "it is a device, not a regular file; write what it gives");
            let pipe = folder.join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            check(&pipe, "it is a pipe");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
