//! Where the file of a model is, by its name, by its path, or by the environment.

use std::env;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::{DEFAULT_MODEL, check_header, known_model, known_models};
use crate::Error;

/// Environment variable with the path of a GGUF file, used when no path was given.
pub const MODEL_PATH_VARIABLE: &str = "PROMPTOPT_MODEL_PATH";
/// Environment variable with the cache folder, in place of the platform's.
pub const CACHE_VARIABLE: &str = "PROMPTOPT_CACHE";

/// The folder that holds the weights: `PROMPTOPT_CACHE`, else `promptopt/models` in the
/// platform's cache folder. It may not exist yet.
///
/// # Errors
///
/// [`Error::NoCacheFolder`] when the variable is not set and the platform names no such folder.
pub fn cache_dir() -> Result<PathBuf, Error> {
    if let Some(folder) = variable(CACHE_VARIABLE) {
        return Ok(folder);
    }
    let base = etcetera::choose_base_strategy().map_err(|_| Error::NoCacheFolder)?;
    Ok(base.cache_dir().join("promptopt").join("models"))
}

/// Finds the file of a model; `spec` is the name of a known model, the path of a GGUF file, or
/// `None` for the default.
///
/// Looked at in this order: `spec` as a path; `PROMPTOPT_MODEL_PATH`; the cache folder, by the
/// known model's file name. The file that is found has passed [`check_header`]. Nothing is ever
/// fetched.
///
/// # Errors
///
/// [`Error::NotInstalled`], [`Error::Unknown`] or [`Error::Missing`], each with what to do, and
/// the errors of [`check_header`].
pub fn resolve(spec: Option<&str>) -> Result<PathBuf, Error> {
    let from_environment = variable(MODEL_PATH_VARIABLE);
    match spec {
        // The cache folder is not needed here, so a platform without one is no obstacle.
        Some(path) if looks_like_a_path(path) => resolve_in(spec, None, Path::new("")),
        _ if from_environment.is_some() => resolve_in(spec, from_environment.as_deref(), Path::new("")),
        _ => resolve_in(spec, None, &cache_dir()?),
    }
}

/// [`resolve`] with the value of the variable and the cache folder given, for callers that keep
/// their own.
///
/// # Errors
///
/// As [`resolve`].
pub fn resolve_in(
    spec: Option<&str>,
    environment_path: Option<&Path>,
    cache_folder: &Path,
) -> Result<PathBuf, Error> {
    if let Some(path) = spec.filter(|text| looks_like_a_path(text)) {
        return checked(PathBuf::from(path), None);
    }
    if let Some(path) = environment_path {
        return checked(path.to_owned(), None);
    }
    let name = spec.unwrap_or(DEFAULT_MODEL);
    let model = known_model(name).ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
        known: known_models().iter().map(|model| model.name).collect::<Vec<_>>().join(", "),
    })?;
    let path = cache_folder.join(model.file);
    if !path.exists() {
        return Err(Error::NotInstalled { name: name.to_owned(), folder: cache_folder.to_owned() });
    }
    checked(path, Some(model))
}

fn checked(path: PathBuf, model: Option<&super::KnownModel>) -> Result<PathBuf, Error> {
    check_header(&path, model)?;
    Ok(path)
}

/// A name has neither a folder nor the ending of a model file; a bare file name counts as a path
/// when the file is there.
fn looks_like_a_path(spec: &str) -> bool {
    known_model(spec).is_none()
        && (spec.contains(['/', '\\'])
            || Path::new(spec).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
            || Path::new(spec).is_file())
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().expect("a folder") }
        }

        fn file(&self, name: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, "GGUF").expect("written");
            path
        }

        fn resolve(&self, spec: Option<&str>, environment: Option<&Path>) -> Result<PathBuf, Error> {
            resolve_in(spec, environment, self.folder.path())
        }
    }

    #[test]
    fn a_path_wins_over_the_variable_and_the_variable_over_the_cache() {
        let place = Place::new();
        let cached = place.file("qwen2.5-0.5b-instruct-q8_0.gguf");
        let named = place.file("named.gguf");
        let variable = place.file("variable.gguf");
        let path = named.to_str().expect("UTF-8");
        assert_eq!(place.resolve(Some(path), Some(&variable)).expect("found"), named);
        assert_eq!(place.resolve(Some("qwen2.5-0.5b"), Some(&variable)).expect("found"), variable);
        assert_eq!(place.resolve(Some("qwen2.5-0.5b"), None).expect("found"), cached);
    }

    #[test]
    fn what_is_not_there_is_told_with_the_way_out() {
        let place = Place::new();
        let error = place.resolve(None, None).expect_err("an empty cache");
        assert!(error.to_string().contains("promptopt model pull smollm2-135m"), "{error}");
        let error = place.resolve(Some("llama-900b"), None).expect_err("no such name");
        assert!(error.to_string().contains("qwen2.5-0.5b"), "{error}");
        let error = place.resolve(Some("./none.gguf"), None).expect_err("no such file");
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        let error = place.resolve(None, Some(Path::new("none.gguf"))).expect_err("no such file");
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }

    #[test]
    fn a_cut_off_file_in_the_cache_is_refused() {
        let place = Place::new();
        place.file("SmolLM2-135M-Instruct.Q4_1.gguf");
        assert!(matches!(place.resolve(None, None), Err(Error::WrongSize { .. })));
    }
}
