//! A service that is asked over HTTP.

use std::net::IpAddr;
use std::time::Duration;

use promptopt_core::program::Unavailable;

use super::Question;
use crate::answer::Answer;
use crate::{Error, answer};

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
    ///
    /// # Errors
    ///
    /// [`Error::Address`] where it is none.
    pub fn new(url: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Address { url: url.to_owned(), reason };
        let address = reqwest::Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let is_here = address.host_str().is_some_and(|host| {
            let bare = host.trim_matches(['[', ']']);
            bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        });
        // No proxy stands between a program and this machine.
        let client = if is_here { reqwest::Client::builder().no_proxy() } else { reqwest::Client::builder() };
        let client = client.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { url: url.to_owned(), timeout: Duration::from_secs(120), client })
    }

    /// With the longest time that one rollout may take. Default: 120 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Error> {
        let body = question.to_json().to_string();
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
            return Err(question.said(&format!("HTTP {status}: {text}")));
        }
        question.heard(answer::of_text(&text, question.signature)?)
    }
}
