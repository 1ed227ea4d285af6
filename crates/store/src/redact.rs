//! Removal of secrets by their value.

use std::borrow::Cow;
use std::sync::Arc;

use promptopt_core::lm::LmReply;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

/// What stands in the place of a secret.
const MASK: &str = "[redacted]";

/// Shorter secrets are placeholders, such as `none` for a server that wants any key at all;
/// replacing those would maim ordinary text.
const SHORTEST: usize = 6;

/// Replaces secrets, wherever they occur in a text, by `[redacted]`. Clones share the secrets.
///
/// Secrets of fewer than six characters are left alone: they are placeholders, and replacing them
/// would maim ordinary text. The default has no secrets.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret that holds another is replaced whole.
    secrets: Arc<[SecretString]>,
}

impl Redactor {
    /// A redactor of these secrets, also where they stand escaped in JSON.
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let mut values = Vec::new();
        for secret in secrets {
            let value = secret.expose_secret();
            if value.chars().count() < SHORTEST {
                continue;
            }
            let escaped = Value::from(value).to_string();
            let escaped =
                escaped.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
            if escaped != value {
                values.push(escaped.to_owned());
            }
            values.push(value.to_owned());
        }
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { secrets: values.into_iter().map(SecretString::from).collect() }
    }

    /// `text` without secrets.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for secret in self.secrets.iter().map(|secret| secret.expose_secret()) {
            if clean.contains(secret) {
                clean = Cow::Owned(clean.replace(secret, MASK));
            }
        }
        clean
    }

    /// Removes secrets from every text in a JSON value, names of fields included.
    pub fn redact_json(&self, value: &mut Value) {
        if self.secrets.is_empty() {
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

    pub(crate) fn redact_reply(&self, reply: &mut LmReply) {
        for completion in &mut reply.completions {
            self.redact_in_place(&mut completion.text);
            self.redact_in_place(&mut completion.reasoning);
        }
    }

    fn redact_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.redact(text) {
            *text = clean;
        }
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::money::Usage;
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
        let mut reply = LmReply::text("a sk-canary", Usage::default());
        reply.completions[0].reasoning = "b sk-canary".to_owned();
        redactor.redact_reply(&mut reply);
        let redacted = &reply.completions[0];
        assert_eq!((redacted.text.as_str(), redacted.reasoning.as_str()), ("a [redacted]", "b [redacted]"));
        let mut value = json!({"sk-canary": ["x sk-canary", {"deep": "with\"quote"}, 1, null]});
        redactor.redact_json(&mut value);
        assert_eq!(value, json!({"[redacted]": ["x [redacted]", {"deep": "[redacted]"}, 1, null]}));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        assert!(!format!("{:?}", redactor(&["sk-canary"])).contains("canary"));
    }
}
