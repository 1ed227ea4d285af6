//! One POST over the wire, bounded in time and memory. Knows nothing of chats.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use promptopt_core::lm::LmError;
use promptopt_core::secret::Redactor;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::time::{Instant, timeout_at};

use crate::ConfigError;
use crate::classify::AttemptError;
use crate::endpoint::Endpoint;

use crate::text::{WORDS_LIMIT, tidy};

/// No error body needs to be longer; what goes beyond is cut off.
pub(crate) const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// The bounds of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    pub(crate) first_byte_timeout: Duration,
    pub(crate) timeout: Duration,
    /// Longest time between two pieces of a stream.
    pub(crate) max_silence: Duration,
    pub(crate) max_reply_bytes: usize,
}

/// A reply as it came.
#[derive(Debug, Clone)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A reply whose head is there.
pub(crate) struct Opened {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    response: Response,
    first_byte: Instant,
    deadline: Instant,
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

    /// Sends `body` and waits for the head of the reply.
    pub(crate) async fn open(&self, body: Vec<u8>) -> Result<Opened, AttemptError> {
        let start = Instant::now();
        let deadline = later(start, self.limits.timeout);
        let first_byte = later(start, self.limits.first_byte_timeout).min(deadline);
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let mut response = match timeout_at(first_byte, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.no_connection(error)),
            Err(_) => return Err(self.no_first_byte()),
        };
        let headers = std::mem::take(response.headers_mut());
        Ok(Opened { status: response.status(), response, headers, first_byte, deadline })
    }

    /// Reads all that is behind the head of a reply.
    pub(crate) async fn rest(&self, mut opened: Opened) -> Result<RawReply, AttemptError> {
        let mut body = Vec::new();
        if opened.status.is_success() {
            read(&mut opened.response, &mut body, self.limits.max_reply_bytes, opened.deadline)
                .await
                .map_err(|error| AttemptError::new(self.unreadable(error), true))?;
        } else {
            // The status says enough: what can be had of the provider's words is welcome, no more.
            let limit = self.limits.max_reply_bytes.min(ERROR_BODY_LIMIT);
            let _ = read(&mut opened.response, &mut body, limit, opened.deadline).await;
        }
        Ok(RawReply { status: opened.status.as_u16(), headers: opened.headers, body })
    }

    /// The next bytes of a stream, which `has_begun` or not; `None` at its end.
    pub(crate) async fn next(
        &self,
        opened: &mut Opened,
        has_begun: bool,
    ) -> Result<Option<Bytes>, AttemptError> {
        let silence =
            if has_begun { later(Instant::now(), self.limits.max_silence) } else { opened.first_byte };
        let result = match timeout_at(silence.min(opened.deadline), opened.response.chunk()).await {
            Ok(Ok(chunk)) => return Ok(chunk),
            Ok(Err(error)) => return Err(self.no_connection(error)),
            Err(_) if Instant::now() >= opened.deadline => self.unreadable(ReadError::Timeout),
            Err(_) if has_begun => LmError::Timeout {
                after: self.limits.max_silence,
                message: format!(
                    "waiting for more of the stream from {}; `max_silence` bounds it",
                    self.shown
                ),
            },
            Err(_) => return Err(self.no_first_byte()),
        };
        Err(AttemptError::new(result, true))
    }

    /// Reads what is behind the end of a stream, so that its connection can be used again.
    pub(crate) async fn drain(&self, mut opened: Opened) {
        const BRIEFLY: Duration = Duration::from_millis(50);
        // A server that does not end costs a connection, no more.
        let _ = timeout_at(later(Instant::now(), BRIEFLY), opened.response.chunk()).await;
    }

    /// The bounds of one attempt.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn no_first_byte(&self) -> AttemptError {
        let error = LmError::Timeout {
            after: self.limits.first_byte_timeout.min(self.limits.timeout),
            message: format!("waiting for the first byte of the reply from {}", self.shown),
        };
        AttemptError::new(error, true)
    }

    fn unreadable(&self, error: ReadError) -> LmError {
        match error {
            ReadError::TooLarge => LmError::TooLarge { limit: self.limits.max_reply_bytes },
            ReadError::Timeout => LmError::Timeout {
                after: self.limits.timeout,
                message: format!("reading the reply from {}", self.shown),
            },
            ReadError::Broken(error) => self.no_connection(error).error,
        }
    }

    fn no_connection(&self, error: reqwest::Error) -> AttemptError {
        no_connection(error, &self.shown, self.limits.connect_timeout, &self.redactor)
    }
}

/// Why there is no connection to the server at the address `shown`, and what to do.
pub(crate) fn no_connection(
    error: reqwest::Error,
    shown: &str,
    connect_timeout: Duration,
    redactor: &Redactor,
) -> AttemptError {
    let was_sent = !error.is_connect();
    if !was_sent && error.is_timeout() {
        let message = format!("connecting to {shown}; check the base URL and the network");
        return AttemptError::new(LmError::Timeout { after: connect_timeout, message }, was_sent);
    }
    // The library's own message holds the URL, and the URL can hold a password.
    let error = error.without_url();
    let cause = tidy(redactor, &cause(&error), WORDS_LIMIT);
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
    let what = if was_sent { "the connection broke to" } else { "could not connect to" };
    let message = format!("{what} {shown}: {cause}{hint}");
    AttemptError::new(LmError::Connection { message }, was_sent)
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

/// An error and what caused it, the last cause at the end.
fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The last two causes of an error: the first ones only say that something failed.
pub(crate) fn cause(error: &(dyn StdError + 'static)) -> String {
    let mut causes: Vec<String> = chain(error).map(ToString::to_string).collect();
    causes.dedup();
    let skipped = causes.len().saturating_sub(2);
    causes.split_off(skipped).join(": ")
}

fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
