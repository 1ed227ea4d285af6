//! One POST over the wire, bounded in time and memory. Knows nothing of chats.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use promptopt_core::LmError;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, Url, redirect};
use tokio::time::{Instant, timeout_at};

use crate::ConfigError;
use crate::endpoint::Endpoint;
use crate::secrets::Redactor;
use crate::text::WORDS_LIMIT;

/// No error body needs to be longer; what goes beyond is cut off.
const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// The bounds of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    pub(crate) first_byte_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_reply_bytes: usize,
}

/// A reply as it came.
#[derive(Debug, Clone)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Sends bodies to one address.
pub(crate) struct Transport {
    client: Client,
    url: Url,
    shown: String,
    headers: HeaderMap,
    limits: Limits,
    redactor: Redactor,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) struct PostError {
    pub(crate) error: LmError,
    /// Whether the request may have reached the server.
    pub(crate) was_sent: bool,
}

/// Why reading a body stopped early.
enum ReadError {
    TooLarge,
    Timeout,
    Broken(reqwest::Error),
}

impl Transport {
    pub(crate) fn new(
        client: Client,
        endpoint: &Endpoint,
        headers: HeaderMap,
        limits: Limits,
        redactor: Redactor,
    ) -> Self {
        let (url, shown) = (endpoint.url().clone(), endpoint.shown().to_owned());
        Self { client, url, shown, headers, limits, redactor }
    }

    /// The server's name, or its address.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Sends `body` and reads the reply, whatever its status.
    pub(crate) async fn post(&self, body: Vec<u8>) -> Result<RawReply, PostError> {
        let start = Instant::now();
        let deadline = later(start, self.limits.timeout);
        let first_byte = later(start, self.limits.first_byte_timeout).min(deadline);
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let mut response = match timeout_at(first_byte, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let was_sent = !error.is_connect();
                return Err(PostError { error: self.no_connection(error), was_sent });
            }
            Err(_) => {
                let error = LmError::Timeout {
                    after: self.limits.first_byte_timeout.min(self.limits.timeout),
                    message: format!("waiting for the first byte of the reply from {}", self.shown),
                };
                return Err(PostError { error, was_sent: true });
            }
        };
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        if status.is_success() {
            read(&mut response, &mut body, self.limits.max_reply_bytes, deadline)
                .await
                .map_err(|error| PostError { error: self.unreadable(error), was_sent: true })?;
        } else {
            // The status says enough: what can be had of the provider's words is welcome, no more.
            let limit = self.limits.max_reply_bytes.min(ERROR_BODY_LIMIT);
            let _ = read(&mut response, &mut body, limit, deadline).await;
        }
        Ok(RawReply { status: status.as_u16(), headers, body })
    }

    fn unreadable(&self, error: ReadError) -> LmError {
        match error {
            ReadError::TooLarge => LmError::TooLarge { limit: self.limits.max_reply_bytes },
            ReadError::Timeout => LmError::Timeout {
                after: self.limits.timeout,
                message: format!("reading the reply from {}", self.shown),
            },
            ReadError::Broken(error) => self.no_connection(error),
        }
    }

    fn no_connection(&self, error: reqwest::Error) -> LmError {
        let connecting = error.is_connect();
        if connecting && error.is_timeout() {
            return LmError::Timeout {
                after: self.limits.connect_timeout,
                message: format!("connecting to {}; check the base URL and the network", self.shown),
            };
        }
        // The library's own message holds the URL, and the URL can hold a password.
        let error = error.without_url();
        let cause = self.redactor.tidy(&cause(&error), WORDS_LIMIT);
        let lower = cause.to_lowercase();
        let hint = if is_refused(&error) {
            "; is the server running at this address?"
        } else if lower.contains("dns error") {
            "; check the host name in the base URL, and the network"
        } else if lower.contains("certificate") {
            "; check the server's certificate and the root certificates of this machine"
        } else {
            ""
        };
        let what = if connecting { "could not connect to" } else { "the connection broke to" };
        LmError::Connection { message: format!("{what} {}: {cause}{hint}", self.shown) }
    }
}

/// Sets up the HTTP stack.
pub(crate) fn http_client(
    endpoint: &Endpoint,
    limits: &Limits,
    user_agent: &str,
) -> Result<Client, ConfigError> {
    let builder = || {
        Client::builder()
            .connect_timeout(limits.connect_timeout)
            .user_agent(user_agent)
            .redirect(redirect::Policy::none())
            .referer(false)
    };
    let result = if endpoint.is_loopback() && !endpoint.is_encrypted() {
        // A server on this machine needs neither the proxy to the outside nor root certificates, which
        // take time to load and are missing in small containers.
        builder().no_proxy().tls_certs_only([]).build()
    } else if endpoint.is_encrypted() {
        builder().build()
    } else {
        builder().build().or_else(|_| builder().tls_certs_only([]).build())
    };
    result.map_err(|error| {
        let error = error.without_url();
        ConfigError::Http { reason: cause(&error), source: Box::new(error) }
    })
}

/// Reads the body into `body`, which never grows beyond `limit`.
async fn read(
    response: &mut Response,
    body: &mut Vec<u8>,
    limit: usize,
    deadline: Instant,
) -> Result<(), ReadError> {
    loop {
        let chunk = timeout_at(deadline, response.chunk())
            .await
            .map_err(|_| ReadError::Timeout)?
            .map_err(ReadError::Broken)?;
        let Some(chunk) = chunk else { return Ok(()) };
        let room = limit.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if chunk.len() > room {
            return Err(ReadError::TooLarge);
        }
    }
}

/// The moment `wait` after `start`; a wait beyond what a clock holds is a century.
fn later(start: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    start.checked_add(wait.min(CENTURY)).unwrap_or(start)
}

/// The last two causes of an error: the first ones only say that something failed.
pub(crate) fn cause(error: &dyn StdError) -> String {
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        causes.push(error.to_string());
        source = error.source();
    }
    causes.dedup();
    let skipped = causes.len().saturating_sub(2);
    causes.split_off(skipped).join(": ")
}

pub(crate) fn is_refused(error: &dyn StdError) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        source = error.source();
    }
    false
}
