//! The models that a program asks for, whichever they are.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, bail};
use promptopt_core::lm::{LanguageModel, LmError, LmReply, LmRequest, lm_fn};
use promptopt_gateway::Asks;
use promptopt_lm::ModelName;

use super::watch::Watch;
use crate::data::Undivided;
use crate::models::{Endpoints, choose, remote};
use crate::secrets;
use crate::task_file::{ModelSection, TaskFile};

/// Where a provider's OpenAI-compatible server is, and the variables of its clients.
const SERVERS: [(&str, &str, &str); 2] = [
    ("OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    ("ANTHROPIC_API_KEY", "", "https://api.anthropic.com/v1"),
];

/// The models that a program asks for.
pub(crate) struct Models {
    /// What answers all chats, whatever they ask for.
    fixed: Option<Arc<dyn LanguageModel>>,
    /// Where models are by the names that the program uses.
    server: Option<ModelSection>,
    endpoints: Mutex<Endpoints>,
}

impl Models {
    /// The model of the command line or of the task file; without one, those that the program asks for, where the environment
    /// says that they are.
    pub(crate) async fn of(lm: Option<&str>, task: Option<&TaskFile>, folder: &Path) -> anyhow::Result<Self> {
        let section = task.map(|task| task.model.clone());
        let server = section.clone().or_else(server);
        // What is written goes into a file.
        if task.is_none() {
            let address = server.as_ref().and_then(|server| server.base_url.as_deref());
            if address.into_iter().chain(lm).any(|text| !secrets::in_url(text).is_empty()) {
                bail!(
                    "the address of the model (`--lm`, OPENAI_BASE_URL) holds a login or a key, which no file should: take it out, \
                     or write the task file by hand"
                );
            }
        }
        let name = lm.map(str::to_owned).or_else(|| {
            section.as_ref().filter(|section| !section.as_asked).map(|section| section.name.clone())
        });
        let mut endpoints = Endpoints::default();
        let fixed = match name {
            Some(name) => {
                let section = section.unwrap_or_else(|| ModelSection::named(&name));
                let rows = Undivided::none();
                Some(choose(&section, Some(&name), &rows, &mut endpoints).await?.model)
            }
            None => None,
        };
        if fixed.is_none() && server.is_none() {
            let file = folder.join(".env").exists().then_some(
                " There is a file .env here, which promptopt does not read: `set -a; . ./.env; set +a` sets what it says.",
            );
            bail!(
                "no key is set: set OPENAI_API_KEY or ANTHROPIC_API_KEY, and OPENAI_BASE_URL for a server of your own, or choose \
                 a model with `--lm`. The program itself never sees the key.{}",
                file.unwrap_or_default()
            );
        }
        if let (None, Some(server)) = (&fixed, &server) {
            // What is wrong with the server is said before anything runs.
            let any = ModelSection { name: "any".to_owned(), ..server.clone() };
            remote(&any, "any", &mut endpoints, false).await?;
        }
        Ok(Self { fixed, server, endpoints: Mutex::new(endpoints) })
    }

    /// The model of a name that the program asks for, watched.
    pub(crate) fn find(
        &self,
        name: &str,
        asks: Asks,
        watch: &Arc<Watch>,
    ) -> Result<Arc<dyn LanguageModel>, String> {
        let embeds = asks == Asks::Embeddings;
        let model = match &self.fixed {
            Some(model) if !embeds => Arc::clone(model),
            _ => self.of_server(name, embeds).map_err(|error| format!("{error:#}"))?,
        };
        Ok(watch.around(model, name, embeds))
    }

    fn of_server(&self, name: &str, embeds: bool) -> anyhow::Result<Arc<dyn LanguageModel>> {
        let server = self.server.as_ref().context("embeddings need a server: set OPENAI_API_KEY")?;
        // A name of the program's is none of ours: an address or a provider in it would be asked with the user's key.
        let parsed = ModelName::parse(name, server.base_url.as_deref())?;
        if name.contains("://") || matches!(parsed, ModelName::Provider { .. }) {
            bail!(
                "the program asks for the model `{name}` of another server, which is not to get this one's key"
            );
        }
        let section = ModelSection { name: name.to_owned(), ..server.clone() };
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        at_once(remote(&section, name, &mut endpoints, embeds))
    }

    /// What stands for the model of a call before it is known.
    pub(crate) fn any(&self) -> Arc<dyn LanguageModel> {
        let none = |_: LmRequest| async {
            Err::<LmReply, _>(LmError::Call { message: "no model was asked for".to_owned() })
        };
        self.fixed.clone().unwrap_or_else(|| Arc::new(lm_fn("none", none)))
    }

    /// The server as the task file is to name it, without a model.
    pub(crate) fn server(&self) -> Option<&ModelSection> {
        self.server.as_ref()
    }
}

/// The server that the environment names.
fn server() -> Option<ModelSection> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let found = SERVERS.into_iter().find_map(|(key, address, default)| {
        let (has_key, address) = (set(key).is_some(), set(address));
        (has_key || address.is_some()).then(|| (key, has_key, address.unwrap_or_else(|| default.to_owned())))
    });
    found.map(|(key, has_key, address)| ModelSection {
        base_url: Some(address),
        api_key_env: has_key.then(|| key.to_owned()),
        ..ModelSection::default()
    })
}

/// What a model with an address and a name waits for is nothing.
fn at_once<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match pin!(work).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => bail!("a model is asked for what it is before it is used"),
    }
}
