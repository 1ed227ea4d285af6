//! Rollouts on other machines: the coordinator's side, and what there is to see of a fleet.

use std::path::Path;
use std::sync::Arc;

use promptopt_core::data::ContentHash;
use promptopt_core::program::Module as _;
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

/// Longer texts of a task, in bytes, are no commands,
const LONGEST_COMMAND: usize = 4096;
/// and larger files, in bytes, are not compared.
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
        let program = task.source.get("program");
        let source = program.map(ToString::to_string).unwrap_or_default();
        let mut parts = vec![
            ("program".to_owned(), ContentHash::of(&(session::hash(chain), chain.name(), source))),
            ("metric".to_owned(), ContentHash::of(&task.source.get("metric").map(ToString::to_string))),
            ("model".to_owned(), ContentHash::of(&(models.program.model.profile().id, others))),
        ];
        for part in ["program", "metric"].iter().filter_map(|name| task.source.get(name)) {
            files(part, &task.folder, &mut parts);
        }
        Self(parts)
    }
}

/// Files that a part of a task names, such as the script of a command, with the hashes of what they hold.
fn files(value: &Value, folder: &Path, found: &mut Vec<(String, ContentHash)>) {
    match value {
        Value::String(text) => {
            for word in text.split_whitespace().filter(|_| text.len() <= LONGEST_COMMAND) {
                let path = folder.join(word);
                if path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST_FILE)
                    && let Ok(bytes) = std::fs::read(&path)
                {
                    found.push((format!("file `{word}`"), ContentHash::of(&bytes)));
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| files(value, folder, found)),
        Value::Object(fields) => fields.values().for_each(|value| files(value, folder, found)),
        _ => {}
    }
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
        url: Option<&str>,
        section: &FleetSection,
        identity: Identity,
    ) -> anyhow::Result<Self> {
        let Some(url) = url else { return Ok(Self::default()) };
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
    pub(crate) async fn join(url: Option<&str>, _: &FleetSection, _: Identity) -> anyhow::Result<Self> {
        match url {
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
