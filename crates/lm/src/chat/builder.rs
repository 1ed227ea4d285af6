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
use crate::serving::Defaults;
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
        #[builder(field)] serving: bool,
        #[builder(field)] embeds: bool,
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
        /// Longest time to connect (name lookup, TCP and TLS). Default 10 s; 3 s for serving.
        connect_timeout: Option<Duration>,
        /// Longest time from sending a request to the first byte of its reply. A model that is not
        /// streamed sends it when it is done, so the default is the same as `timeout`.
        first_byte_timeout: Option<Duration>,
        /// Longest time for one whole attempt, until the last byte. Each retry has it anew, and waiting for
        /// rate control does not count. Default 120 s; 30 s for serving.
        timeout: Option<Duration>,
        /// Longest time between two pieces of a stream, once the model has begun to answer. Default 60 s; 15 s for serving.
        max_silence: Option<Duration>,
        /// Longest time for a whole call: waits, retries and all. Default: none; for serving 45 s, or a longer `timeout`.
        deadline: Option<Duration>,
        /// Longest wait for a place among the requests under way, or for a share of the minute. Then the call fails with
        /// [`LmError::Overloaded`](promptopt_core::lm::LmError::Overloaded), and this attempt was not sent. Default: as long
        /// as it takes; for serving 1 s, or half of a shorter `deadline`.
        max_queue_wait: Option<Duration>,
        /// Attempts after the first. Default 5; 2 for serving.
        max_retries: Option<u32>,
        /// Longest wait before the first retry; it doubles with each, and the wait is drawn evenly from
        /// nothing up to it. Default 0.5 s; 0.25 s for serving.
        backoff_base: Option<Duration>,
        /// Longest wait before any retry, unless the provider asks for more. Default 30 s; 2 s for serving.
        backoff_max: Option<Duration>,
        /// Longest wait that a provider may ask for. Asked for more, the request fails and says so, and
        /// until that time so does every other one, without being sent. Default 10 min; 5 s for serving.
        max_retry_after: Option<Duration>,
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
        /// endpoint. Default: an adaptive limit of this client's own, see [`RateControl`], that starts at 8 and ends at
        /// 64; for serving it starts at 512, its maximum, and a provider's "too many" (HTTP 429) lowers it.
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
        let defaults = if serving { Defaults::serving() } else { Defaults::optimizing() };
        if let (Some(timeout), Some(deadline)) = (timeout, deadline)
            && timeout > deadline
        {
            let reason =
                format!("{timeout:?} are longer than the `deadline` of the whole call, {deadline:?}");
            return Err(ConfigError::option("timeout", reason));
        }
        let timeout = timeout.unwrap_or(defaults.timeout);
        let deadline = deadline.or(defaults.deadline.map(|bound| bound.max(timeout)));
        let queue_wait =
            defaults.max_queue_wait.map(|wait| deadline.map_or(wait, |bound| wait.min(bound / 2)));
        let conduct = Conduct {
            limits: Limits {
                connect_timeout: connect_timeout.unwrap_or(defaults.connect_timeout),
                first_byte_timeout: first_byte_timeout.unwrap_or(timeout),
                timeout,
                max_silence: max_silence.unwrap_or(defaults.max_silence),
                max_reply_bytes,
            },
            retry: RetryPolicy {
                max_retries: max_retries.unwrap_or(defaults.max_retries),
                backoff_base: backoff_base.unwrap_or(defaults.backoff_base),
                backoff_max: backoff_max.unwrap_or(defaults.backoff_max),
                max_retry_after: max_retry_after.unwrap_or(defaults.max_retry_after),
            },
            hedge_after,
            deadline,
            max_queue_wait: max_queue_wait.or(queue_wait),
            concurrency: defaults.concurrency(),
            max_attempts_billed,
            rate_control,
            timer: clock,
            jitter_seed,
        };
        conduct.check()?;
        let endpoint = if embeds { Endpoint::for_embeddings(&base_url) } else { Endpoint::parse(&base_url) }?;
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
        let mut id = identity(endpoint.place(), &template, &redactor);
        if embeds {
            id.push_str(" endpoint=embeddings");
        }
        let transport = Transport::new(http, &endpoint, header_map, conduct.limits.clone(), redactor.clone());
        let classifier = Classifier {
            redactor,
            url: endpoint.shown().to_owned(),
            model: template.model.clone(),
            key: credentials.origin,
        };
        let peer = Peer { template, classifier, timer: conduct.timer() };
        Ok(Self(conduct.client(id, &endpoint, "openai", ChatWire { peer, transport, embeds })?))
    }
}

builder_surface!(ChatClientBuilder, chat_client_builder);

impl<S: chat_client_builder::State> ChatClientBuilder<S> {
    /// Limits for requests of users in place of those for optimizing. What is set besides, before or after, stays as it is
    /// set.
    ///
    /// | option | optimizing | serving |
    /// |---|---|---|
    /// | requests at once | 8, rising to 64 | 512, falling where the provider says "too many" |
    /// | `max_queue_wait` | as long as it takes | 1 s, then [`LmError::Overloaded`](promptopt_core::lm::LmError::Overloaded) |
    /// | `deadline` of the whole call | none | 45 s |
    /// | `timeout` of an attempt | 120 s | 30 s |
    /// | `connect_timeout` | 10 s | 3 s |
    /// | `max_silence` within a stream | 60 s | 15 s |
    /// | `max_retries` | 5 | 2 |
    /// | backoff | 0.5 s, up to 30 s | 0.25 s, up to 2 s |
    /// | `max_retry_after` | 10 min | 5 s |
    ///
    /// ```
    /// # use std::time::Duration;
    /// use promptopt_lm::ChatClient;
    ///
    /// # fn main() -> Result<(), promptopt_lm::ConfigError> {
    /// let client = ChatClient::builder().model("gpt-5-mini").for_serving().deadline(Duration::from_secs(20)).build()?;
    /// assert_eq!(client.rate_control().limit(), 512);
    /// # Ok(())
    /// # }
    /// ```
    pub fn for_serving(mut self) -> Self {
        self.serving = true;
        self
    }
}

impl<S: chat_client_builder::State> ChatClientBuilder<S> {
    /// A model of embeddings, at `…/embeddings`. A request's [`extra`](promptopt_core::lm::LmRequest::extra) is the body, with
    /// `input` and what else the server knows; its messages only count for budgets. The reply's text is the server's
    /// answer as JSON.
    pub fn for_embeddings(mut self) -> Self {
        self.embeds = true;
        self
    }
}

/// What the HTTP library makes of the login in the URL: it is a secret as well, and encoded.
fn basic_authorization(http: &reqwest::Client, endpoint: &Endpoint) -> Option<String> {
    let request = http.post(endpoint.url().clone()).build().ok()?;
    request.headers().get(AUTHORIZATION)?.to_str().ok().map(str::to_owned)
}
