//! The section `[fleet]`: other machines that make the rollouts.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// Other machines that make the rollouts, over a NATS server with JetStream. Used with `--fleet`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FleetSection {
    /// The server, such as `nats://queue.example:4222`; `tls://` asks for encryption.
    pub(crate) url: Option<String>,
    /// What names on the server begin with, so that fleets on one server do not meet. Default: `promptopt`.
    pub(crate) prefix: Option<String>,
    /// A file of credentials, as `nsc` writes it.
    pub(crate) credentials_file: Option<PathBuf>,
    /// The environment variable that holds the seed of an nkey.
    pub(crate) nkey_env: Option<String>,
    /// The environment variable that holds a token.
    pub(crate) token_env: Option<String>,
    /// A user, with a password.
    pub(crate) user: Option<String>,
    /// The environment variable that holds the user's password.
    pub(crate) password_env: Option<String>,
    /// A file with certificates of authorities that are trusted instead of the system's.
    pub(crate) root_certificates: Option<PathBuf>,
    /// The certificate of this client, with its key.
    pub(crate) client_certificate: Option<PathBuf>,
    /// The key of the client's certificate.
    pub(crate) client_key: Option<PathBuf>,
    /// Rollouts at once in a worker. Default: 1.
    pub(crate) slots: Option<usize>,
    /// Seconds without a sign of life after which a worker's rollout goes to another one. Default: 30.
    pub(crate) lease: Option<f64>,
}

impl FleetSection {
    /// Makes the paths relative to a folder.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        let files = [
            &mut self.credentials_file,
            &mut self.root_certificates,
            &mut self.client_certificate,
            &mut self.client_key,
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
    }
}
