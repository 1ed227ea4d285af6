//! Rollouts on other machines: the coordinator's side, and what there is to see of a fleet.

use std::path::{Component, Path};
use std::sync::Arc;

use promptopt_core::data::ContentHash;
use promptopt_run::Executor;
use serde_json::Value;

use crate::args::FleetCommand;
use crate::models::TaskModels;
use crate::output::Output;
use crate::program::PredictorChain;
use crate::progress::Progress;
use crate::session;
use crate::task_file::{FleetSection, TaskFile};

#[cfg(feature = "fleet")]
mod nats;
#[cfg(feature = "fleet")]
mod watch;

#[cfg(feature = "fleet")]
pub(crate) use nats::options;

/// Keys of a task that hold commands.
const COMMANDS: [&str; 3] = ["run", "serve", "command"];
/// Larger files, in bytes, are not compared.
const LARGEST_FILE: u64 = 64 << 20;

/// What coordinator and workers must have alike: parts of a task with their hashes.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "fleet"), expect(dead_code, reason = "without the feature nobody compares them"))]
pub(crate) struct Identity(pub(crate) Vec<(String, ContentHash)>);

impl Identity {
    /// Of a program with its own prompts, its metrics and its models.
    pub(crate) fn of(task: &TaskFile, chain: &PredictorChain, models: &TaskModels) -> Self {
        let asked = models.asked.chat.iter().chain(&models.asked.embeddings);
        let others = models.predictors.iter().chain(asked).map(|(name, model)| (name, model.profile().id));
        let others: Vec<_> = others.collect();
        let on_workers: Vec<_> =
            session::named_models(task).into_iter().map(|(place, model)| (place, model.on_workers)).collect();
        let program = task.source.get("program");
        let source = program.map(ToString::to_string).unwrap_or_default();
        let mut parts = vec![
            ("program".to_owned(), ContentHash::of(&(session::shape(chain), source))),
            ("metric".to_owned(), ContentHash::of(&task.source.get("metric").map(ToString::to_string))),
            ("model".to_owned(), ContentHash::of(&(models.program.model.profile().id, others, on_workers))),
        ];
        for part in ["program", "metric"].iter().filter_map(|name| task.source.get(name)) {
            files(part, &task.folder, &mut parts);
        }
        Self(parts)
    }
}

/// Files of the task's folder that commands name, such as a script, with the hashes of what they hold. What follows an option
/// such as `--log` may be a file that differs.
fn files(value: &Value, folder: &Path, found: &mut Vec<(String, ContentHash)>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| files(value, folder, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::Array(command) if COMMANDS.contains(&key.as_str()) => {
                        let words = || command.iter().filter_map(Value::as_str);
                        let before = std::iter::once("").chain(words());
                        let named = words().zip(before).filter(|(_, before)| !before.starts_with("--"));
                        found.extend(named.filter_map(|(word, _)| {
                            Some((format!("file `{word}`"), of_file(folder, word)?))
                        }));
                    }
                    other => files(other, folder, found),
                }
            }
        }
        _ => {}
    }
}

/// The hash of a file that lies in a folder, and not merely behind a link in it.
fn of_file(folder: &Path, word: &str) -> Option<ContentHash> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let is_plain =
        Path::new(word).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = folder.join(word).canonicalize().ok().filter(|_| is_plain)?;
    let is_file = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST_FILE);
    if !is_file || !path.starts_with(folder.canonicalize().ok()?) {
        return None;
    }
    std::fs::read(&path).ok().map(|bytes| ContentHash::join([bytes.as_slice()]))
}

/// Who makes the rollouts of a session, if not this process.
#[derive(Clone, Default)]
pub(crate) struct Fleet {
    #[cfg(feature = "fleet")]
    fleet: Option<Arc<promptopt_fleet::Fleet>>,
}

#[cfg(feature = "fleet")]
impl Fleet {
    /// Connects to a server, where that is asked for. An empty URL stands for that of the task file.
    pub(crate) async fn join(
        asked: Option<(&str, Identity)>,
        section: &FleetSection,
    ) -> anyhow::Result<Self> {
        let Some((url, identity)) = asked else { return Ok(Self::default()) };
        let fleet = nats::coordinator(nats::options(url, section)?, identity).await?;
        Ok(Self { fleet: Some(Arc::new(fleet)) })
    }

    pub(crate) fn executor(&self) -> Option<Arc<dyn Executor>> {
        self.fleet.clone().map(|fleet| fleet as Arc<dyn Executor>)
    }

    /// Says from now on who is there.
    pub(crate) fn show(&self, progress: &Arc<Progress>) -> Option<watch::Watch> {
        self.fleet.as_ref().map(|fleet| watch::Watch::begin(Arc::clone(fleet), Arc::clone(progress)))
    }

    /// Takes what is left of the run out of the queue.
    pub(crate) async fn close(&self) {
        if let Some(fleet) = &self.fleet {
            fleet.close().await;
        }
    }
}

#[cfg(not(feature = "fleet"))]
impl Fleet {
    pub(crate) async fn join(asked: Option<(&str, Identity)>, _: &FleetSection) -> anyhow::Result<Self> {
        match asked {
            Some(_) => anyhow::bail!("{WITHOUT}"),
            None => Ok(Self::default()),
        }
    }

    pub(crate) fn executor(&self) -> Option<Arc<dyn Executor>> {
        None
    }

    pub(crate) fn show(&self, _: &Arc<Progress>) -> Option<()> {
        None
    }

    pub(crate) async fn close(&self) {}
}

/// What a command says that was built without it.
#[cfg(not(feature = "fleet"))]
pub(crate) const WITHOUT: &str = "this promptopt was built without the fleet: build it with `cargo install promptopt-cli --features fleet`";

/// Shows workers and runs.
#[cfg(feature = "fleet")]
pub(crate) async fn status(command: &FleetCommand, output: Output) -> anyhow::Result<()> {
    nats::status(command, output).await
}

#[cfg(not(feature = "fleet"))]
pub(crate) async fn status(_: &FleetCommand, _: Output) -> anyhow::Result<()> {
    anyhow::bail!("{WITHOUT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_compared_and_neither_interpreters_nor_logs() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["app.py", "app.log", "tool.sh"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/bin/sh", folder.path().join("shell")).unwrap();
        let absolute = folder.path().join("app.py").display().to_string();
        let program = serde_json::json!({
            "serve": ["shell", "-u", "./app.py", "--log", "app.log", absolute, "../app.py", "away.py"],
            "tools": [{"command": ["sh", "tool.sh"]}],
            "instruction": "app.py",
            "columns": ["app.log"],
        });
        let mut found = Vec::new();
        files(&program, folder.path(), &mut found);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["file `./app.py`", "file `tool.sh`"]);
        assert_eq!(found[0].1, ContentHash::join(["app.py".as_bytes()]));
    }
}
