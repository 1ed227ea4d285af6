//! Where the key comes from, and the removal of secrets from text by their value.

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::ConfigError;
use crate::text::{sanitise, shorten};

/// The environment variable that is read when the user names none.
pub(crate) const DEFAULT_KEY_VARIABLE: &str = "OPENAI_API_KEY";

/// Secrets shorter than this are placeholders for servers that want any key at all. Masking every `x`
/// in a message would help nobody.
const SHORTEST_SECRET: usize = 4;

/// Part of a secret header's value that is masked even where it stands alone, in bytes.
const SHORTEST_PART: usize = 8;

/// The largest file that is read for a key, in bytes.
const LARGEST_KEY_FILE: u64 = 64 * 1024;

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
    let mut text = String::new();
    let read =
        File::open(file).and_then(|opened| opened.take(LARGEST_KEY_FILE + 1).read_to_string(&mut text));
    let refuse = |reason: &str| ConfigError::Key {
        origin: KeyOrigin::File(file.to_owned()).describe(),
        reason: reason.to_owned(),
    };
    match read {
        Err(source) => Err(ConfigError::KeyFile { file: file.to_owned(), source }),
        Ok(length) if length as u64 > LARGEST_KEY_FILE => {
            Err(refuse("it is too large to hold a key and nothing else"))
        }
        Ok(_) => trimmed(&text).ok_or_else(|| refuse("it is empty")),
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
    /// A redactor for these secrets, for the words they consist of, and for both as URLs and JSON write
    /// them.
    pub(crate) fn new<T: AsRef<str>>(secrets: impl IntoIterator<Item = T>) -> Self {
        let mut values = Vec::new();
        for secret in secrets {
            let secret = secret.as_ref();
            if secret.len() >= SHORTEST_SECRET {
                values.extend(spellings(secret));
            }
            let parts = secret.split_whitespace().filter(|part| part.len() >= SHORTEST_PART);
            values.extend(parts.flat_map(spellings));
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

/// What has an escape in a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A secret as it is, and as it stands in a URL, in the query of a URL and in JSON.
fn spellings(secret: &str) -> Vec<String> {
    let percent_encoded = utf8_percent_encode(secret, ESCAPED).to_string();
    let lower = percent_encoded.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d");
    let as_json = Value::from(secret).to_string();
    let as_json = as_json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(secret);
    // Many writers of JSON put a backslash before a slash, which is allowed and not needed.
    let with_slashes = as_json.replace('/', "\\/");
    vec![secret.to_owned(), percent_encoded, lower, as_json.to_owned(), with_slashes]
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
    fn a_secret_is_known_in_the_spelling_of_urls_and_of_json() {
        let redactor = Redactor::new(["ab/cd+ef==", "say \"canary\""]);
        for text in
            ["ab/cd+ef==", "ab%2Fcd%2Bef%3D%3D", "ab%2fcd%2bef%3d%3d", r"ab\/cd+ef==", r#"say \"canary\""#]
        {
            assert_eq!(redactor.redact(&format!("<{text}>")), "<[redacted]>");
        }
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
