//! The secrets of a task: what no file and no message may hold.

use std::borrow::Cow;
use std::io::{self, Stderr, Write};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use promptopt_lm::ModelName;
use promptopt_store::Redactor;
use reqwest::Url;
use secrecy::SecretString;

use crate::progress;
use crate::session::named_models;
use crate::task_file::{ModelSection, TaskFile};

/// The variable that is looked at when a model names none.
const DEFAULT_KEY_VARIABLE: &str = "OPENAI_API_KEY";
/// A header whose name ends with one of these, or holds the last two, carries a secret.
const SECRET_HEADERS: [&str; 6] = ["authorization", "key", "token", "cookie", "secret", "password"];
/// The largest file that is read for a key, in bytes.
const LARGEST_KEY_FILE: u64 = 64 * 1024;

/// Whether a header's value is a secret, by its name.
pub(crate) fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_HEADERS.iter().any(|suffix| name.ends_with(suffix))
}

/// Removes the keys, secret headers and logins of all models of a task. `lm` is the model that the command
/// line names.
pub(crate) fn redactor(task: &TaskFile, lm: Option<&str>) -> Redactor {
    let named = lm.map(ModelSection::named);
    let sections = named_models(task).into_iter().map(|(_, section)| section);
    let secrets: Vec<String> = sections.chain(named.as_ref()).flat_map(secrets).collect();
    let redactor = Redactor::new(secrets.into_iter().map(SecretString::from));
    // A process has one task, so nothing is lost when the secrets are known already.
    let _ = KNOWN.set(redactor.clone());
    redactor
}

/// The secrets of this process, for what it says.
static KNOWN: OnceLock<Redactor> = OnceLock::new();

/// A text as it may be said.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    KNOWN.get().map_or(Cow::Borrowed(text), |redactor| redactor.redact(text))
}

/// Standard error for logs, which are written an event at a time.
pub(crate) struct CleanStderr(pub(crate) Stderr);

impl Write for CleanStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        progress::aside(|| self.0.write_all(clean(&text).as_bytes()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The environment variable that holds a model's key.
pub(crate) fn key_variable(section: &ModelSection) -> &str {
    if let Some(variable) = &section.api_key_env {
        return variable;
    }
    match ModelName::parse(&section.name, section.base_url.as_deref()) {
        Ok(ModelName::Provider { provider, .. }) => provider.key_variable(),
        _ => DEFAULT_KEY_VARIABLE,
    }
}

fn secrets(section: &ModelSection) -> Vec<String> {
    let variable = key_variable(section);
    let mut secrets: Vec<String> = std::env::var(variable).ok().into_iter().collect();
    if let Some(file) = &section.api_key_file {
        let small = std::fs::metadata(file).is_ok_and(|data| data.len() <= LARGEST_KEY_FILE);
        // One that cannot be read ends the run when its model is set up.
        secrets.extend(small.then(|| std::fs::read_to_string(file).ok()).flatten());
    }
    for (name, value) in &section.headers {
        if is_secret_header(name) {
            secrets.push(value.clone());
            // As in `Bearer sk-…`, where the provider may quote the second word alone.
            secrets.extend(value.split_whitespace().skip(1).map(str::to_owned));
        }
    }
    let in_name = section.name.rsplit_once('@').map(|(_, url)| url);
    // The login may hold an `@` itself, so the name is tried from its first as well.
    let whole = section.name.split_once('@').map(|(_, url)| url);
    for url in in_name
        .into_iter()
        .chain(whole)
        .chain(section.base_url.as_deref())
        .chain(section.provider_url.as_deref())
    {
        let Ok(url) = Url::parse(url) else { continue };
        secrets.extend(login(&url));
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    }
    secrets.into_iter().map(|secret| secret.trim().to_owned()).filter(|secret| !secret.is_empty()).collect()
}

/// The password of a URL, and the login in the form in which it is sent.
fn login(url: &Url) -> Vec<String> {
    let Some(password) = url.password() else { return Vec::new() };
    let plain = percent_decoded(password);
    let sent = STANDARD.encode(format!("{}:{plain}", percent_decoded(url.username())));
    vec![password.to_owned(), plain, sent]
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_logins_are_secrets() {
        let text = "[program]\nsignature = \"a -> b\"\n[model]\nname = \"m\"\n\
                    base_url = \"http://ann:canary-1@h/v1?key=canary-2\"\n\
                    headers = { x-api-key = \"canary-3\", x-title = \"desk-name\" }\n\
                    [data]\npath = \"x\"";
        let task = TaskFile::parse(text).unwrap();
        let clean = redactor(&task, Some("m@http://bob:canary-4@h/v1"))
            .redact("canary-1 canary-2 canary-3 canary-4 desk-name")
            .into_owned();
        assert_eq!(clean, "[redacted] [redacted] [redacted] [redacted] desk-name");
        // As it stands in the URL, as it is meant, and as it is sent.
        let task = TaskFile::parse(&text.replace("canary-1", "p%40ss-1")).unwrap();
        let found = secrets(&task.model);
        for form in ["p%40ss-1", "p@ss-1", "YW5uOnBAc3MtMQ=="] {
            assert!(found.iter().any(|secret| secret == form), "{form} is not in {found:?}");
        }
    }
}
