//! Which key is sent, and the headers beside it.

use genai::Headers;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};

use crate::headers::{Credentials, ExtraHeader, header_map};
use crate::provider::Dialect;
use crate::secrets::KeyOrigin;
use crate::{ConfigError, Provider};

/// The key that is named, a secret header, the provider's own variable. Without any, `can_do_without` says whether
/// that is an error.
pub(super) fn credentials(
    named: Option<Credentials>,
    provider: &Provider,
    headers: &[ExtraHeader],
    can_do_without: bool,
) -> Result<Credentials, ConfigError> {
    let credentials = match named {
        Some(named) => named,
        None if headers.iter().any(|header| header.is_secret) => {
            Credentials { key: None, origin: KeyOrigin::Header }
        }
        None => Credentials::in_variable(provider.key_variable())?,
    };
    match &credentials.origin {
        KeyOrigin::None { variable } if !can_do_without => {
            Err(ConfigError::MissingKey { variable: variable.clone() })
        }
        _ => Ok(credentials),
    }
}

/// The headers beside those that `genai` writes. It sends no key to Ollama, which servers behind a login
/// want to have. A key that no header can hold is refused in any case.
pub(super) fn extra_headers(
    dialect: Dialect,
    headers: &[ExtraHeader],
    credentials: &Credentials,
) -> Result<Headers, ConfigError> {
    credentials.bearer()?;
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
