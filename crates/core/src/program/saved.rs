//! A program as a file: its prompts, and the signatures that they were made for.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::drift::{Drift, drifts_of};
use super::module::fitted;
use super::{Module, SavedSignature, SavedSignatures};
use crate::Error;
use crate::file::read_text;
use crate::prompt::Prompts;

/// The largest file that is read, in bytes. What the command writes holds every candidate as well.
const LARGEST: u64 = 256 * 1024 * 1024;

/// A saved program: the prompts of its predictors, and for each the signature that the prompt was made for, with its hash.
///
/// [`ModuleExt::save`](super::ModuleExt::save) writes one, and so does `promptopt optimize`; a service reads it with
/// [`Program::load`] and hands it to [`ModuleExt::install_checked`](super::ModuleExt::install_checked), which refuses it
/// where the program has changed since.
///
/// ```
/// use promptopt_core::program::{ModuleExt as _, Program};
/// # use promptopt_core::data::{Fields, Prediction};
/// # use promptopt_core::program::{CallContext, Text, module_fn};
/// # use std::sync::Arc;
/// # let mut program = module_fn("route", [Text::new("tone", "Be kind.")], |_: CallContext, _: Arc<[Text]>, _: Fields| async { Ok(Prediction::default()) });
/// # let folder = std::env::temp_dir().join(format!("promptopt-saved-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("route.json");
///
/// program.save(&path)?;
/// program.install_checked(&Program::load(&path)?)?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Program {
    /// Version of the format; 0 where the file is older than the format.
    #[serde(default)]
    pub format: u32,
    /// Version of promptopt that wrote it.
    #[serde(default)]
    pub promptopt: String,
    /// Name of the program.
    #[serde(default, rename = "task")]
    pub name: String,
    /// Predictor path -> the signature that its prompt was made for. Empty in older files.
    #[serde(default, skip_serializing_if = "SavedSignatures::is_empty")]
    pub signatures: SavedSignatures,
    /// Predictor path -> instruction and demos.
    pub prompts: Prompts,
}

impl Program {
    /// The version of the format that is written. Files without one are older, and carry no signatures.
    pub const FORMAT: u32 = 1;

    /// The program as it is now.
    pub fn of(module: &(impl Module + ?Sized)) -> Self {
        let predictors = module.predictors();
        Self {
            format: Self::FORMAT,
            promptopt: env!("CARGO_PKG_VERSION").to_owned(),
            name: module.name().to_owned(),
            signatures: SavedSignature::of_all(module),
            prompts: predictors.iter().map(|one| (one.path(), one.prompt().clone())).collect(),
        }
    }

    /// Reads a file that [`Program::save`], [`ModuleExt::save`](super::ModuleExt::save) or `promptopt optimize` wrote.
    ///
    /// # Errors
    ///
    /// [`Error::ProgramFile`] where there is no such file, it holds something else, it is of a newer promptopt, or a
    /// signature in it was changed by hand.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = read_text(path, LARGEST).map_err(|error| wrong(path, error.to_string()))?;
        Self::parse(&text).map_err(|reason| wrong(path, reason))
    }

    /// Reads the text of such a file.
    fn parse(text: &str) -> Result<Self, String> {
        let program: Self = serde_json::from_str(text).map_err(|error| {
            format!(
                "it holds no program ({error}); write one with `save` or `promptopt optimize`, and read plain prompts as \
                 `Prompts`, which `install` takes"
            )
        })?;
        if program.format > Self::FORMAT {
            return Err(format!(
                "it has the format {}, and this promptopt ({}) reads up to {}; update promptopt to {}",
                program.format,
                env!("CARGO_PKG_VERSION"),
                Self::FORMAT,
                program.promptopt
            ));
        }
        match program.signatures.iter().find(|(_, signature)| !signature.is_whole()) {
            Some((path, _)) => Err(format!(
                "the hash of the signature of `{path}` is not that of its fields, so one of them was changed by hand; save \
                 the program again"
            )),
            None => Ok(program),
        }
    }

    /// Writes the file at once: a reader sees the old one or the new one, never half of it.
    ///
    /// # Errors
    ///
    /// [`Error::ProgramFile`] with what the system says.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let write = || -> std::io::Result<()> {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            let beside = beside(path);
            let mut file = fs::File::create(&beside)?;
            let written = file.write_all(&text).and_then(|()| file.sync_all());
            let renamed = written.and_then(|()| fs::rename(&beside, path));
            if renamed.is_err() {
                // The error is told; what is left of the file helps nobody.
                let _ = fs::remove_file(&beside);
            }
            renamed
        };
        write().map_err(|error| wrong(path, error.to_string()))
    }

    /// The prompts as `module` would take them, after checking that they are for this very program: the same predictors,
    /// with fields of the same names and types, and demos that fit. Nothing is installed.
    ///
    /// A service that holds its program in an [`Arc`](std::sync::Arc) hands them to
    /// [`CallContext::with_prompts`](super::CallContext::with_prompts).
    ///
    /// What changes no meaning is no drift: instructions and descriptions of the code, and the order of fields, of the
    /// values of an `enum` and of the members of a `union`.
    ///
    /// # Errors
    ///
    /// [`Error::Drift`] names every predictor and field that differ, with both sides; [`Error::Demos`] demos that do not
    /// fit, which is all that can be checked of an older file.
    pub fn fitted_to(&self, module: &(impl Module + ?Sized)) -> Result<Prompts, Error> {
        let drifts = drifts_of(self, module);
        if !drifts.is_empty() {
            return Err(Error::Drift { program: self.name.clone(), drifts });
        }
        fitted(module, &self.prompts)
    }

    /// What keeps it from being a saved form of `module`.
    pub fn drifts(&self, module: &(impl Module + ?Sized)) -> Vec<Drift> {
        drifts_of(self, module)
    }
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::ProgramFile { path: path.to_owned(), reason }
}

/// A file of this process in the same folder.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
