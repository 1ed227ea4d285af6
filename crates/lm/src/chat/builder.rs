//! The builder of a client: every option, its default and its effect.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use promptopt_core::lm::Sampling;
use reqwest::header::AUTHORIZATION;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::ChatClient;
use super::wire::ChatWire;
use crate::body::BodyTemplate;
use crate::classify::Classifier;
use crate::conduct::Conduct;
use crate::endpoint::Endpoint;
use crate::headers::{Credentials, ExtraHeader, header_map};
use crate::identity::identity;
use crate::retry::RetryPolicy;
use crate::secrets::redactor;
use crate::surface::builder_surface;
use crate::transport::{Limits, Transport, http_client};
use crate::wire::Peer;
use crate::{ConfigError, MaxTokensField, RateControl, Timer};

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
        /// Whether a model may call several tools at once, for requests with tools that do not say it. It is sent with
        /// tools alone. Default: the provider's.
        parallel_tool_calls: Option<bool>,
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
        /// is given, else [`SystemTimer`](crate::SystemTimer).
        clock: Option<Arc<dyn Timer>>,
    ) -> Result<Self, ConfigError> {
        if model.trim().is_empty() {
            return Err(ConfigError::option("model", "it is empty"));
        }
        let conduct = Conduct {
            limits: Limits {
                connect_timeout,
                first_byte_timeout: first_byte_timeout.unwrap_or(timeout),
                timeout,
                max_reply_bytes,
            },
            retry: RetryPolicy { max_retries, backoff_base, backoff_max, max_retry_after },
            hedge_after,
            max_attempts_billed,
            rate_control,
            timer: clock,
            jitter_seed,
        };
        conduct.check()?;
        let endpoint = Endpoint::parse(&base_url)?;
        let template =
            BodyTemplate { model, sampling, max_tokens_field, strict_schemas, parallel_tool_calls, extra };
        template.check()?;

        let http = http_client(&endpoint, &conduct.limits, &user_agent)?;
        let named = Credentials::named(api_key, api_key_file, api_key_env)?;
        let credentials = Credentials::find(named, &endpoint, &headers)?;
        let parameters = Value::Object(template.extra.clone());
        let mut secrets = credentials.secrets(&endpoint, &headers, &parameters);
        if endpoint.has_login() {
            secrets.extend(basic_authorization(&http, &endpoint));
        }
        let redactor = redactor(secrets);
        let header_map = header_map(&headers, &credentials)?;
        let id = identity(endpoint.place(), &template, &redactor);
        let transport = Transport::new(http, &endpoint, header_map, conduct.limits.clone(), redactor.clone());
        let classifier = Classifier {
            redactor,
            url: endpoint.shown().to_owned(),
            model: template.model.clone(),
            key: credentials.origin,
        };
        let peer = Peer { template, classifier, timer: conduct.timer() };
        Ok(Self(conduct.client(id, &endpoint, "openai", ChatWire { peer, transport })?))
    }
}

builder_surface!(ChatClientBuilder, chat_client_builder);

/// What the HTTP library makes of the login in the URL: it is a secret as well, and encoded.
fn basic_authorization(http: &reqwest::Client, endpoint: &Endpoint) -> Option<String> {
    let request = http.post(endpoint.url().clone()).build().ok()?;
    request.headers().get(AUTHORIZATION)?.to_str().ok().map(str::to_owned)
}
