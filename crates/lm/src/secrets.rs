//! Where the key comes from, and the removal of secrets from text by their value.

use std::env;

use secrecy::{ExposeSecret, SecretString};

use crate::ConfigError;
use crate::text::{sanitise, shorten};

/// The environment variable that is read when the user names none.
pub(crate) const DEFAULT_KEY_VARIABLE: &str = "OPENAI_API_KEY";

/// Secrets shorter than this are placeholders for servers that want any key at all. Masking every `x`
/// in a message would help nobody.
const SHORTEST_SECRET: usize = 4;

/// Part of a secret header's value that is masked even where it stands alone, in bytes.
const SHORTEST_PART: usize = 8;

const MASK: &str = "[redacted]";

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
                format!("no key was sent; set the environment variable `{variable}` or give `api_key`")
            }
            Self::Given => "check the key given as `api_key`".to_owned(),
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

/// A key without the line break that copying from a file leaves, or `None` when nothing is left.
pub(crate) fn trimmed(key: &str) -> Option<SecretString> {
    let key = key.trim();
    (!key.is_empty()).then(|| SecretString::from(key))
}

/// Removes secrets from text by their value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor {
    /// Longest first, so that a secret that holds another is masked whole.
    secrets: Vec<SecretString>,
}

impl Redactor {
    /// A redactor for these secrets and for the words they consist of.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut values = Vec::new();
        for secret in secrets {
            if secret.len() >= SHORTEST_SECRET {
                values.push(secret.to_owned());
            }
            let parts = secret.split_whitespace().filter(|part| part.len() >= SHORTEST_PART);
            values.extend(parts.map(str::to_owned));
        }
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { secrets: values.into_iter().map(SecretString::from).collect() }
    }

    /// `text` with every secret masked.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in &self.secrets {
            if clean.contains(secret.expose_secret()) {
                clean = clean.replace(secret.expose_secret(), MASK);
            }
        }
        clean
    }

    /// Text from outside made fit for an error message: one line, printable, without secrets, short.
    ///
    /// The order matters: cleaning first, so that no stray character hides a secret; shortening last,
    /// so that no half of a secret is left over.
    pub(crate) fn tidy(&self, text: &str, limit: usize) -> String {
        shorten(self.redact(&sanitise(text)), limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_by_value_before_the_text_is_cut() {
        let redactor = Redactor::new(["sk-canary-123456", "Bearer token-abcdef"]);
        assert_eq!(redactor.tidy("bad key sk-canary-123456!", 100), "bad key [redacted]!");
        assert_eq!(redactor.tidy("got token-abcdef", 100), "got [redacted]");
        assert_eq!(redactor.tidy("k\u{200b} sk-can\u{200b}ary-123456", 100), "k [redacted]");
        assert_eq!(redactor.tidy("key sk-canary-123456", 8), "key [red…");
    }

    #[test]
    fn a_placeholder_key_does_not_maim_messages() {
        assert_eq!(Redactor::new(["x", ""]).redact("extra text"), "extra text");
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let redactor = Redactor::new(["sk-canary-123456"]);
        assert!(!format!("{redactor:?}").contains("canary"));
    }

    #[test]
    fn blank_keys_are_no_keys() {
        assert!(trimmed(" \n").is_none());
        assert_eq!(trimmed("abc\n").unwrap().expose_secret(), "abc");
    }
}
