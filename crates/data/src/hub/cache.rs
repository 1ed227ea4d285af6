//! What was loaded once: files under the commit that they belong to.
//!
//! Whole files and the commits of branches are where Hugging Face's own programs look for them
//! (`snapshots/COMMIT/PATH` and `refs/BRANCH`). Listings, and the blocks of files that were read
//! only in part, are in a folder of our own beside those.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::HubError;

/// The cache of one data set.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(crate) fn new(cache: &Path, repo: &str) -> Self {
        Self { root: cache.join(format!("datasets--{}", repo.replace('/', "--"))) }
    }

    /// Its folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the commit of a branch stands.
    pub(crate) fn reference(&self, revision: &str) -> PathBuf {
        self.root.join("refs").join(revision)
    }

    /// Where the listing of a commit stands.
    pub(crate) fn listing(&self, commit: &str) -> PathBuf {
        self.root.join("promptopt").join(commit).join("listing.json")
    }

    /// Where a whole file stands.
    pub(crate) fn file(&self, commit: &str, path: &str) -> PathBuf {
        self.root.join("snapshots").join(commit).join(path)
    }

    /// Where the blocks of a file stand that was read in part.
    pub(crate) fn blocks(&self, commit: &str, path: &str) -> PathBuf {
        self.root.join("promptopt").join(commit).join("blocks").join(path)
    }
}

/// What a file of the cache holds, if it is there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, HubError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HubError::Cache { path: path.to_owned(), source }),
    }
}

/// Writes a file of the cache in one step, so that nobody ever sees half of it.
pub(crate) fn write(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), HubError>,
) -> Result<(), HubError> {
    let failed = |source| HubError::Cache { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
    fill(&mut file)?;
    file.flush().map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

/// Writes bytes to a file of the cache.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), HubError> {
    write(path, |file| {
        file.write_all(bytes).map_err(|source| HubError::Cache { path: path.to_owned(), source })
    })
}
