//! The headers of a request, and the choice of the credentials among them.

use std::path::PathBuf;

use promptopt_core::secret::{is_secret_name, mask_credentials, secrets_in};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::ConfigError;
use crate::endpoint::Endpoint;
use crate::secrets::{DEFAULT_KEY_VARIABLE, KeyOrigin, key_from_file, key_from_variable, trimmed};

/// A header that the user adds. Its value is held as a secret, whether it is one or not.
#[derive(Debug, Clone)]
pub(crate) struct ExtraHeader {
    name: String,
    value: SecretString,
    /// Whether the value is the credentials of the request, so that no key has to be found for it.
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

    fn exposed(&self) -> String {
        self.value.expose_secret().to_owned()
    }

    /// Whether the value is masked in messages.
    fn is_hidden(&self) -> bool {
        self.is_secret || is_secret_name(&self.name)
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
    /// The key that the options name, in this order: itself, a file, an environment variable.
    pub(crate) fn named(
        api_key: Option<SecretString>,
        file: Option<PathBuf>,
        variable: Option<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let given = api_key.and_then(|key| trimmed(key.expose_secret()));
        let (key, origin) = match (given, file, variable) {
            (Some(key), _, _) => (key, KeyOrigin::Given),
            (None, Some(file), _) => (key_from_file(&file)?, KeyOrigin::File(file)),
            (None, None, Some(variable)) => match key_from_variable(&variable)? {
                Some(key) => (key, KeyOrigin::Variable(variable)),
                None => {
                    // Whoever wrote the key itself in the place of the name is not to read it again.
                    let variable = mask_credentials(&variable).into_owned();
                    return Err(ConfigError::MissingKey { variable });
                }
            },
            (None, None, None) => return Ok(None),
        };
        Ok(Some(Self { key: Some(key), origin }))
    }

    /// The key in a variable that nobody named, which may be missing.
    pub(crate) fn in_variable(variable: &str) -> Result<Self, ConfigError> {
        let key = key_from_variable(variable)?;
        let variable = variable.to_owned();
        let origin = if key.is_some() { KeyOrigin::Variable(variable) } else { KeyOrigin::None { variable } };
        Ok(Self { key, origin })
    }

    /// Chooses the credentials for the OpenAI dialect: the key that is named, an `authorization` header, the
    /// login in the URL, the default variable. A key beside a header or a login is refused rather than guessed
    /// about.
    pub(crate) fn find(
        named: Option<Self>,
        endpoint: &Endpoint,
        headers: &[ExtraHeader],
    ) -> Result<Self, ConfigError> {
        let in_header = headers.iter().find(|header| header.is_authorization());
        if let (Some(header), true) = (in_header, named.is_some() || endpoint.has_login()) {
            return Err(ConfigError::Header {
                name: header.name.clone(),
                reason: "a key or a login is given as well, and only one can be sent".to_owned(),
            });
        }
        if named.is_some() && endpoint.has_login() {
            return Err(ConfigError::BaseUrl {
                url: endpoint.shown().to_owned(),
                reason: "it holds a login while a key is given, and only one can be sent".to_owned(),
            });
        }
        match named {
            Some(named) => Ok(named),
            None if in_header.is_none() && endpoint.has_login() => {
                Ok(Self { key: None, origin: KeyOrigin::Url })
            }
            // A secret header of another name is the key of providers that do not use `authorization`.
            None if in_header.is_some() || headers.iter().any(|header| header.is_secret) => {
                Ok(Self { key: None, origin: KeyOrigin::Header })
            }
            None => Self::in_variable(DEFAULT_KEY_VARIABLE),
        }
    }

    /// The key as the value of an `authorization` header.
    pub(crate) fn bearer(&self) -> Result<Option<HeaderValue>, ConfigError> {
        let Some(key) = &self.key else { return Ok(None) };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).map_err(|_| {
            ConfigError::Key {
                origin: self.origin.describe(),
                reason: "it holds characters that a header can not; was it copied whole?".to_owned(),
            }
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// What is secret about requests with these credentials and further parameters.
    pub(crate) fn secrets(&self, endpoint: &Endpoint, headers: &[ExtraHeader], extra: &Value) -> Vec<String> {
        let mut secrets = endpoint.secrets();
        secrets.extend(self.key.iter().map(|key| key.expose_secret().to_owned()));
        secrets.extend(headers.iter().filter(|header| header.is_hidden()).map(ExtraHeader::exposed));
        secrets.extend(secrets_in(extra));
        secrets
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
    map.extend(credentials.bearer()?.map(|key| (AUTHORIZATION, key)));
    for header in headers {
        let refuse =
            |reason: &str| ConfigError::Header { name: header.name.clone(), reason: reason.to_owned() };
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| refuse("it is not the name of a header"))?;
        if [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            return Err(refuse("the client sets it"));
        }
        let mut value = HeaderValue::from_str(header.value.expose_secret())
            .map_err(|_| refuse("its value holds characters that a header can not"))?;
        value.set_sensitive(header.is_hidden() || name == AUTHORIZATION);
        map.insert(name, value);
    }
    Ok(map)
}
