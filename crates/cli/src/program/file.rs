//! Files that hold a program: task files, optimized programs, run directories, and program states of DSPy.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use promptopt_core::program::{ModuleExt as _, Program};
use promptopt_core::prompt::Prompts;
use promptopt_dspy::{DspyProgram, Layout, MAX_BYTES};
use serde_json::Value;

use super::PredictorChain;
use crate::kept;
use crate::saved::{self, SavedProgram};
use crate::session;
use crate::task_file::TaskFile;

/// Our path of a predictor -> its path in DSPy.
pub(crate) type PathMap = [(String, String)];

/// A file that holds a program.
pub(crate) enum ProgramFile {
    Task(Box<TaskFile>),
    Saved(Box<SavedProgram>),
    /// As a program in Rust saves itself.
    OfRust(Box<Program>),
    Dspy(DspyProgram),
}

impl ProgramFile {
    /// Reads a task file, an optimized program, a run directory, or what DSPy saved.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        if path.is_dir() {
            let program = path.join(kept::PROGRAM);
            if !program.exists() {
                bail!(
                    "{} holds no {}: it is no run directory, or nothing was learnt yet",
                    path.display(),
                    kept::PROGRAM
                );
            }
            return Self::read(&program);
        }
        if is_task(path) {
            return Ok(Self::Task(Box::new(TaskFile::read(path)?)));
        }
        let text = saved::bounded(path, saved::LARGEST, || format!("the program {}", path.display()))?;
        if text.len() > MAX_BYTES || is_ours(&text) {
            let saved = SavedProgram::parse(&text, path).map(|saved| Self::Saved(Box::new(saved)));
            return saved.or_else(|error| match serde_json::from_str::<Program>(&text) {
                Ok(program) if !program.signatures.is_empty() => Ok(Self::OfRust(Box::new(program))),
                _ => Err(error),
            });
        }
        let program = DspyProgram::read(&text).with_context(|| {
            format!(
                "{} is neither a program as `promptopt optimize` writes it nor one that DSPy saved",
                path.display()
            )
        })?;
        Ok(Self::Dspy(program))
    }

    /// The program itself, with its own prompts in force. A file of DSPy does not say what its fields are, so it
    /// needs the task.
    pub(crate) async fn load(
        path: &Path,
        task: Option<&Path>,
        map: &PathMap,
    ) -> anyhow::Result<PredictorChain> {
        let file = Self::read(path)?;
        let mut chain = match (&file, task) {
            (_, Some(task)) => session::chain(&TaskFile::read(task)?, task).await?,
            (Self::Task(task), None) => session::chain(task, path).await?,
            (Self::Saved(saved), None) => saved.chain().with_context(|| {
                format!("{} does not say what the program is; name its task with --task", path.display())
            })?,
            (Self::OfRust(_), None) => {
                bail!(
                    "{} was saved by a program in Rust and does not say what the program is: give the task with --task",
                    path.display()
                )
            }
            (Self::Dspy(_), None) => {
                bail!(
                    "{} was saved by DSPy and does not name its fields: give the task with --task",
                    path.display()
                )
            }
        };
        file.install(&mut chain, map, path).await?;
        Ok(chain)
    }

    /// Puts the prompts of a file into a program; `path` is where it was read.
    pub(crate) async fn install(
        &self,
        chain: &mut PredictorChain,
        map: &PathMap,
        path: &Path,
    ) -> anyhow::Result<()> {
        let prompts = self.prompts(chain, map, path).await;
        let installed = prompts.and_then(|prompts| Ok(chain.install(&prompts)?));
        installed.with_context(|| format!("taking the prompts of {}", path.display()))
    }

    /// The prompts of a file, for a program.
    async fn prompts(&self, chain: &PredictorChain, map: &PathMap, path: &Path) -> anyhow::Result<Prompts> {
        match self {
            Self::Task(task) => Ok(session::chain(task, path).await?.candidate().prompts),
            Self::Saved(saved) => Ok(saved.prompts.clone()),
            Self::OfRust(program) => Ok(program.fitted_to(chain)?),
            Self::Dspy(program) => Ok(chain.own_prompts(program.prompts(&layout(chain, program, map)?)?)),
        }
    }
}

/// Puts the prompts of a file into a program, whoever wrote it.
pub(crate) async fn install(path: &Path, chain: &mut PredictorChain) -> anyhow::Result<()> {
    ProgramFile::read(path)?.install(chain, &[], path).await
}

/// Where DSPy keeps the predictors of a program in a file of its own. The only one there is the only one here.
pub(crate) fn layout(chain: &PredictorChain, program: &DspyProgram, map: &PathMap) -> anyhow::Result<Layout> {
    let own = chain.dspy_predictors()?;
    match (own.as_slice(), program.paths().as_slice(), map) {
        ([(path, _)], [there], []) => Ok(Layout::new(own.clone()).at(path, *there)),
        _ => mapped(chain, map),
    }
}

/// Where DSPy keeps the predictors of a program by what the user says.
pub(crate) fn mapped(chain: &PredictorChain, map: &PathMap) -> anyhow::Result<Layout> {
    let predictors = chain.dspy_predictors()?;
    let mut layout = Layout::new(predictors.clone());
    for (own, theirs) in map {
        if layout.dspy_path(own).is_none() {
            let names: Vec<&str> = predictors.iter().map(|(path, _)| path.as_str()).collect();
            return Err(anyhow!(
                "--map names the predictor `{own}`, but the program has {}",
                names.join(", ")
            ));
        }
        layout = layout.at(own, theirs);
    }
    Ok(layout)
}

pub(crate) fn is_task(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// Whether a JSON text is an optimized program as this command writes it.
fn is_ours(text: &str) -> bool {
    serde_json::from_str::<Value>(text).map_or(true, |value| value.get("promptopt").is_some())
}

/// Reads `OURS=THEIRS`.
pub(crate) fn path_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((own, theirs)) if !own.is_empty() && !theirs.is_empty() => {
            Ok((own.to_owned(), theirs.to_owned()))
        }
        _ => Err("it should be OURS=THEIRS, such as `route=classify.predict`".to_owned()),
    }
}
