//! Where the key comes from.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use promptopt_core::file::read_text;
use promptopt_core::secret::Redactor;
use secrecy::SecretString;

use crate::ConfigError;

/// The environment variable that is read when the user names none.
pub(crate) const DEFAULT_KEY_VARIABLE: &str = "OPENAI_API_KEY";

/// The largest file that is read for a key, in bytes.
const LARGEST_KEY_FILE: u64 = 64 * 1024;

/// Where the credentials of a request came from, so that an error can say what to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyOrigin {
    /// Nothing is sent; the variable that was looked at is named.
    None {
        /// The default variable.
        variable: String,
    },
    /// The option `api_key`.
    Given,
    /// The option `api_key_file`.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// An extra `authorization` or other secret header.
    Header,
    /// User name and password in the base URL.
    Url,
}

impl KeyOrigin {
    /// What to do when the provider refuses the credentials.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::None { variable } => {
                format!(
                    "no key was sent; set the environment variable `{variable}`, or name a file that holds the key as `api_key_file`"
                )
            }
            Self::Given => "check the key given as `api_key`".to_owned(),
            Self::File(file) => format!("check the key in the file `{}`", file.display()),
            Self::Variable(variable) => format!("check the key in the environment variable `{variable}`"),
            Self::Header => "check the secret header given to the client".to_owned(),
            Self::Url => "check the user name and password in the base URL".to_owned(),
        }
    }

    /// The origin as a noun, for configuration errors.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::None { variable } | Self::Variable(variable) => {
                format!("the environment variable `{variable}`")
            }
            Self::Given => "`api_key`".to_owned(),
            Self::File(file) => format!("the file `{}`", file.display()),
            Self::Header => "a header".to_owned(),
            Self::Url => "the base URL".to_owned(),
        }
    }
}

/// The key in an environment variable, or `None` when the variable is unset or blank.
pub(crate) fn key_from_variable(variable: &str) -> Result<Option<SecretString>, ConfigError> {
    match env::var(variable) {
        Ok(value) => Ok(trimmed(&value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(ConfigError::Key {
            origin: format!("the environment variable `{variable}`"),
            reason: "it is not valid UTF-8".to_owned(),
        }),
    }
}

/// The key in a file.
pub(crate) fn key_from_file(file: &Path) -> Result<SecretString, ConfigError> {
    let refuse = |reason: &str| ConfigError::Key {
        origin: KeyOrigin::File(file.to_owned()).describe(),
        reason: reason.to_owned(),
    };
    let text = read_text(file, LARGEST_KEY_FILE).map_err(|source| match source.kind() {
        ErrorKind::FileTooLarge => refuse("it is too large to hold a key and nothing else"),
        _ => ConfigError::KeyFile { file: file.to_owned(), source },
    })?;
    trimmed(&text).ok_or_else(|| refuse("it is empty"))
}

/// What removes these secrets, and whatever looks like one, from messages.
pub(crate) fn redactor(secrets: Vec<String>) -> Redactor {
    Redactor::new(secrets.into_iter().map(SecretString::from)).strict()
}

/// A key without the line break that copying from a file leaves, or `None` when nothing is left.
pub(crate) fn trimmed(key: &str) -> Option<SecretString> {
    let key = key.trim();
    (!key.is_empty()).then(|| SecretString::from(key))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn blank_keys_are_no_keys() {
        assert!(trimmed(" \n").is_none());
        assert_eq!(trimmed("abc\n").unwrap().expose_secret(), "abc");
    }
}
