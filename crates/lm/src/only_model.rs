//! Which model a server has, where it has only one.

use std::time::Duration;

use reqwest::{Response, Url};
use serde_json::Value;
use tokio::time::timeout;

use crate::chat::USER_AGENT;
use crate::endpoint::Endpoint;
use crate::headers::{Credentials, ExtraHeader, header_map};
use crate::secrets::redactor;
use crate::text::{EXCERPT_LIMIT, tidy};
use crate::transport::{Limits, cause, http_client};
use crate::{ConfigError, ModelSettings};

/// No list of models needs to be longer.
const LIST_LIMIT: usize = 1024 * 1024;

/// So many models are named when there are several.
const SHOWN: usize = 8;

const PATIENCE: Duration = Duration::from_secs(30);

/// The only model that the OpenAI-compatible server at `base_url` has, by `GET {base_url}/models`. Key,
/// headers and timeout (30 s without one) are those of `settings`.
///
/// # Errors
///
/// [`ConfigError::Models`] where the server does not answer, has none, or has several.
pub async fn only_model(base_url: &str, settings: &ModelSettings) -> Result<String, ConfigError> {
    let endpoint = Endpoint::parse(base_url)?;
    let patience = settings.timeout.unwrap_or(PATIENCE);
    let limits = Limits {
        connect_timeout: patience.min(Duration::from_secs(10)),
        first_byte_timeout: patience,
        timeout: patience,
        max_silence: patience,
        max_reply_bytes: LIST_LIMIT,
    };
    let headers: Vec<_> = settings
        .headers
        .iter()
        .cloned()
        .map(|(name, value, is_secret)| ExtraHeader::new(name, value, is_secret))
        .collect();
    let (key, file) = (settings.api_key.clone(), settings.api_key_file.clone());
    let named = Credentials::named(key, file, settings.api_key_env.clone())?;
    let credentials = Credentials::find(named, &endpoint, &headers)?;
    let parameters = Value::Object(settings.extra.clone());
    let redactor = redactor(credentials.secrets(&endpoint, &headers, &parameters));
    let url = list_url(&endpoint);
    let shown = format!("{}://{}/models", url.scheme(), endpoint.place());
    let refuse = |reason: String| ConfigError::Models { reason: tidy(&redactor, &reason, 2 * EXCERPT_LIMIT) };

    let request =
        http_client(&endpoint, &limits, USER_AGENT)?.get(url).headers(header_map(&headers, &credentials)?);
    let body = timeout(patience, async { read(request.send().await?).await }).await;
    let (status, body) = body
        .map_err(|_| refuse(format!("{shown} did not answer within {} s", patience.as_secs_f64())))?
        .map_err(|error| refuse(format!("{shown} can not be read: {}", cause(&error.without_url()))))?;
    let place = format!("`MODEL@{}://{}`", endpoint.url().scheme(), endpoint.place());
    if status != 200 {
        return Err(refuse(format!("{shown} answers with HTTP {status}; name it as {place}")));
    }
    if body.len() > LIST_LIMIT {
        return Err(refuse(format!("{shown} is longer than {LIST_LIMIT} bytes; name it as {place}")));
    }
    let models = models(&body);
    match models.as_slice() {
        [model] => Ok(model.clone()),
        [] => Err(refuse(format!("{shown} lists none; name it as {place}"))),
        several => {
            let some = several.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("`, `");
            let more = if several.len() > SHOWN { " and others" } else { "" };
            Err(refuse(format!("{shown} lists {}; name one as {place}: `{some}`{more}", several.len())))
        }
    }
}

/// Beside `chat/completions`, with the same login and query.
fn list_url(endpoint: &Endpoint) -> Url {
    let mut url = endpoint.url().clone();
    let path = url.path().strip_suffix("/chat/completions").unwrap_or_default().to_owned();
    url.set_path(&format!("{path}/models"));
    url
}

/// The status and the body, which ends soon after it has become too long.
async fn read(mut response: Response) -> Result<(u16, Vec<u8>), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LIST_LIMIT {
            break;
        }
    }
    Ok((response.status().as_u16(), body))
}

fn models(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let entries = body.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.get("id")?.as_str().map(str::to_owned)).collect()
}
