//! The file the engine maps: the one that was given, or what was made of it.

use std::fs;
use std::path::{Path, PathBuf};

use super::options::LocalModelOptions;
use crate::Error;
use crate::weights::{RECIPE, cache_dir, check_header, derived_name, known_models, requantize, sha256_file};

/// Larger files run as they are: they are rewritten in memory, and 4 bits are what makes them fit.
const MAX_REWRITTEN: u64 = 2 << 30;

/// A file to load, and the words for it in the model's id.
pub(super) struct WeightsFile {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    /// `is`, or how the file that is loaded was made.
    pub(super) recipe: &'static str,
}

/// Checks the file that was given, against its pinned checksum where it bears the name of a known
/// model, and rewrites it where that pays.
pub(super) fn prepare(options: &LocalModelOptions) -> Result<WeightsFile, Error> {
    let path = &options.path;
    let known = known_models().iter().find(|model| path.file_name().is_some_and(|name| name == model.file));
    check_header(path, known)?;
    let sha256 = sha256_file(path)?;
    if let Some(expected) = known.and_then(|model| model.sha256).filter(|expected| *expected != sha256) {
        return Err(Error::Checksum { path: path.clone(), actual: sha256, expected: expected.to_owned() });
    }
    if options.requantize
        && let Some(derived) = derive(path, &sha256)?
    {
        return Ok(WeightsFile { path: derived, sha256, recipe: RECIPE });
    }
    Ok(WeightsFile { path: path.clone(), sha256, recipe: "is" })
}

/// The rewritten file, made if it is not there yet; `None` when there is nothing to rewrite.
/// Its name holds the checksum of its source, and it appears whole or not at all.
fn derive(source: &Path, sha256: &str) -> Result<Option<PathBuf>, Error> {
    let size = fs::metadata(source).map_err(Error::io("reading", source))?.len();
    if size > MAX_REWRITTEN {
        return Ok(None);
    }
    let target = cache_dir()?.join("derived").join(derived_name(sha256));
    if check_header(&target, None).is_ok() {
        return Ok(Some(target));
    }
    Ok(requantize(source, &target)?.then_some(target))
}
