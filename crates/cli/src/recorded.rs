//! What a run was started with, as `run.json` keeps it.

use std::path::Path;

use anyhow::{Context as _, bail};
use promptopt_core::secret::MASK;
use promptopt_store::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::OptimizeArgs;
use crate::report::utc_now;
use crate::secrets::without_named;
use crate::session::Facts;
use crate::task_file::{OptimizerSection, TaskFile};

/// The configuration in `run.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// The command line, with whole paths.
    pub(crate) command: OptimizeArgs,
    /// What the task file said.
    pub(crate) task: Value,
    /// What came of both, for people.
    pub(crate) resolved: Value,
}

impl Recorded {
    /// What a run directory says of its run.
    pub(crate) fn of(manifest: &Manifest) -> anyhow::Result<Self> {
        serde_json::from_value(manifest.configuration.clone())
            .context("the run was not started by `promptopt optimize`")
    }

    /// The task: what its file says now, or where it is gone, what it said.
    pub(crate) fn task(&self) -> anyhow::Result<TaskFile> {
        if self.command.run.lm.as_deref().is_some_and(|lm| lm.contains(MASK)) {
            bail!(
                "the run was started with a login in --lm, which it does not keep; name the model in the task file"
            );
        }
        let mut task = self.task_as_it_is()?;
        // The branch may have moved on; the run goes on with the rows that it began with.
        let commit = self.resolved.pointer("/source/revision").and_then(Value::as_str);
        if let (Some(hub), Some(commit)) = (&mut task.data.hub, commit) {
            hub.revision = Some(commit.to_owned());
        }
        Ok(task)
    }

    fn task_as_it_is(&self) -> anyhow::Result<TaskFile> {
        let path = &self.command.run.task;
        if path.exists() {
            return TaskFile::read(path);
        }
        if self.task.to_string().contains(MASK) {
            bail!(
                "the task file {} is gone, and it held a secret that the run does not keep; put it back to resume",
                path.display()
            );
        }
        TaskFile::from_source(&self.task, path.parent().unwrap_or(Path::new("")))
    }
}

/// What a run is started with, or is to be resumed with.
pub(crate) fn manifest(
    command: &OptimizeArgs,
    section: &OptimizerSection,
    facts: &Facts<'_>,
) -> anyhow::Result<Manifest> {
    let mut task = facts.task.source.clone();
    without_named(&mut task);
    let recorded = Recorded {
        command: command.clone(),
        task,
        resolved: json!({
            "optimizer": section.to_json(),
            "data": facts.split.to_string(),
            "source": facts.source,
        }),
    };
    let mut configuration = serde_json::to_value(recorded).context("recording the configuration")?;
    if let Some(command) = configuration.get_mut("command").and_then(Value::as_object_mut) {
        command.retain(|_, value| !value.is_null());
    }
    let seed = section.run_options()?.seed;
    Ok(Manifest::new(configuration, facts.data, facts.program, seed, utc_now()))
}

/// The command line with whole paths, so that it means the same wherever it is resumed.
pub(crate) fn absolute(args: &OptimizeArgs, program: &Path) -> anyhow::Result<OptimizeArgs> {
    let whole = |path: &Path| {
        std::path::absolute(path).with_context(|| format!("finding the whole path of {}", path.display()))
    };
    let mut args = args.clone();
    args.run.task = whole(&args.run.task)?;
    args.run.cache = args.run.cache.as_deref().map(whole).transpose()?;
    args.search.from = args.search.from.as_deref().map(whole).transpose()?;
    args.out = Some(whole(program)?);
    Ok(args)
}
