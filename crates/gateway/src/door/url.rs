//! A service that is asked over HTTP.

use std::time::Duration;

use promptopt_core::data::{Fields, Prediction, plain_text, shorten};
use promptopt_core::program::Unavailable;
use promptopt_core::signature::Signature;
use serde_json::{Map, Value};

use super::question;
use crate::{Error, Session, answer};

/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A service that runs already. It gets `inputs`, `components`, `base_url` and `api_key` as a JSON object by `POST`, and answers
/// with `outputs` or `error`, or with the outputs themselves.
#[derive(Debug, Clone)]
pub struct Url {
    url: String,
    timeout: Duration,
    client: reqwest::Client,
}

impl Url {
    /// A service at an address, such as `http://127.0.0.1:9000/answer`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), timeout: Duration::from_secs(120), client: reqwest::Client::new() }
    }

    /// With the longest time that one rollout may take. Default: 120 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) async fn ask(
        &self,
        session: &Session,
        inputs: &Fields,
        signature: &Signature,
        components: &Map<String, Value>,
    ) -> Result<Prediction, Error> {
        let body = question(session, inputs, components).to_string();
        let work = async {
            let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
            let mut response = request.send().await?;
            let status = response.status();
            let mut heard = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                heard.extend_from_slice(&chunk);
                if heard.len() > MAX_BYTES {
                    break;
                }
            }
            Ok::<_, reqwest::Error>((status, heard))
        };
        let result = tokio::time::timeout(self.timeout, work).await;
        let (status, heard) = match result {
            Err(_) => return Err(Error::Timeout { after: self.timeout, complaint: String::new() }),
            // Nothing is said of a prompt by a service that is away.
            Ok(Err(error)) => {
                return Err(Error::Unreachable {
                    url: self.url.clone(),
                    source: Unavailable::new(error.without_url().to_string()),
                });
            }
            Ok(Ok(answered)) => answered,
        };
        if heard.len() > MAX_BYTES {
            return Err(Error::Answer { reason: format!("it has more than {MAX_BYTES} bytes") });
        }
        let text = String::from_utf8_lossy(&heard);
        if !status.is_success() {
            return Err(Error::Said { said: format!("HTTP {status}: {}", shorten(&text, 600)) });
        }
        match serde_json::from_str(&text) {
            Ok(Value::Object(mut fields)) => match (fields.remove("error"), fields.remove("outputs")) {
                (Some(error), _) if !error.is_null() => Err(Error::Said { said: plain_text(&error) }),
                (_, Some(outputs)) => answer::of_value(outputs, signature),
                _ => answer::of_value(Value::Object(fields), signature),
            },
            _ => answer::of_text(&text, signature),
        }
    }
}
