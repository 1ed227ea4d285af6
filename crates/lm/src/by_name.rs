//! From the name of a model to a client for it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use promptopt_core::lm::{LanguageModel, Sampling};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::only_model::only_model;
use crate::{ChatClient, ConfigError, ModelName, Provider, RateControl};

/// What a client for a named model is built with. Everything may be left out.
#[derive(Clone, Default, bon::Builder)]
#[non_exhaustive]
pub struct ModelSettings {
    /// Headers of every request: name, value, and whether it is a secret.
    #[builder(default)]
    pub headers: Vec<(String, SecretString, bool)>,
    /// Extra parameters in the body of every request.
    #[builder(default)]
    pub extra: Map<String, Value>,
    /// An OpenAI-compatible server, which is sent the whole name as it stands. One in the name goes before it.
    #[builder(into)]
    pub base_url: Option<String>,
    /// Where the API of the provider named by the prefix lives, for a proxy. Default: the provider's own
    /// address.
    #[builder(into)]
    pub provider_url: Option<String>,
    /// The key. Default: the environment variable that the provider is known by.
    #[builder(into)]
    pub api_key: Option<SecretString>,
    /// A file that holds the key.
    #[builder(into)]
    pub api_key_file: Option<PathBuf>,
    /// Name of the environment variable that holds the key.
    #[builder(into)]
    pub api_key_env: Option<String>,
    /// Sampling parameters for requests that do not set their own.
    #[builder(default)]
    pub sampling: Sampling,
    /// Attempts after the first.
    pub max_retries: Option<u32>,
    /// The longest wait that a server may ask for before a retry.
    pub max_retry_after: Option<Duration>,
    /// Longest time for one whole attempt.
    pub timeout: Option<Duration>,
    /// After how long a request is sent a second time. For the OpenAI dialect only.
    pub hedge_after: Option<Duration>,
    /// Whether it is a model of embeddings ([`ChatClientBuilder::for_embeddings`](crate::ChatClientBuilder::for_embeddings)).
    /// For the OpenAI dialect only.
    #[builder(default)]
    pub embeds: bool,
    /// The limits of the endpoint.
    pub rate_control: Option<RateControl>,
}

impl fmt::Debug for ModelSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses, headers and extra parameters can hold secrets.
        formatter.debug_struct("ModelSettings").field("sampling", &self.sampling).finish_non_exhaustive()
    }
}

/// A client for the model of this name, see [`ModelName`].
///
/// Sends something only where the name is the address of a server alone: it is asked for its models.
///
/// # Errors
///
/// [`ConfigError`], if the name or a setting can not work. The embedded model is none of this crate's, and a
/// [`ConfigError::ModelName`] here.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), promptopt_lm::ConfigError> {
/// use promptopt_lm::{ModelSettings, by_name};
///
/// let settings = ModelSettings::builder().api_key("secret").build();
/// let model = by_name("groq/llama-3.3-70b-versatile", &settings).await?;
/// assert_eq!(model.profile().id, "api.groq.com/openai/v1 llama-3.3-70b-versatile");
/// # Ok(())
/// # }
/// ```
pub async fn by_name(name: &str, settings: &ModelSettings) -> Result<Arc<dyn LanguageModel>, ConfigError> {
    let parsed = ModelName::parse(name, settings.base_url.as_deref())?;
    if settings.provider_url.is_some() && !matches!(parsed, ModelName::Provider { .. }) {
        return Err(ConfigError::option(
            "provider_url",
            "no provider is named; an OpenAI-compatible server is a `base_url`",
        ));
    }
    match parsed {
        ModelName::Compatible { model: Some(model), base_url } => compatible(&model, base_url, settings),
        ModelName::Compatible { model: None, base_url } => {
            let base_url = base_url.unwrap_or_default();
            let model = only_model(&base_url, settings).await?;
            compatible(&model, Some(base_url), settings)
        }
        ModelName::Provider { provider, model } if provider.speaks_openai() => {
            let mut settings = settings.clone();
            // Nobody but OpenAI is to get the key of `OPENAI_API_KEY`.
            if !has_credentials(&settings) {
                settings.api_key_env = Some(provider.key_variable().to_owned());
            }
            let base_url = settings.provider_url.clone().unwrap_or_else(|| provider.base_url().to_owned());
            compatible(&model, Some(base_url), &settings)
        }
        ModelName::Provider { provider, model } => native(provider, &model, settings),
        ModelName::Embedded { .. } => Err(ConfigError::ModelName {
            name: name.to_owned(),
            reason: "the embedded model has a client of its own".to_owned(),
        }),
    }
}

/// Sets what both builders have.
macro_rules! with_settings {
    ($builder:expr, $settings:expr) => {{
        let settings: &ModelSettings = $settings;
        let mut builder = $builder
            .maybe_api_key(settings.api_key.clone())
            .maybe_api_key_file(settings.api_key_file.clone())
            .maybe_api_key_env(settings.api_key_env.clone())
            .sampling(settings.sampling.clone())
            .maybe_max_retries(settings.max_retries)
            .maybe_max_retry_after(settings.max_retry_after)
            .maybe_timeout(settings.timeout)
            .maybe_rate_control(settings.rate_control.clone())
            .extra_body(settings.extra.clone());
        for (name, value, is_secret) in &settings.headers {
            builder = match is_secret {
                true => builder.secret_header(name, value.clone()),
                false => builder.header(name, value.expose_secret()),
            };
        }
        builder
    }};
}

fn compatible(
    model: &str,
    base_url: Option<String>,
    settings: &ModelSettings,
) -> Result<Arc<dyn LanguageModel>, ConfigError> {
    let builder =
        ChatClient::builder().model(model).maybe_base_url(base_url).maybe_hedge_after(settings.hedge_after);
    let builder = if settings.embeds { builder.for_embeddings() } else { builder };
    Ok(Arc::new(with_settings!(builder, settings).build()?))
}

#[cfg(feature = "providers")]
fn native(
    provider: &'static Provider,
    model: &str,
    settings: &ModelSettings,
) -> Result<Arc<dyn LanguageModel>, ConfigError> {
    if settings.embeds {
        return Err(ConfigError::ModelName {
            name: model.to_owned(),
            reason: "embeddings are asked for in the OpenAI dialect, which this provider does not speak"
                .to_owned(),
        });
    }
    if settings.hedge_after.is_some() {
        let reason = "there is no hedge for a provider that does not speak the OpenAI dialect";
        return Err(ConfigError::option("hedge_after", reason));
    }
    let builder = crate::ProviderClient::builder()
        .model(format!("{}/{model}", provider.prefix()))
        .maybe_base_url(settings.provider_url.clone());
    Ok(Arc::new(with_settings!(builder, settings).build()?))
}

#[cfg(not(feature = "providers"))]
fn native(
    provider: &'static Provider,
    _model: &str,
    _settings: &ModelSettings,
) -> Result<Arc<dyn LanguageModel>, ConfigError> {
    Err(ConfigError::Feature { provider: provider.prefix(), feature: "providers" })
}

/// Whether the settings say what a request is authorized by.
fn has_credentials(settings: &ModelSettings) -> bool {
    settings.api_key.is_some()
        || settings.api_key_file.is_some()
        || settings.api_key_env.is_some()
        || settings
            .headers
            .iter()
            .any(|(name, _, is_secret)| *is_secret || name.eq_ignore_ascii_case("authorization"))
}
