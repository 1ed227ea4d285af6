//! Which language model a task runs on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
#[cfg(feature = "local")]
use promptopt_core::lm::{Attempts, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::lm::{LanguageModel, Sampling};
use promptopt_core::secret::is_secret_name;
use promptopt_lm::{ModelName, ModelSettings, RateControl, by_name};
use promptopt_testkit::SimulatedLm;
use secrecy::SecretString;

use crate::data::Undivided;
use crate::secrets::key_variable;
use crate::task_file::{AS_ASKED, ModelSection};

mod of_task;

pub(crate) use of_task::TaskModels;

/// A model of a session.
#[derive(Clone)]
pub(crate) struct ChosenModel {
    pub(crate) model: Arc<dyn LanguageModel>,
    /// Whether it is the embedded model.
    pub(crate) is_embedded: bool,
    /// Whether it is the simulated model, whose scores say nothing of a real one.
    pub(crate) is_simulated: bool,
}

/// What a model is called where people read: its id without settings.
pub(crate) fn short_id(id: &str) -> String {
    let words: Vec<&str> = id.split(' ').take_while(|word| !word.contains('=')).collect();
    if words.is_empty() { id.to_owned() } else { words.join(" ") }
}

/// The endpoints of a run. Models at one endpoint share what it takes at once.
#[derive(Default)]
pub(crate) struct Endpoints {
    known: Vec<(Endpoint, RateControl)>,
    /// Nobody is called, so no key is needed.
    idle: bool,
    /// Whether there are workers, who may have a model themselves.
    has_workers: bool,
}

/// Where a model is, and what the task file says it takes.
#[derive(PartialEq)]
struct Endpoint {
    url: Option<String>,
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
}

impl Endpoints {
    /// Endpoints of a run that calls nobody.
    pub(crate) fn idle() -> Self {
        Self { idle: true, ..Self::default() }
    }

    /// There are workers: a model that they have is called by them, and nobody else needs its key.
    pub(crate) fn join_fleet(&mut self) {
        self.has_workers = true;
    }

    /// Whether nobody is called.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle
    }

    /// The rate control of an endpoint: that of an earlier model there with the same limits.
    fn rate(&mut self, url: Option<&str>, section: &ModelSection) -> anyhow::Result<RateControl> {
        let endpoint = Endpoint {
            url: url.map(|url| url.trim_end_matches('/').to_owned()),
            requests_per_minute: section.requests_per_minute,
            tokens_per_minute: section.tokens_per_minute,
        };
        if let Some((_, rate)) = self.known.iter().find(|(known, _)| *known == endpoint) {
            return Ok(rate.clone());
        }
        let rate = RateControl::builder()
            .maybe_requests_per_minute(section.requests_per_minute)
            .maybe_tokens_per_minute(section.tokens_per_minute)
            .build()?;
        self.known.push((endpoint, rate.clone()));
        Ok(rate)
    }
}

/// A model by the command line or the task file. `rows` are what a simulated model answers about.
pub(crate) async fn choose(
    section: &ModelSection,
    name: Option<&str>,
    rows: &Undivided,
    endpoints: &mut Endpoints,
) -> anyhow::Result<ChosenModel> {
    // Another model than the task file's is not to get that one's settings, key and headers.
    let own = ModelSection::named(name.unwrap_or(&section.name));
    let section = if name.is_none_or(|name| name == section.name) { section } else { &own };
    let name = section.name.as_str();
    if name == AS_ASKED {
        bail!("`{AS_ASKED}` stands for several models, and here is a place for one: name it");
    }
    if name == "sim" || is_embedded(name) {
        let of_servers = [("reasoning_effort", &section.reasoning_effort), ("verbosity", &section.verbosity)];
        if let Some((key, _)) = of_servers.into_iter().find(|(_, value)| value.is_some()) {
            bail!("`model.{key}` is for models of a server, and `{name}` is none: leave it out");
        }
    }
    if name == "sim" {
        if section.on_workers {
            bail!(
                "`model.on_workers` is for models that a worker can have; the simulated one knows the data, which workers have not"
            );
        }
        let model = Arc::new(SimulatedLm::over_examples(rows.all(), section.seed.unwrap_or(0)));
        return Ok(ChosenModel { model, is_embedded: false, is_simulated: true });
    }
    if is_embedded(name) {
        let spec = name.strip_prefix("local/").filter(|spec| !spec.is_empty());
        let model = where_it_is(section, embedded(section, spec).await?);
        return Ok(ChosenModel { model, is_embedded: true, is_simulated: false });
    }
    let model = remote(section, name, endpoints, false).await.context("setting up the model")?;
    Ok(ChosenModel { model, is_embedded: false, is_simulated: false })
}

/// A model of embeddings, which is a server's.
pub(crate) async fn embedding(
    section: &ModelSection,
    endpoints: &mut Endpoints,
) -> anyhow::Result<Arc<dyn LanguageModel>> {
    let name = section.name.as_str();
    if name == "sim" || is_embedded(name) {
        bail!("`model.embeddings` lists `{name}`, which is no model of a server");
    }
    remote(section, name, endpoints, true).await.context("setting up the model of embeddings")
}

fn is_embedded(name: &str) -> bool {
    name == "local" || name.starts_with("local/")
}

fn sampling(section: &ModelSection) -> Sampling {
    let mut sampling = Sampling::default().with_stop(section.stops(None));
    sampling.temperature = section.temperature;
    sampling.top_p = section.top_p;
    sampling.max_tokens = section.max_tokens;
    sampling.seed = section.seed;
    sampling.reasoning_effort.clone_from(&section.reasoning_effort);
    sampling.verbosity.clone_from(&section.verbosity);
    sampling
}

/// A model of a server, by its name.
pub(crate) async fn remote(
    section: &ModelSection,
    name: &str,
    endpoints: &mut Endpoints,
    embeds: bool,
) -> anyhow::Result<Arc<dyn LanguageModel>> {
    if section.context_length.is_some() {
        bail!(
            "`model.context_length` is for the embedded model; the server of `{name}` has its own: leave it out"
        );
    }
    let parsed = ModelName::parse(name, section.base_url.as_deref())?;
    let place = match &parsed {
        ModelName::Compatible { base_url, .. } => base_url.clone(),
        ModelName::Provider { provider, .. } => {
            section.provider_url.clone().or(Some(provider.base_url().to_owned()))
        }
        _ => None,
    };
    let at_openai = matches!(&parsed, ModelName::Compatible { base_url: None, .. });
    let has_header = section.headers.keys().any(|name| is_secret_name(name));
    let asks_for_key = at_openai && section.api_key_file.is_none() && !has_header;
    let header = |(name, value): (&String, &String)| {
        (name.clone(), SecretString::from(value.clone()), is_secret_name(name))
    };
    let on_workers = endpoints.has_workers && section.on_workers;
    let is_idle = match (endpoints.idle, on_workers) {
        (idle, false) => idle,
        (true, true) => false,
        // A coordinator may have none for its own.
        (false, true) => section.api_key_file.is_none() && std::env::var_os(key_variable(section)).is_none(),
    };
    let settings = ModelSettings::builder()
        .maybe_base_url(section.base_url.clone())
        .maybe_provider_url(section.provider_url.clone())
        .maybe_api_key(is_idle.then(|| SecretString::from("none")))
        .maybe_api_key_env(
            section.api_key_env.clone().or(asks_for_key.then(|| key_variable(section).to_owned())),
        )
        .maybe_api_key_file(section.api_key_file.clone().filter(|_| !is_idle))
        .sampling(sampling(section))
        .maybe_max_retries(section.max_retries)
        .maybe_max_retry_after(seconds("max_retry_after", section.max_retry_after)?)
        .maybe_timeout(seconds("timeout", section.timeout)?)
        .maybe_hedge_after(seconds("hedge_after", section.hedge_after)?)
        .rate_control(endpoints.rate(place.as_deref(), section)?)
        .extra(section.extra.clone())
        .headers(section.headers.iter().map(header).collect())
        .embeds(embeds)
        .build();
    Ok(where_it_is(section, by_name(name, &settings).await?))
}

/// The model, or what stands for it where workers of a fleet have it themselves.
fn where_it_is(section: &ModelSection, model: Arc<dyn LanguageModel>) -> Arc<dyn LanguageModel> {
    #[cfg(feature = "fleet")]
    if section.on_workers {
        return Arc::new(promptopt_fleet::OnWorkers::new(model));
    }
    let _ = section;
    model
}

fn seconds(key: &str, value: Option<f64>) -> anyhow::Result<Option<Duration>> {
    match value {
        None => Ok(None),
        Some(seconds) if seconds > 0.0 && seconds <= 1e9 => Ok(Some(Duration::from_secs_f64(seconds))),
        Some(seconds) => bail!("`model.{key}` is {seconds}, but must be a number of seconds above 0"),
    }
}

#[cfg(feature = "local")]
async fn embedded(section: &ModelSection, spec: Option<&str>) -> anyhow::Result<Arc<dyn LanguageModel>> {
    use promptopt_lm_local::{LocalModel, LocalModelOptions, resolve};

    let path = resolve(spec)?;
    let options = LocalModelOptions::builder()
        .path(path)
        .temperature(section.temperature.unwrap_or(0.0))
        .max_tokens(section.max_tokens.unwrap_or(64))
        .seed(section.seed.unwrap_or(0))
        .context_length(section.context_length.unwrap_or(4096))
        .build();
    let model = LocalModel::load(options).await.context("loading the embedded model")?;
    // The end marker of the chat format is nothing the program needs to see.
    let stop = section.stops(Some("[[ ## completed ## ]]"));
    Ok(Arc::new(WithSampling { model, stop, top_p: section.top_p }))
}

#[cfg(not(feature = "local"))]
async fn embedded(_section: &ModelSection, _spec: Option<&str>) -> anyhow::Result<Arc<dyn LanguageModel>> {
    bail!(
        "this promptopt was built without the embedded model; `cargo xtask demo` builds one that has it, or choose \
         another model with `--lm sim` or `--lm MODEL@BASE_URL`"
    )
}

/// The embedded model with what the task file says and its own options have no place for.
#[cfg(feature = "local")]
struct WithSampling<M> {
    model: M,
    stop: Vec<String>,
    top_p: Option<f64>,
}

#[cfg(feature = "local")]
#[async_trait::async_trait]
impl<M: LanguageModel> LanguageModel for WithSampling<M> {
    fn profile(&self) -> ModelProfile {
        let profile = self.model.profile();
        let top_p = self.top_p.map_or(String::new(), |top_p| format!(" top_p={top_p}"));
        let id = format!("{} stop={:?}{top_p}", profile.id, self.stop);
        profile.with_id(id)
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let mut request = request.clone();
        request.sampling.stop.extend(self.stop.iter().cloned());
        request.sampling.top_p = request.sampling.top_p.or(self.top_p);
        self.model.complete(&request, attempts).await
    }
}
