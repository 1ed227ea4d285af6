//! The headers of a request, and the choice of the credentials among them.

use std::path::PathBuf;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use secrecy::{ExposeSecret, SecretString};

use crate::ConfigError;
use crate::endpoint::Endpoint;
use crate::secrets::{DEFAULT_KEY_VARIABLE, KeyOrigin, key_from_file, key_from_variable, trimmed};

/// A header that the user adds. Its value is held as a secret, whether it is one or not.
#[derive(Debug, Clone)]
pub(crate) struct ExtraHeader {
    name: String,
    value: SecretString,
    /// Whether the value is masked in messages.
    pub(crate) is_secret: bool,
}

impl ExtraHeader {
    /// A header; one whose name says that it carries credentials is a secret in any case.
    pub(crate) fn new(name: String, value: SecretString, is_secret: bool) -> Self {
        const CREDENTIALS: [&str; 4] = ["authorization", "api-key", "token", "cookie"];
        let lower = name.to_ascii_lowercase();
        let is_secret = is_secret || CREDENTIALS.iter().any(|suffix| lower.ends_with(suffix));
        Self { name, value, is_secret }
    }

    pub(crate) fn exposed(&self) -> String {
        self.value.expose_secret().to_owned()
    }

    fn is_authorization(&self) -> bool {
        self.name.eq_ignore_ascii_case(AUTHORIZATION.as_str())
    }
}

/// The key to send, if any, and where the credentials came from.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) key: Option<SecretString>,
    pub(crate) origin: KeyOrigin,
}

impl Credentials {
    /// Chooses the credentials: the key given, the file named, the variable named, an `authorization`
    /// header, the login in the URL, the default variable. A key beside a header or a login is refused
    /// rather than guessed about.
    pub(crate) fn find(
        api_key: Option<SecretString>,
        file: Option<PathBuf>,
        variable: Option<String>,
        endpoint: &Endpoint,
        headers: &[ExtraHeader],
    ) -> Result<Self, ConfigError> {
        let given = api_key.and_then(|key| trimmed(key.expose_secret()));
        let chosen = match (given, file, variable) {
            (Some(key), _, _) => Some((key, KeyOrigin::Given)),
            (None, Some(file), _) => Some((key_from_file(&file)?, KeyOrigin::File(file))),
            (None, None, Some(variable)) => match key_from_variable(&variable)? {
                Some(key) => Some((key, KeyOrigin::Variable(variable))),
                None => return Err(ConfigError::MissingKey { variable }),
            },
            (None, None, None) => None,
        };
        let in_header = headers.iter().find(|header| header.is_authorization());
        if let (Some(header), true) = (in_header, chosen.is_some() || endpoint.has_login()) {
            return Err(ConfigError::Header {
                name: header.name.clone(),
                reason: "a key or a login is given as well, and only one can be sent".to_owned(),
            });
        }
        if let Some((key, origin)) = chosen {
            if endpoint.has_login() {
                return Err(ConfigError::BaseUrl {
                    url: endpoint.shown().to_owned(),
                    reason: "it holds a login while a key is given, and only one can be sent".to_owned(),
                });
            }
            return Ok(Self { key: Some(key), origin });
        }
        if in_header.is_some() {
            return Ok(Self { key: None, origin: KeyOrigin::Header });
        }
        if endpoint.has_login() {
            return Ok(Self { key: None, origin: KeyOrigin::Url });
        }
        // A secret header of another name is the key of providers that do not use `authorization`.
        if headers.iter().any(|header| header.is_secret) {
            return Ok(Self { key: None, origin: KeyOrigin::Header });
        }
        let variable = DEFAULT_KEY_VARIABLE.to_owned();
        Ok(match key_from_variable(&variable)? {
            Some(key) => Self { key: Some(key), origin: KeyOrigin::Variable(variable) },
            None => Self { key: None, origin: KeyOrigin::None { variable } },
        })
    }
}

/// All headers of a request.
pub(crate) fn header_map(
    headers: &[ExtraHeader],
    credentials: &Credentials,
) -> Result<HeaderMap, ConfigError> {
    let mut map = HeaderMap::new();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(key) = &credentials.key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).map_err(|_| {
            ConfigError::Key {
                origin: credentials.origin.describe(),
                reason: "it holds characters that a header can not; was it copied whole?".to_owned(),
            }
        })?;
        value.set_sensitive(true);
        map.insert(AUTHORIZATION, value);
    }
    for header in headers {
        let refuse =
            |reason: &str| ConfigError::Header { name: header.name.clone(), reason: reason.to_owned() };
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| refuse("it is not the name of a header"))?;
        if [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            return Err(refuse("the client sets it"));
        }
        if name == USER_AGENT {
            return Err(refuse("use the option `user_agent`"));
        }
        let mut value = HeaderValue::from_str(header.value.expose_secret())
            .map_err(|_| refuse("its value holds characters that a header can not"))?;
        value.set_sensitive(header.is_secret || name == AUTHORIZATION);
        map.insert(name, value);
    }
    Ok(map)
}
