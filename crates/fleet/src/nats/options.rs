//! Where the server is, and who may use it.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::Error;

/// How a server is reached.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NatsOptions {
    /// Its address, such as `nats://queue.example:4222`, or several with commas between them. `tls://` asks for encryption.
    pub url: String,
    /// What the names of subjects and streams begin with, so that fleets on one server do not meet. Default: `promptopt`.
    pub prefix: String,
    /// Who it is. Default: nobody in particular.
    pub credentials: Option<NatsCredentials>,
    /// A file with the certificates of authorities that are trusted instead of the system's.
    pub root_certificates: Option<PathBuf>,
    /// A certificate of the client and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// How long a worker may give no sign of life before its rollout goes to another one. Default: 30 s.
    pub lease: Duration,
}

/// How a client proves who it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NatsCredentials {
    /// A file of credentials, as `nsc` writes it.
    File(PathBuf),
    /// The seed of an nkey.
    NKey(SecretString),
    /// A token.
    Token(SecretString),
    /// A user and a password.
    User(String, SecretString),
}

impl NatsOptions {
    /// A server at an address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "promptopt".to_owned(),
            credentials: None,
            root_certificates: None,
            client_certificate: None,
            lease: Duration::from_secs(30),
        }
    }

    /// With another beginning of names: letters, digits, `_` and `-`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// With credentials.
    #[must_use]
    pub fn with_credentials(mut self, credentials: NatsCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// With authorities that are trusted instead of the system's.
    #[must_use]
    pub fn with_root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(file.into());
        self
    }

    /// With a certificate of the client and its key.
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// With another time without a sign of life.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(500));
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        if self.prefix.is_empty() || !self.prefix.chars().all(is_name) {
            return Err(self.wrong("its `prefix` may have letters, digits, `_` and `-` alone"));
        }
        Ok(())
    }

    /// The address without login and query.
    pub(super) fn shown(&self) -> String {
        let one = |url: &str| {
            let (scheme, rest) = url.trim().split_once("://").unwrap_or(("nats", url.trim()));
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{}", host.split(['/', '?', '#']).next().unwrap_or_default())
        };
        self.url.split(',').map(one).collect::<Vec<_>>().join(",")
    }

    /// The address for the client, and the token in it: `nats://TOKEN@HOST` is how others write one.
    pub(super) fn address(&self) -> (String, Option<String>) {
        let token =
            self.url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(token, _)| token);
        match token.filter(|token| !token.contains([':', ',']) && self.credentials.is_none()) {
            Some(token) => (self.shown(), Some(token.to_owned())),
            None => (self.url.clone(), None),
        }
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Server { server: self.shown(), reason: reason.into() }
    }
}
