//! The secrets of a task: what no file and no message may hold.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use promptopt_core::file::read_text;
use promptopt_core::secret::{MASK, is_secret_name, mask_credentials, secrets_in};
use promptopt_lm::ModelName;
use promptopt_store::Redactor;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::Value;

use crate::session::named_models;
use crate::task_file::{ModelSection, TaskFile};
use crate::traces;

/// The variable that is looked at when a model names none.
const DEFAULT_KEY_VARIABLE: &str = "OPENAI_API_KEY";
/// The largest file that is read for a key, in bytes.
pub(crate) const LARGEST_KEY_FILE: u64 = 64 * 1024;
/// The shortest value of a variable that no task names, in bytes: shorter ones are often words, as in
/// `CI_TOKEN=none`.
const SHORTEST_VALUE: usize = 16;

/// Removes the secrets of a task and of what the command line and the environment hold.
pub(crate) fn redactor(task: &TaskFile) -> Redactor {
    learn(of_task(task));
    known()
}

/// The secrets of this process, for what it says.
static KNOWN: RwLock<Option<Redactor>> = RwLock::new(None);

fn known() -> Redactor {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

pub(crate) fn learn(secrets: Vec<String>) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let more = known.clone().unwrap_or_default().with(secrets.into_iter().map(SecretString::from));
    traces::learn(&more);
    *known = Some(more);
}

/// Takes what is known out of what spans say.
#[cfg(feature = "otlp")]
pub(crate) fn tell_traces() {
    traces::learn(&known());
}

/// Learns what is secret before anything is read: logins and keys in the words of the command line, and the
/// variables that are known to hold keys.
pub(crate) fn learn_surroundings(words: &[String], variables: impl Iterator<Item = (String, String)>) {
    let of_words = words.iter().flat_map(|word| [in_url(word), looks_secret(word)].concat());
    let of_variables = variables.flat_map(|(name, value)| match () {
        () if is_key_variable(&name) && value.len() >= SHORTEST_VALUE => vec![value],
        () if name.starts_with("OTEL_EXPORTER_OTLP") && name.ends_with("HEADERS") => header_values(&value),
        () if name.starts_with("OTEL_EXPORTER_OTLP") && name.ends_with("ENDPOINT") => in_url(&value),
        () => Vec::new(),
    });
    learn(of_words.chain(of_variables).collect());
}

/// The values in `name=value,name=value`, as they are written and as they are sent.
fn header_values(text: &str) -> Vec<String> {
    let values = text.split(',').filter_map(|pair| Some(pair.split_once('=')?.1.trim()));
    values.flat_map(|value| [value.to_owned(), percent_decoded(value)]).collect()
}

/// A text as it may be used: without the values of secrets.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    match known().redact(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(clean) => Cow::Owned(clean),
    }
}

/// A text as it may be said: also without whatever looks like a credential.
pub(crate) fn clean_strictly(text: &str) -> Cow<'_, str> {
    match known().strict().redact(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(clean) => Cow::Owned(clean),
    }
}

/// Whether an environment variable holds a key, by its name.
pub(crate) fn is_key_variable(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["_API_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_SECRET_KEY", "_ACCESS_KEY"]
        .iter()
        .any(|end| name.ends_with(end))
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

/// Masks headers and parameters whose names say that they are secret, however short they are.
pub(crate) fn without_named(source: &mut Value) {
    let Some(fields) = source.as_object_mut() else {
        return source.as_array_mut().into_iter().flatten().for_each(without_named);
    };
    for (name, value) in fields {
        match value.as_object_mut().filter(|_| ["headers", "extra"].contains(&name.as_str())) {
            Some(named) => {
                named.iter_mut().filter(|(name, _)| is_secret_name(name)).for_each(|(_, value)| {
                    *value = MASK.into();
                })
            }
            None => without_named(value),
        }
    }
}

/// What is said of a file that could not be read, with lines of it, without what stands under the name of a secret.
pub(crate) fn without_assignments(text: &str) -> String {
    let mut found: Vec<&str> = text.split('\n').flat_map(assigned).collect();
    // Longest first, so that a value that holds another is masked whole.
    found.sort_by_key(|value| std::cmp::Reverse(value.len()));
    found.iter().fold(text.to_owned(), |text, value| text.replace(value, MASK))
}

/// The values in a line that stand under the name of a secret.
fn assigned(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('=') {
        rest = behind;
        let name = before.trim_end().trim_end_matches(['"', '\'']);
        let name = name.rsplit(|letter: char| !(letter.is_alphanumeric() || "-_".contains(letter))).next();
        let name = name.unwrap_or_default();
        let behind = behind.trim_start();
        let quote = behind.chars().next().filter(|quote| ['"', '\''].contains(quote));
        let inside = behind.trim_start_matches(['"', '\'']);
        let (value, after) = match quote {
            Some(quote) => inside.split_once(quote).unwrap_or((inside, "")),
            None => (behind, ""),
        };
        let place = name.ends_with("_env") || name.ends_with("_file");
        let is_secret = is_secret_name(name) && !place || name == "headers" && quote.is_some();
        if is_secret && !value.trim().is_empty() {
            found.push(value.trim());
            rest = after;
        }
    }
    found
}

/// What is secret in a task: of its models, and in the command lines of its metrics.
fn of_task(task: &TaskFile) -> Vec<String> {
    let models = named_models(task).into_iter().flat_map(|(_, section)| secrets(section));
    let commands = task.metric.iter().filter_map(|metric| metric.command.as_deref());
    models.chain(commands.flat_map(of_command)).collect()
}

/// What is secret in a command line: what looks so, and what stands behind an option of such a name.
fn of_command(words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut named = false;
    for word in words {
        found.extend(looks_secret(word));
        found.extend(in_url(word));
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let is_secret = name.starts_with('-') && is_secret_name(name);
        match value {
            Some(value) if is_secret => found.push(value.to_owned()),
            _ if named && !word.starts_with('-') => found.push(word.clone()),
            _ => {}
        }
        named = is_secret && value.is_none();
    }
    found
}

fn secrets(section: &ModelSection) -> Vec<String> {
    let variable = key_variable(section);
    let mut secrets: Vec<String> = std::env::var(variable).ok().into_iter().collect();
    // Whoever writes the key itself where its variable or file is named will read of it in an error.
    secrets.extend(looks_secret(variable));
    if let Some(file) = &section.api_key_file {
        secrets.extend(looks_secret(&file.file_name().unwrap_or(OsStr::new("")).to_string_lossy()));
        // One that cannot be read ends the run when its model is set up.
        secrets.extend(read_text(file, LARGEST_KEY_FILE));
    }
    let headers = section.headers.iter();
    secrets.extend(headers.filter(|(name, _)| is_secret_name(name)).map(|(_, value)| value.clone()));
    secrets.extend(section.headers.values().flat_map(|value| looks_secret(value)));
    let extra = Value::Object(section.extra.clone());
    secrets.extend(secrets_in(&extra));
    secrets.extend(texts(&extra).iter().flat_map(|text| looks_secret(text)));
    let urls = [Some(&section.name), section.base_url.as_ref(), section.provider_url.as_ref()];
    secrets.extend(urls.into_iter().flatten().flat_map(|url| in_url(url)));
    secrets
}

/// The texts in a JSON value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The words of a text that look like a credential.
fn looks_secret(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| letter.is_whitespace() || "'\"=,;".contains(letter));
    words.filter(|word| mask_credentials(word) == MASK).map(str::to_owned).collect()
}

/// What is secret in a text that is a URL or ends with one, such as `MODEL@BASE_URL`: its login in all forms, and
/// the values of its query.
pub(crate) fn in_url(text: &str) -> Vec<String> {
    // The login may hold an `@` itself, so the text is tried from its first as well.
    let from =
        [Some(text), text.split_once('@').map(|(_, url)| url), text.rsplit_once('@').map(|(_, url)| url)];
    let urls = from
        .into_iter()
        .flatten()
        .filter(|text| text.contains("://"))
        .filter_map(|text| Url::parse(text).ok());
    let mut found = Vec::new();
    for url in urls.filter(|url| url.has_host()) {
        found.extend(login(&url));
        found.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    }
    found
}

/// The password of a URL, or the token in its place, and the login in the form in which it is sent.
fn login(url: &Url) -> Vec<String> {
    let secret = match url.password() {
        Some(password) => password,
        None if url.username().is_empty() => return Vec::new(),
        None => url.username(),
    };
    let plain = percent_decoded(secret);
    let password = percent_decoded(url.password().unwrap_or_default());
    let sent = STANDARD.encode(format!("{}:{password}", percent_decoded(url.username())));
    vec![secret.to_owned(), plain, sent]
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
        learn_surroundings(&["--lm".to_owned(), "m@http://bob:canary-4@h/v1".to_owned()], std::iter::empty());
        let clean = redactor(&task).redact("canary-1 canary-2 canary-3 canary-4 desk-name").into_owned();
        assert_eq!(clean, "[redacted] [redacted] [redacted] [redacted] desk-name");
        // As it stands in the URL, as it is meant, and as it is sent.
        let task = TaskFile::parse(&text.replace("canary-1", "p%40ss-1")).unwrap();
        let found = secrets(&task.model);
        for form in ["p%40ss-1", "p@ss-1", "YW5uOnBAc3MtMQ=="] {
            assert!(found.iter().any(|secret| secret == form), "{form} is not in {found:?}");
        }
    }

    #[test]
    fn secrets_are_known_by_name_and_by_look_wherever_a_task_has_them() {
        let text = "[program]\nsignature = \"a -> b\"\n[model]\nname = \"m@http://us3r-token@h/v1\"\n\
                    api_key_env = \"sk-Ab12Cd34Ef56Gh78\"\n\
                    headers = { X-Auth = \"by-name-1\", X-API-Key-V2 = \"by-name-2\", X-Session = \"by-name-3\", \
                    x-note = \"Bearer by-look-0123456789A\" }\n\
                    extra = { api_key = \"by-name-4\", deep = { auth = [\"by-name-5\"] }, note = \"ghp_16C7e42F292c6912E7710c83\", user = \"desk-name\" }\n\
                    [metric]\nkind = \"command\"\ncommand = [\"judge\", \"--token\", \"by-name-6\", \"--api-key=by-name-7\", \"--level\", \"strict-one\"]\n\
                    [data]\npath = \"x\"";
        let found = of_task(&TaskFile::parse(text).unwrap());
        for n in 1..=7 {
            assert!(found.contains(&format!("by-name-{n}")), "{n}: {found:?}");
        }
        for secret in ["us3r-token", "sk-Ab12Cd34Ef56Gh78", "ghp_16C7e42F292c6912E7710c83"] {
            assert!(found.iter().any(|one| one == secret), "{secret}: {found:?}");
        }
        assert!(!found.iter().any(|one| one == "desk-name" || one == "strict-one"), "{found:?}");
        let mut source = TaskFile::parse(text).unwrap().source;
        without_named(&mut source);
        assert_eq!(source["model"]["headers"]["X-Session"], MASK);
        assert_eq!(
            (&source["model"]["extra"]["user"], &source["model"]["extra"]["api_key"]),
            (&"desk-name".into(), &MASK.into())
        );
    }

    #[test]
    fn a_quoted_line_does_not_show_its_secret() {
        let check = |line: &str, shown: &str| assert_eq!(without_assignments(line), shown);
        check("4 | api_key = \"hunter2\" # mine", "4 | api_key = \"[redacted]\" # mine");
        check(
            "4 | headers = { X-Auth = 'a=b', x-title = \"desk\" }",
            "4 | headers = { X-Auth = '[redacted]', x-title = \"desk\" }",
        );
        check("api_key = \"never ends", "api_key = \"[redacted]");
        check(
            "headers = \"X-Auth: s\"\ninvalid type: string \"X-Auth: s\"",
            "headers = \"[redacted]\"\ninvalid type: string \"[redacted]\"",
        );
        check("api_key_env = \"LAB_KEY\" max_tokens = 5", "api_key_env = \"LAB_KEY\" max_tokens = 5");
        check("\"x-api-key\" = abc\nunknown field", "\"x-api-key\" = [redacted]\nunknown field");
    }
}
