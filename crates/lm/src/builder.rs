//! The builder of a client: every option, its default and its effect.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use promptopt_core::Sampling;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::body::BodyTemplate;
use crate::classify::Classifier;
use crate::endpoint::Endpoint;
use crate::format_support::FormatSupport;
use crate::headers::{Credentials, ExtraHeader, header_map};
use crate::identity::identity;
use crate::parameter_support::ParameterSupport;
use crate::retry::RetryPolicy;
use crate::secrets::Redactor;
use crate::transport::{Limits, Transport, http_client};
use crate::{ChatClient, Clock, ConfigError, MaxTokensField, RateControl};

pub(crate) const USER_AGENT: &str = concat!("promptopt/", env!("CARGO_PKG_VERSION"));

#[bon::bon]
impl ChatClient {
    /// Starts a client; [`build`](ChatClientBuilder::build) makes it.
    ///
    /// # Errors
    ///
    /// `build` returns a [`ConfigError`] for a setting that can not work: a base URL that is none, a key
    /// that is missing from the variable named for it, an extra parameter that clashes with one of the
    /// client's own. Nothing is sent.
    #[builder]
    pub fn new(
        #[builder(field)] headers: Vec<ExtraHeader>,
        #[builder(field)] extra: Map<String, Value>,
        /// Where the API lives. Default `https://api.openai.com/v1`. A trailing slash and a full
        /// `…/chat/completions` are tolerated; a query is sent along.
        #[builder(into, default = "https://api.openai.com/v1")]
        base_url: String,
        /// Name of the model, as the provider spells it.
        #[builder(into)]
        model: String,
        /// The key, sent as `Authorization: Bearer …`. Goes before any environment variable.
        #[builder(into)]
        api_key: Option<SecretString>,
        /// A file that holds the key and nothing else, such as a mounted secret. White space around the key
        /// is left out. Goes before any environment variable. Read once, by `build`.
        #[builder(into)]
        api_key_file: Option<PathBuf>,
        /// Name of the environment variable that holds the key. One that is named has to be set. By
        /// default `OPENAI_API_KEY` is looked at, and nothing is sent when it is not set, as local
        /// servers like it.
        #[builder(into)]
        api_key_env: Option<String>,
        /// Sampling parameters for requests that do not set their own. Default: the provider's.
        #[builder(default)]
        sampling: Sampling,
        /// The name under which `max_tokens` is sent first. A server that refuses it gets the other one,
        /// from then on. Default [`MaxTokensField::MaxTokens`].
        #[builder(default)]
        max_tokens_field: MaxTokensField,
        /// Whether JSON schemas are sent with `"strict": true`. Default true.
        #[builder(default = true)]
        strict_schemas: bool,
        /// Longest time to connect (name lookup, TCP and TLS). Default 10 s.
        #[builder(default = Duration::from_secs(10))]
        connect_timeout: Duration,
        /// Longest time from sending a request to the first byte of its reply. A model that is not
        /// streamed sends it when it is done, so the default is the same as `timeout`.
        first_byte_timeout: Option<Duration>,
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
        /// Longest wait that a provider may ask for. Asked for more, the request fails and says so, and
        /// until that time so does every other one, without being sent. Default 10 min.
        #[builder(default = Duration::from_secs(600))]
        max_retry_after: Duration,
        /// Largest reply in bytes; one that goes beyond is cut off there and tried again. Default 4 MiB.
        #[builder(default = 4 * 1024 * 1024)]
        max_reply_bytes: usize,
        /// The `User-Agent` header. Default `promptopt/` and the version.
        #[builder(into, default = USER_AGENT)]
        user_agent: String,
        /// Seed of the jitter of the backoff. Default: another for each client, so that several
        /// processes do not retry in step. Replies do not depend on it.
        jitter_seed: Option<u64>,
        /// How many requests go out at once and per minute. Give the same handle to every client of one
        /// endpoint. Default: an adaptive limit of this client's own, see [`RateControl`].
        rate_control: Option<RateControl>,
        /// Sends a request a second time when it has been under way for this long, and takes the reply that
        /// comes first. **Costs up to twice as much**, see [`ChatClient`]. Happens once a call at most, and
        /// only when rate control has room to spare. Default: never.
        hedge_after: Option<Duration>,
        /// Most attempts of one call that a provider may bill: the one that answers, and those that timed
        /// out, broke off, brought an unreadable or too large body or were overtaken by a hedge. Once they are
        /// used up the call fails instead of being tried again; refusals (429, 5xx) are tried again in any
        /// case. Default: as many as `max_retries` gives, and one for a hedge.
        max_attempts_billed: Option<u32>,
        /// What tells the time, and waits between attempts. Default: the one of `rate_control` where that
        /// is given, else [`SystemClock`](crate::SystemClock).
        clock: Option<Arc<dyn Clock>>,
    ) -> Result<Self, ConfigError> {
        if model.trim().is_empty() {
            return Err(option_error("model", "it is empty"));
        }
        for (option, value) in [("connect_timeout", connect_timeout), ("timeout", timeout)] {
            if value.is_zero() {
                return Err(option_error(option, "it is zero"));
            }
        }
        for (option, value) in [("first_byte_timeout", first_byte_timeout), ("hedge_after", hedge_after)] {
            if value.is_some_and(|value| value.is_zero()) {
                return Err(option_error(option, "it is zero"));
            }
        }
        let most_attempts = max_retries.saturating_add(1).saturating_add(hedge_after.is_some().into());
        let max_attempts_billed = max_attempts_billed.unwrap_or(most_attempts);
        if max_attempts_billed == 0 {
            return Err(option_error("max_attempts_billed", "it is zero"));
        }
        if hedge_after.is_some() && max_attempts_billed == 1 {
            return Err(option_error("hedge_after", "a hedge is billed, and `max_attempts_billed` is 1"));
        }
        if max_reply_bytes == 0 {
            return Err(option_error("max_reply_bytes", "it is zero"));
        }
        let endpoint = Endpoint::parse(&base_url)?;
        let body = BodyTemplate { model, sampling, max_tokens_field, strict_schemas, extra };
        body.check()?;

        let limits = Limits {
            connect_timeout,
            first_byte_timeout: first_byte_timeout.unwrap_or(timeout),
            timeout,
            max_reply_bytes,
        };
        let http = http_client(&endpoint, &limits, &user_agent)?;
        let credentials = Credentials::find(api_key, api_key_file, api_key_env, &endpoint, &headers)?;
        let mut secrets = endpoint.secrets();
        secrets.extend(credentials.key.iter().map(|key| key.expose_secret().to_owned()));
        secrets.extend(headers.iter().filter(|header| header.is_secret).map(ExtraHeader::exposed));
        if endpoint.has_login() {
            secrets.extend(basic_authorization(&http, &endpoint));
        }
        let redactor = Redactor::new(secrets.iter().map(String::as_str));
        let header_map = header_map(&headers, &credentials)?;

        let classifier = Classifier {
            redactor: redactor.clone(),
            url: endpoint.shown().to_owned(),
            model: body.model.clone(),
            key: credentials.origin,
        };
        let rate = match rate_control {
            Some(rate) => rate,
            None => RateControl::builder().maybe_clock(clock.clone()).build()?,
        };
        let seed = jitter_seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Ok(Self {
            id: identity(&endpoint, &body, &redactor),
            body,
            transport: Transport::new(http, &endpoint, header_map, limits, redactor),
            classifier,
            retry: RetryPolicy { max_retries, backoff_base, backoff_max, max_retry_after },
            formats: FormatSupport::default(),
            parameters: ParameterSupport::default(),
            clock: clock.unwrap_or_else(|| Arc::clone(rate.clock())),
            rate,
            hedge_after,
            max_attempts_billed,
            jitter: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
        })
    }
}

impl<S: chat_client_builder::State> ChatClientBuilder<S> {
    /// Adds a header to every request. Its value may show up where a provider echoes it.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(ExtraHeader::new(name.into(), SecretString::from(value.into()), false));
        self
    }

    /// Adds a header whose value is a secret to every request, such as `api-key` or an `authorization`
    /// of another kind. Masked in everything the client says.
    pub fn secret_header(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.headers.push(ExtraHeader::new(name.into(), value.into(), true));
        self
    }

    /// Adds a parameter to the body of every request, such as `top_k` or `reasoning_effort`.
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }

    /// Adds parameters to the body of every request.
    pub fn extra_body(mut self, parameters: Map<String, Value>) -> Self {
        self.extra.extend(parameters);
        self
    }
}

pub(crate) fn option_error(option: &'static str, reason: &str) -> ConfigError {
    ConfigError::Option { option, reason: reason.to_owned() }
}

/// What the HTTP library makes of the login in the URL: it is a secret as well, and encoded.
fn basic_authorization(http: &reqwest::Client, endpoint: &Endpoint) -> Option<String> {
    let request = http.post(endpoint.url().clone()).build().ok()?;
    request.headers().get(AUTHORIZATION)?.to_str().ok().map(str::to_owned)
}
