//! Whether a file is what it should be: its checksum, and the cheap look at its first bytes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::Error;
use crate::weights::KnownModel;

const MAGIC: &[u8; 4] = b"GGUF";
const BUFFER: usize = 1 << 20;

/// The sha256 of a file in hexadecimal, read as a stream.
///
/// # Errors
///
/// [`Error::Missing`] when there is no such file, [`Error::Io`] when it cannot be read.
pub fn sha256_file(path: &Path) -> Result<String, Error> {
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer).map_err(Error::io("reading", path))?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(hex(&hasher.finalize())),
            Some(bytes) => hasher.update(bytes),
        }
    }
}

/// Reads the whole file and compares its sha256 with the expected one, in hexadecimal.
///
/// # Errors
///
/// [`Error::Checksum`] when they differ, and the errors of [`sha256_file`].
pub fn verify(path: &Path, sha256: &str) -> Result<(), Error> {
    let actual = sha256_file(path)?;
    if actual.eq_ignore_ascii_case(sha256) {
        Ok(())
    } else {
        Err(Error::Checksum { path: path.to_owned(), actual, expected: sha256.to_ascii_lowercase() })
    }
}

/// The cheap check made whenever a file is opened: it begins as a GGUF file does, and has the
/// pinned size when it is the file of a known model.
///
/// # Errors
///
/// [`Error::Missing`], [`Error::NotGguf`], [`Error::WrongSize`] or [`Error::Io`].
pub fn check_header(path: &Path, known: Option<&KnownModel>) -> Result<(), Error> {
    let mut file = open(path)?;
    let actual = file.metadata().map_err(Error::io("reading", path))?.len();
    let mut magic = Vec::with_capacity(MAGIC.len());
    (&mut file).take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(Error::io("reading", path))?;
    if magic != MAGIC {
        return Err(Error::NotGguf { path: path.to_owned() });
    }
    match known.and_then(|model| model.size) {
        Some(expected) if expected != actual => {
            Err(Error::WrongSize { path: path.to_owned(), actual, expected })
        }
        _ => Ok(()),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn open(path: &Path) -> Result<File, Error> {
    if path.is_file() {
        File::open(path).map_err(Error::io("opening", path))
    } else {
        Err(Error::Missing { path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::weights::known_model;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn file(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        fs::write(&path, content).expect("written");
        (folder, path)
    }

    #[test]
    fn a_checksum_that_fits_passes_in_either_case() {
        let (_folder, path) = file(b"abc");
        verify(&path, ABC).expect("the right sum");
        verify(&path, &ABC.to_uppercase()).expect("the right sum in capitals");
    }

    #[test]
    fn a_checksum_that_does_not_fit_names_the_file_and_the_way_out() {
        let (_folder, path) = file(b"abd");
        let error = verify(&path, ABC).expect_err("another content");
        assert!(matches!(error, Error::Checksum { .. }));
        let text = error.to_string();
        assert!(text.contains("model.gguf") && text.contains("promptopt model pull"), "{text}");
    }

    #[test]
    fn a_cut_off_file_is_told_by_its_size() {
        let (_folder, path) = file(b"GGUF and no more");
        check_header(&path, None).expect("no size is pinned");
        let error = check_header(&path, known_model("smollm2-135m")).expect_err("too short");
        assert!(matches!(error, Error::WrongSize { actual: 16, .. }), "{error}");
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        for content in [&b"<html>"[..], b"GG", b""] {
            let (_folder, path) = file(content);
            assert!(matches!(check_header(&path, None), Err(Error::NotGguf { .. })));
        }
    }

    #[test]
    fn a_missing_file_and_a_folder_are_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(check_header(folder.path(), None), Err(Error::Missing { .. })));
        assert!(matches!(sha256_file(&folder.path().join("none")), Err(Error::Missing { .. })));
    }
}
