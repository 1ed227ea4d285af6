//! Which key is sent, and the headers beside it.

use std::path::PathBuf;

use genai::Headers;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::headers::{Credentials, ExtraHeader, header_map};
use crate::provider::Dialect;
use crate::secrets::{KeyOrigin, key_from_file, key_from_variable, trimmed};
use crate::{ConfigError, Provider};

/// Where a key may be.
pub(super) struct KeySources {
    pub(super) given: Option<SecretString>,
    pub(super) file: Option<PathBuf>,
    pub(super) variable: Option<String>,
}

impl KeySources {
    /// The key given, the file named, the variable named, a secret header, the provider's own variable. Without
    /// any, `can_do_without` says whether that is an error.
    pub(super) fn find(
        self,
        provider: &Provider,
        headers: &[ExtraHeader],
        can_do_without: bool,
    ) -> Result<Credentials, ConfigError> {
        let given = self.given.and_then(|key| trimmed(key.expose_secret()));
        let (key, origin) = match (given, self.file, self.variable) {
            (Some(key), _, _) => (Some(key), KeyOrigin::Given),
            (None, Some(file), _) => (Some(key_from_file(&file)?), KeyOrigin::File(file)),
            (None, None, Some(variable)) => match key_from_variable(&variable)? {
                Some(key) => (Some(key), KeyOrigin::Variable(variable)),
                None => return Err(ConfigError::MissingKey { variable }),
            },
            (None, None, None) if headers.iter().any(|header| header.is_secret) => (None, KeyOrigin::Header),
            (None, None, None) => {
                let variable = provider.key_variable().to_owned();
                match key_from_variable(&variable)? {
                    Some(key) => (Some(key), KeyOrigin::Variable(variable)),
                    None if can_do_without => (None, KeyOrigin::None { variable }),
                    None => return Err(ConfigError::MissingKey { variable }),
                }
            }
        };
        let fits = key.as_ref().is_none_or(|key| HeaderValue::from_str(key.expose_secret()).is_ok());
        if !fits {
            return Err(ConfigError::Key {
                origin: origin.describe(),
                reason: "it holds characters that a header can not; was it copied whole?".to_owned(),
            });
        }
        Ok(Credentials { key, origin })
    }
}

/// The headers beside those that `genai` writes. It sends no key to Ollama, which servers behind a login
/// want to have.
pub(super) fn extra_headers(
    dialect: Dialect,
    headers: &[ExtraHeader],
    credentials: &Credentials,
) -> Result<Headers, ConfigError> {
    let key = credentials.key.clone().filter(|_| dialect == Dialect::Ollama);
    let map = header_map(headers, &Credentials { key, origin: credentials.origin.clone() })?;
    let own = [CONTENT_TYPE, ACCEPT];
    let mut extra = Headers::default();
    for (name, value) in map.iter().filter(|(name, _)| !own.contains(name)) {
        let value = value.to_str().map_err(|_| ConfigError::Header {
            name: name.to_string(),
            reason: "its value holds characters that are not ASCII".to_owned(),
        })?;
        let name = if name == AUTHORIZATION { "Authorization" } else { name.as_str() };
        extra.merge((name, value));
    }
    Ok(extra)
}
