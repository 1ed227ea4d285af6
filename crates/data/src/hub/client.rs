//! Requests to the hub: redirects, the token, and trying again.

use std::thread;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};
use url::Url;

use super::{HubError, HubSettings};
use crate::words;

/// How often a request is tried that fails for a reason that may pass.
const TRIES: u32 = 4;
/// The longest wait between tries, whatever the server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 5;
/// The largest answer that is read as JSON; listings of tens of thousands of files are below it.
const MAX_JSON_BYTES: u64 = 64 * 1024 * 1024;

/// A client of one hub.
pub(crate) struct Client {
    agent: Agent,
    endpoint: Url,
    token: Option<SecretString>,
}

/// An answer with a status of success.
pub(crate) struct Answer {
    /// The last address, after redirects.
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// Why a request failed: the hub's refusal is told apart, because what it means depends on what was
/// asked for.
pub(crate) enum Failure {
    Refused(Refusal),
    Error(HubError),
}

/// A status of failure.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The hub's name for the reason, such as `RepoNotFound`.
    pub(crate) code: String,
    /// What the hub says, as `: …`.
    pub(crate) message: String,
}

impl Refusal {
    /// The error for a refusal that means nothing special.
    pub(crate) fn error(self, url: &Url, what: &str) -> HubError {
        let hint = match self.status {
            401 | 403 => "set HF_TOKEN to a token that may read it",
            404 => "check that the file is still there",
            429 => "wait a while, or set HF_TOKEN for a higher rate",
            _ => "try again later",
        };
        HubError::Status {
            host: host(url),
            what: what.to_owned(),
            status: self.status,
            message: self.message,
            hint,
        }
    }
}

impl Client {
    pub(crate) fn new(settings: &HubSettings) -> Result<Self, HubError> {
        let invalid = |reason: String| HubError::Invalid { reason };
        let text = settings.endpoint.trim_end_matches('/');
        let endpoint = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let endpoint = endpoint.filter(|url| url.has_host()).ok_or_else(|| {
            invalid(
                "the hub's address must be a URL such as https://huggingface.co: check HF_ENDPOINT"
                    .to_owned(),
            )
        })?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider.into())
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // Redirects are followed here, where it is known which host may see the token.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .user_agent(concat!("promptopt/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, endpoint, token: settings.token.clone() })
    }

    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The hub as errors name it: without a password that its address may hold.
    pub(crate) fn name(&self) -> String {
        host(&self.endpoint)
    }

    /// An address below the endpoint. Each segment is escaped, slashes in it too.
    pub(crate) fn url<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The JSON at an address.
    pub(crate) fn json(&self, url: &Url, what: &str) -> Result<Value, Failure> {
        let mut answer = self.get(url, None)?;
        let text = answer.body.with_config().limit(MAX_JSON_BYTES).read_to_vec();
        let text = text.map_err(|error| Failure::Error(network(url, &error)))?;
        serde_json::from_slice(&text).map_err(|error| {
            let reason = words::shorten(&error.to_string());
            Failure::Error(HubError::Answer { host: host(url), what: what.to_owned(), reason })
        })
    }

    /// Asks for an address, or for the bytes `range.0..=range.1` of it, until it answers or there is
    /// no point in asking again.
    pub(crate) fn get(&self, url: &Url, range: Option<(u64, u64)>) -> Result<Answer, Failure> {
        let mut tried = 0;
        loop {
            tried += 1;
            let (wait, failure) = match self.follow(url, range) {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => {
                    let wait = passing(answer.status).then(|| retry_after(&answer.headers)).flatten();
                    let may_pass = passing(answer.status);
                    (
                        may_pass.then_some(wait.unwrap_or_else(|| pause(tried))),
                        Failure::Refused(refusal(answer)),
                    )
                }
                Err(Attempt::MayPass(error)) => (Some(pause(tried)), Failure::Error(error)),
                Err(Attempt::Final(error)) => (None, Failure::Error(error)),
            };
            match wait {
                Some(wait) if tried < TRIES => thread::sleep(wait.min(LONGEST_WAIT)),
                _ => return Err(failure),
            }
        }
    }

    /// One request and its redirects.
    fn follow(&self, url: &Url, range: Option<(u64, u64)>) -> Result<Answer, Attempt> {
        let mut url = url.clone();
        let mut commit = None;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&url, range)?;
            commit = commit.or_else(|| response.headers().get("x-repo-commit").cloned());
            let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let Some(location) = location.filter(|_| response.status().is_redirection()) else {
                let (parts, body) = response.into_parts();
                let mut headers = parts.headers;
                // The hub names the commit on its own answer, the redirect's target need not.
                if let Some(commit) = commit {
                    headers.insert("x-repo-commit", commit);
                }
                return Ok(Answer { url, status: parts.status, headers, body });
            };
            let next = url.join(location).ok().filter(|next| matches!(next.scheme(), "http" | "https"));
            let next = next.filter(|next| next.scheme() == "https" || url.scheme() == "http");
            url = next.ok_or_else(|| Attempt::Final(redirected(&url, "to an address that is not safe")))?;
        }
        Err(Attempt::Final(redirected(&url, "too often")))
    }

    fn send(&self, url: &Url, range: Option<(u64, u64)>) -> Result<Response<Body>, Attempt> {
        // Bytes are counted, so they must be those of the file.
        let mut request = self.agent.get(url.as_str()).header(header::ACCEPT_ENCODING, "identity");
        if let Some((first, last)) = range {
            request = request.header(header::RANGE, format!("bytes={first}-{last}"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| url.origin() == self.endpoint.origin()) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        request.call().map_err(|error| {
            let kind = network(url, &error);
            match error {
                // A host that is not there now will not be there in two seconds.
                ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => Attempt::Final(kind),
                ureq::Error::Io(source) if source.kind() == std::io::ErrorKind::ConnectionRefused => {
                    Attempt::Final(kind)
                }
                ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::Protocol(_) => {
                    Attempt::MayPass(kind)
                }
                _ => Attempt::Final(kind),
            }
        })
    }
}

enum Attempt {
    MayPass(HubError),
    Final(HubError),
}

/// The error of a request that got no answer, or not all of it.
pub(crate) fn network(url: &Url, error: &dyn std::error::Error) -> HubError {
    HubError::Network { host: host(url), reason: words::shorten(&error.to_string()) }
}

/// Scheme, host and port of an address: no path, whose query may be a signature, and no password.
pub(crate) fn host(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn redirected(url: &Url, how: &str) -> HubError {
    let reason = format!("it redirected {how}");
    HubError::Answer { host: host(url), what: "a request".to_owned(), reason }
}

fn passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
}

fn pause(tried: u32) -> Duration {
    Duration::from_millis(250 << tried.min(6))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn refusal(mut answer: Answer) -> Refusal {
    let said = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (code, message) = (said("x-error-code").unwrap_or_default(), said("x-error-message"));
    let message = message.or_else(|| {
        let body = answer.body.with_config().limit(64 * 1024).read_to_vec().ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        body.get("error")?.as_str().map(str::to_owned)
    });
    let message = message.map_or_else(String::new, |text| format!(" (`{}`)", words::shorten(&text)));
    Refusal { status: answer.status.as_u16(), code, message }
}
