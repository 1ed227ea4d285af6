//! The removal of keys and tokens from text: by their value, by the name they stand under, and by their look.

use std::borrow::Cow;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::lm::LmReply;

mod look;
mod name;

pub use look::mask_credentials;
pub use name::{is_secret_name, secrets_in};

/// What stands in the place of a secret.
pub const MASK: &str = "[redacted]";

/// Shorter secrets are placeholders, such as `none` for a server that wants any key at all;
/// replacing those would maim ordinary text.
const SHORTEST: usize = 6;

/// A word of a longer secret is one by itself from this length on, in bytes.
const SHORTEST_PART: usize = 8;

/// Replaces secrets, wherever they occur in a text, by `[redacted]`. Clones share the secrets.
///
/// Secrets of fewer than six characters are left alone: they are placeholders, and replacing them
/// would maim ordinary text. The default has no secrets.
///
/// ```
/// use promptopt_core::secret::Redactor;
///
/// let redactor = Redactor::new(["Bearer s3cret-of-ann".into()]);
/// assert_eq!(redactor.redact("s3cret-of-ann is wrong"), "[redacted] is wrong");
/// let text = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
/// assert_eq!(redactor.redact(text), text);
/// assert_eq!(redactor.strict().redact(text), "[redacted]");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret that holds another is replaced whole.
    secrets: Arc<[SecretString]>,
    strict: bool,
}

impl Redactor {
    /// A redactor of these secrets and the longer words in them, also as URLs and JSON write them.
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        Self::default().with(secrets)
    }

    /// The same with further secrets.
    #[must_use]
    pub fn with(&self, secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let known = self.secrets.iter().map(|secret| secret.expose_secret().to_owned());
        let mut values: Vec<String> = known.collect();
        for secret in secrets {
            let secret = secret.expose_secret().trim();
            if secret.chars().count() >= SHORTEST {
                values.extend(spellings(secret));
            }
            // As in `Bearer sk-…`, where a provider may quote the second word alone.
            let parts = secret.split_whitespace().filter(|part| part.len() >= SHORTEST_PART);
            values.extend(parts.flat_map(spellings));
        }
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { secrets: values.into_iter().map(SecretString::from).collect(), strict: self.strict }
    }

    /// The same for texts that are said and not used: also whatever looks like a credential is replaced there. In
    /// data that would be wrong, for a program may be about such texts.
    #[must_use]
    pub fn strict(&self) -> Self {
        Self { strict: true, ..self.clone() }
    }

    /// `text` without secrets.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for secret in self.secrets.iter().map(|secret| secret.expose_secret()) {
            if clean.contains(secret) {
                clean = Cow::Owned(clean.replace(secret, MASK));
            }
        }
        match self.strict {
            false => clean,
            true => match mask_credentials(&clean) {
                Cow::Owned(masked) => Cow::Owned(masked),
                Cow::Borrowed(_) => clean,
            },
        }
    }

    /// Removes secrets from every text in a JSON value, names of fields included.
    pub fn redact_json(&self, value: &mut Value) {
        if self.secrets.is_empty() && !self.strict {
            return;
        }
        match value {
            Value::String(text) => self.redact_in_place(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(fields) => {
                let old = std::mem::replace(fields, Map::new());
                for (name, mut value) in old {
                    self.redact_json(&mut value);
                    fields.insert(self.redact(&name).into_owned(), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Removes secrets from the texts of a reply.
    pub fn redact_reply(&self, reply: &mut LmReply) {
        for completion in &mut reply.completions {
            self.redact_in_place(&mut completion.text);
            self.redact_in_place(&mut completion.reasoning);
        }
        if !reply.extra.is_empty() {
            reply.extra.values_mut().for_each(|value| self.redact_json(value));
        }
    }

    fn redact_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.redact(text) {
            *text = clean;
        }
    }
}

/// A secret as it is, and as it stands in a URL and in JSON.
fn spellings(secret: &str) -> Vec<String> {
    let in_url = |digits: fn(u8) -> String| -> String {
        let letter = |byte: u8| match byte {
            b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => digits(byte),
        };
        secret.bytes().map(letter).collect()
    };
    let as_json = Value::from(secret).to_string();
    let as_json = as_json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(secret);
    // Many writers of JSON put a backslash before a slash, which is allowed and not needed.
    let with_slashes = as_json.replace('/', "\\/");
    let urls = [in_url(|byte| format!("%{byte:02X}")), in_url(|byte| format!("%{byte:02x}"))];
    urls.into_iter().chain([secret.to_owned(), as_json.to_owned(), with_slashes]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| SecretString::from(*secret)))
    }

    #[test]
    fn secrets_go_wherever_they_stand() {
        let redactor = redactor(&["sk-canary", "sk-canary-long", "with\"quote", "short"]);
        assert_eq!(redactor.redact("a sk-canary-long b sk-canary."), "a [redacted] b [redacted].");
        assert_eq!(redactor.redact(r#"{"a": "with\"quote"}"#), r#"{"a": "[redacted]"}"#);
        assert_eq!(redactor.redact("a short text"), "a short text");
        let mut value = json!({"sk-canary": ["x sk-canary", {"deep": "with\"quote"}, 1, null]});
        redactor.redact_json(&mut value);
        assert_eq!(value, json!({"[redacted]": ["x [redacted]", {"deep": "[redacted]"}, 1, null]}));
        let more = redactor.with([SecretString::from("another one")]);
        assert_eq!(more.redact("another one, sk-canary"), "[redacted], [redacted]");
    }

    #[test]
    fn a_secret_is_known_in_the_spelling_of_urls_and_of_json() {
        let redactor = redactor(&["ab/cd+ef==", "say \"canary\"", "pässwörd"]);
        for text in [
            "ab/cd+ef==",
            "ab%2Fcd%2Bef%3D%3D",
            "ab%2fcd%2bef%3d%3d",
            r"ab\/cd+ef==",
            r#"say \"canary\""#,
            "p%C3%A4ssw%C3%B6rd",
        ] {
            assert_eq!(redactor.redact(&format!("<{text}>")), "<[redacted]>");
        }
    }

    #[test]
    fn a_long_word_of_a_secret_is_one_and_a_placeholder_is_none() {
        assert_eq!(redactor(&["Bearer token-abcdef"]).redact("got token-abcdef"), "got [redacted]");
        assert_eq!(redactor(&["x", "", "none "]).redact("extra none text"), "extra none text");
    }

    #[test]
    fn debug_output_holds_no_secret() {
        assert!(!format!("{:?}", redactor(&["sk-canary"])).contains("canary"));
    }
}
