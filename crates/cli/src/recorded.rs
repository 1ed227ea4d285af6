//! What a run was started with, as `run.json` keeps it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use promptopt_core::secret::MASK;
use promptopt_store::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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
    /// Where the run directory was then.
    #[serde(default)]
    directory: Option<PathBuf>,
}

/// What may differ in a model's section when a run is resumed: how requests are sent, but not what is asked of whom.
const OF_SENDING: [&str; 7] = [
    "timeout",
    "max_retries",
    "requests_per_minute",
    "tokens_per_minute",
    "api_key_env",
    "api_key_file",
    "on_workers",
];

impl Recorded {
    /// What a run directory says of its run.
    pub(crate) fn of(manifest: &Manifest) -> anyhow::Result<Self> {
        serde_json::from_value(manifest.configuration.clone())
            .context("the run was not started by `promptopt optimize`")
    }

    /// What a run directory says of its run. Where the directory was moved together with the task, or copied, the
    /// paths are those beside it now.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Self> {
        let mut recorded = Self::of(&Manifest::read(directory)?)?;
        let now = std::path::absolute(directory)
            .with_context(|| format!("finding the whole path of {}", directory.display()))?;
        let command = &mut recorded.command;
        // Earlier versions kept it beside the program.
        let beside = || Some(command.out.as_ref()?.parent()?.join(now.file_name()?));
        let Some(before) = recorded.directory.clone().or_else(beside) else { return Ok(recorded) };
        let Some(task) = rebased(&command.run.task, &before, &now) else { return Ok(recorded) };
        if !task.exists() && command.run.task.exists() {
            return Ok(recorded);
        }
        command.run.task = task;
        for path in [&mut command.search.from, &mut command.run.cache].into_iter().flatten() {
            if let Some(moved) = rebased(path, &before, &now).filter(|moved| moved.exists()) {
                *path = moved;
            }
        }
        if let Some(out) = &mut command.out {
            *out = rebased(out, &before, &now).unwrap_or_else(|| out.clone());
        }
        Ok(recorded)
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
    directory: Option<&Path>,
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
        directory: directory.and_then(|path| std::path::absolute(path).ok()),
    };
    let mut configuration = serde_json::to_value(recorded).context("recording the configuration")?;
    if let Some(command) = configuration.get_mut("command").and_then(Value::as_object_mut) {
        command.retain(|_, value| !value.is_null());
    }
    let seed = section.run_options()?.seed;
    Ok(Manifest::new(configuration, facts.data, facts.program, seed, utc_now()))
}

/// Takes out of a configuration what changes no outcome: where files are (their contents are compared by their hashes),
/// how replies are shared and requests sent, and without a cap of money, what they cost.
pub(crate) fn strip(configuration: &mut Value) {
    let Some(object) = configuration.as_object_mut() else { return };
    // A run is resumed with the command line that it was started with.
    object.shift_remove("command");
    object.shift_remove("directory");
    let has_cap = object
        .get("resolved")
        .is_some_and(|resolved| resolved.pointer("/optimizer/max_cost").is_some_and(|cap| !cap.is_null()));
    for section in ["/task/optimizer", "/resolved/optimizer"] {
        if let Some(optimizer) = configuration.pointer_mut(section).and_then(Value::as_object_mut) {
            optimizer.shift_remove("concurrency");
        }
    }
    if let Some(data) = configuration.pointer_mut("/task/data").and_then(Value::as_object_mut) {
        data.retain(|name, value| {
            let is_file = value.as_str().is_some_and(|text| text.parse::<f64>().is_err());
            !(is_file && ["path", "train", "selection", "test"].contains(&name.as_str()))
        });
    }
    let Some(task) = configuration.get_mut("task").and_then(Value::as_object_mut) else { return };
    task.shift_remove("cache");
    // Where rollouts are made changes none of them.
    task.shift_remove("fleet");
    if !has_cap {
        task.shift_remove("prices");
    }
    strip_models(task);
    // A section that held nothing else says nothing.
    task.retain(|_, section| section.as_object().is_none_or(|section| !section.is_empty()));
}

fn strip_models(object: &mut Map<String, Value>) {
    for (name, value) in object {
        let is_model = ["model", "prompt_model"].contains(&name.as_str());
        if let (true, Some(model)) = (is_model, value.as_str()) {
            *value = json!({ "name": model });
        }
        let children: Vec<&mut Value> = match value {
            Value::Array(items) => items.iter_mut().collect(),
            value => vec![value],
        };
        for child in children.into_iter().filter_map(Value::as_object_mut) {
            if is_model {
                child.retain(|name, _| !OF_SENDING.contains(&name.as_str()));
            } else {
                strip_models(child);
            }
        }
    }
}

/// Where a path is that was beside one directory and is now beside another; `None` where the two had nothing to do with
/// each other.
fn rebased(path: &Path, before: &Path, now: &Path) -> Option<PathBuf> {
    let shared = path.components().zip(before.components()).take_while(|(one, other)| one == other).count();
    if shared < 2 {
        return None;
    }
    let up = before.components().count() - shared;
    let mut moved = now.ancestors().nth(up)?.to_owned();
    moved.extend(path.components().skip(shared));
    Some(moved)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, before: &str, now: &str, expected: Option<&str>) {
        let moved = rebased(Path::new(path), Path::new(before), Path::new(now));
        assert_eq!(moved.as_deref(), expected.map(Path::new), "{path}");
    }

    #[test]
    fn paths_move_with_what_they_are_beside() {
        check("/srv/a/work/task.toml", "/srv/a/work/r.run", "/mnt/copy/r.run", Some("/mnt/copy/task.toml"));
        check("/srv/a/work/x/task.toml", "/srv/a/work/r.run", "/mnt/r.run", Some("/mnt/x/task.toml"));
        check("/srv/a/task.toml", "/srv/a/runs/1/r.run", "/mnt/b/1/r.run", Some("/mnt/task.toml"));
        // What was elsewhere stays there.
        check("/data/task.toml", "/srv/a/r.run", "/srv/b/r.run", None);
        check("/srv/a/task.toml", "/srv/a/x/y/r.run", "/r.run", None);
    }

    #[test]
    fn only_what_changes_an_outcome_is_left() {
        let stripped = |mut value: Value| {
            strip(&mut value);
            value
        };
        let full = json!({
            "command": {"task": "/a/task.toml"},
            "directory": "/a/r.run",
            "task": {
                "model": {"name": "m", "timeout": 5, "max_retries": 1, "temperature": 0.5},
                "program": {"predictors": [{"name": "p", "model": {"name": "n", "api_key_env": "K"}}]},
                "metric": {"kind": "judge", "model": "j"},
                "cache": {"dir": "c"},
                "prices": {"m": {"prompt": 1}},
                "data": {"path": "/a/rows.jsonl", "test": "/a/test.jsonl", "train": 0.4, "seed": 3},
                "optimizer": {"concurrency": 3},
            },
            "resolved": {"optimizer": {"concurrency": 3, "max_calls": 9}},
        });
        let expected = json!({
            "task": {
                "model": {"name": "m", "temperature": 0.5},
                "program": {"predictors": [{"name": "p", "model": {"name": "n"}}]},
                "metric": {"kind": "judge", "model": {"name": "j"}},
                "data": {"train": 0.4, "seed": 3},
            },
            "resolved": {"optimizer": {"max_calls": 9}},
        });
        assert_eq!(stripped(full.clone()), expected);
        assert_eq!(stripped(expected.clone()), expected);
        // Where money is capped, a price decides what can be bought.
        let mut capped = full;
        capped["resolved"]["optimizer"]["max_cost"] = json!("0.5");
        assert_eq!(stripped(capped)["task"]["prices"], json!({"m": {"prompt": 1}}));
    }
}
