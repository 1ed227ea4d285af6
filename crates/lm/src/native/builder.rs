//! The builder of a client: every option, its default and its effect.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genai::adapter::AdapterKind;
use genai::resolver::{AuthData, Endpoint as GenaiEndpoint};
use genai::{ModelIden, ServiceTarget};
use promptopt_core::lm::Sampling;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::ProviderClient;
use super::key::{credentials, extra_headers};
use super::wire::NativeWire;
use crate::body::BodyTemplate;
use crate::chat::USER_AGENT;
use crate::classify::Classifier;
use crate::conduct::Conduct;
use crate::endpoint::Endpoint;
use crate::headers::{Credentials, ExtraHeader};
use crate::identity::identity;
use crate::name::ModelName;
use crate::provider::Dialect;
use crate::reasoning::reasons;
use crate::retry::RetryPolicy;
use crate::secrets::redactor;
use crate::surface::builder_surface;
use crate::transport::{Limits, http_client};
use crate::wire::Peer;
use crate::{Concurrency, ConfigError, MaxTokensField, Provider, RateControl, Timer};

/// The bound on a completion of Anthropic's, which wants to have one.
const ANTHROPIC_MAX_TOKENS: u32 = 4096;
/// The same of a model that reasons: above the 8,000 tokens of medium effort.
const ANTHROPIC_MAX_REASONING_TOKENS: u32 = 16_384;
/// The same with more effort: above its 24,000 tokens.
const ANTHROPIC_MAX_HARD_REASONING_TOKENS: u32 = 32_768;

#[bon::bon]
impl ProviderClient {
    /// Starts a client; [`build`](ProviderClientBuilder::build) makes it.
    ///
    /// # Errors
    ///
    /// `build` returns a [`ConfigError`] for a setting that can not work: a provider that is none of these, a
    /// key that is missing, a base URL that is none, an option that the provider does not take. Nothing is
    /// sent.
    #[builder]
    pub fn new(
        #[builder(field)] headers: Vec<ExtraHeader>,
        #[builder(field)] extra: Map<String, Value>,
        /// The provider's prefix and the model's name, such as `anthropic/claude-sonnet-4-5`.
        #[builder(into)]
        model: String,
        /// Where the provider's API lives, for a proxy: the part up to and with the version, such as
        /// `https://api.anthropic.com/v1`. Default: the provider's own address. At another one the key may be
        /// missing.
        #[builder(into)]
        base_url: Option<String>,
        /// The key. Goes before any environment variable.
        #[builder(into)]
        api_key: Option<SecretString>,
        /// A file that holds the key and nothing else. White space around the key is left out. Goes before any
        /// environment variable. Read once, by `build`.
        #[builder(into)]
        api_key_file: Option<PathBuf>,
        /// Name of the environment variable that holds the key. Default: the provider's usual one.
        #[builder(into)]
        api_key_env: Option<String>,
        /// Sampling parameters for requests that do not set their own. Default: the provider's, and 4096 for
        /// Anthropic's `max_tokens`: 16,384 for a model that reasons, 32,768 with a `reasoning_effort` of
        /// `high` or more.
        #[builder(default)]
        mut sampling: Sampling,
        /// Whether a model may call several tools at once, for requests with tools that do not say it. A provider
        /// that takes no such word does as it likes. Default: the provider's.
        parallel_tool_calls: Option<bool>,
        /// Longest time to connect (name lookup, TCP and TLS). Default 10 s.
        #[builder(default = Duration::from_secs(10))]
        connect_timeout: Duration,
        /// Longest time for one whole attempt, until the last byte. Each retry has it anew, and waiting for
        /// rate control does not count. Default 120 s.
        #[builder(default = Duration::from_secs(120))]
        timeout: Duration,
        /// Attempts after the first. Default 5.
        #[builder(default = 5)]
        max_retries: u32,
        /// Longest wait before the first retry; it doubles with each, and the wait is drawn evenly from
        /// nothing up to it. Default 0.5 s.
        #[builder(default = Duration::from_millis(500))]
        backoff_base: Duration,
        /// Longest wait before any retry, unless the provider asks for more. Default 30 s.
        #[builder(default = Duration::from_secs(30))]
        backoff_max: Duration,
        /// Longest wait that a provider may ask for. Asked for more, the request fails and says so. Default
        /// 10 min.
        #[builder(default = Duration::from_secs(600))]
        max_retry_after: Duration,
        /// The `User-Agent` header. Default `promptopt/` and the version.
        #[builder(into, default = USER_AGENT)]
        user_agent: String,
        /// Seed of the jitter of the backoff. Default: another for each client. Replies do not depend on it.
        jitter_seed: Option<u64>,
        /// How many requests go out at once and per minute. Give the same handle to every client of one
        /// provider. Default: an adaptive limit of this client's own, see [`RateControl`].
        rate_control: Option<RateControl>,
        /// Most attempts of one call that a provider may bill: the one that answers, and those that timed
        /// out, broke off or brought an unreadable body. Default: as many as `max_retries` gives.
        max_attempts_billed: Option<u32>,
        /// What tells the time, and waits between attempts. Default: the one of `rate_control` where that
        /// is given, else [`SystemTimer`](crate::SystemTimer).
        clock: Option<Arc<dyn Timer>>,
    ) -> Result<Self, ConfigError> {
        let conduct = Conduct {
            // `genai` reads replies whole.
            limits: Limits {
                connect_timeout,
                first_byte_timeout: timeout,
                timeout,
                max_silence: timeout,
                max_reply_bytes: usize::MAX,
            },
            retry: RetryPolicy { max_retries, backoff_base, backoff_max, max_retry_after },
            hedge_after: None,
            deadline: None,
            max_queue_wait: None,
            concurrency: Concurrency::default(),
            max_attempts_billed,
            rate_control,
            timer: clock,
            jitter_seed,
        };
        conduct.check()?;
        let (provider, adapter, model) = provider_and_model(&model)?;
        let dialect = provider.dialect();
        check_support(dialect, &sampling, &extra)?;
        if dialect == Dialect::Anthropic {
            let effort = sampling.reasoning_effort.as_deref();
            let bound = match effort {
                Some("high" | "xhigh" | "max") => ANTHROPIC_MAX_HARD_REASONING_TOKENS,
                effort if reasons(&model, effort) => ANTHROPIC_MAX_REASONING_TOKENS,
                _ => ANTHROPIC_MAX_TOKENS,
            };
            sampling.max_tokens.get_or_insert(bound);
        }
        let max_tokens_field = MaxTokensField::MaxTokens;
        let template = BodyTemplate {
            model,
            sampling,
            max_tokens_field,
            strict_schemas: true,
            parallel_tool_calls,
            extra,
        };
        template.check()?;

        let endpoint = address(base_url.as_deref().unwrap_or(provider.base_url()))?;
        let can_do_without = base_url.is_some() || dialect == Dialect::Ollama;
        let named = Credentials::named(api_key, api_key_file, api_key_env)?;
        let credentials = credentials(named, provider, &headers, can_do_without)?;
        let parameters = Value::Object(template.extra.clone());
        let redactor = redactor(credentials.secrets(&endpoint, &headers, &parameters));
        let headers = extra_headers(dialect, &headers, &credentials)?;

        let http = http_client(&endpoint, &conduct.limits, &user_agent)?;
        let client = genai::Client::builder().with_reqwest(http).build();
        let client = client.map_err(|error| ConfigError::Http {
            reason: "the library for providers could not be set up".to_owned(),
            source: Box::new(error),
        })?;
        let url = format!("{}://{}", endpoint.url().scheme(), endpoint.place());
        let key = credentials.key.as_ref().map_or("", |key| key.expose_secret());
        let target = ServiceTarget {
            endpoint: GenaiEndpoint::from_owned(format!("{url}/")),
            auth: AuthData::from_single(key),
            model: ModelIden::new(adapter, template.model.as_str()),
        };
        let place = match &base_url {
            Some(_) => format!("{}@{}", provider.prefix(), endpoint.place()),
            None => provider.prefix().to_owned(),
        };
        let id = identity(&place, &template, &redactor);
        let classifier = Classifier { redactor, url, model: template.model.clone(), key: credentials.origin };
        let peer = Peer { template, classifier, timer: conduct.timer() };
        let wire = NativeWire { peer, dialect, client, target, headers, connect_timeout, timeout };
        Ok(Self(conduct.client(id, &endpoint, provider.prefix(), wire)?))
    }
}

builder_surface!(ProviderClientBuilder, provider_client_builder);

fn provider_and_model(name: &str) -> Result<(&'static Provider, AdapterKind, String), ConfigError> {
    let refuse = |reason: &str| ConfigError::ModelName { name: name.to_owned(), reason: reason.to_owned() };
    let ModelName::Provider { provider, model } = ModelName::parse(name, None)? else {
        return Err(refuse("it has no provider's prefix, as in `anthropic/claude-sonnet-4-5`"));
    };
    let adapter = match provider.dialect() {
        Dialect::Anthropic => AdapterKind::Anthropic,
        Dialect::Gemini => AdapterKind::Gemini,
        Dialect::Ollama => AdapterKind::Ollama,
        Dialect::OpenAi => return Err(refuse("that provider speaks the OpenAI dialect: use `ChatClient`")),
    };
    // The library takes these for something else than a part of the name.
    const EFFORTS: [&str; 8] = ["-none", "-zero", "-minimal", "-low", "-medium", "-high", "-xhigh", "-max"];
    let effort = EFFORTS.iter().find(|effort| model.ends_with(**effort));
    if let Some(effort) = effort.filter(|_| provider.dialect() != Dialect::Ollama) {
        return Err(refuse(&format!("no model of this provider ends in `{effort}`; set `reasoning_effort`")));
    }
    if model.contains("::") {
        return Err(refuse("it holds `::`"));
    }
    Ok((provider, adapter, model))
}

/// Refuses what the provider would not get to see.
fn check_support(
    dialect: Dialect,
    sampling: &Sampling,
    extra: &Map<String, Value>,
) -> Result<(), ConfigError> {
    if dialect == Dialect::Anthropic && sampling.seed.is_some() {
        return Err(ConfigError::option("sampling", "Anthropic takes no `seed`; leave it out"));
    }
    if let (Dialect::Ollama, Some(name)) = (dialect, extra.keys().next()) {
        return Err(ConfigError::BodyParameter {
            name: name.clone(),
            instead: "Ollama gets none this way; name the model `MODEL@http://localhost:11434/v1`".to_owned(),
        });
    }
    const OWN: [&str; 6] =
        ["system", "contents", "systemInstruction", "stop_sequences", "output_config", "messages"];
    match extra.keys().find(|name| OWN.contains(&name.as_str())) {
        Some(name) => Err(ConfigError::BodyParameter {
            name: name.clone(),
            instead: "it comes from each request".to_owned(),
        }),
        None => Ok(()),
    }
}

/// The address of an API. A login or a query would get lost on the way.
fn address(base_url: &str) -> Result<Endpoint, ConfigError> {
    let endpoint = Endpoint::parse(base_url)?;
    let refuse = |reason: &str| ConfigError::BaseUrl {
        url: format!("{}://{}", endpoint.url().scheme(), endpoint.place()),
        reason: reason.to_owned(),
    };
    if endpoint.has_login() {
        return Err(refuse("it holds a login, which is not sent; give a key or a secret header"));
    }
    if endpoint.url().query().is_some() {
        return Err(refuse("it holds a query, which is not sent; give a header"));
    }
    Ok(endpoint)
}
