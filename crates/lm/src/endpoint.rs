//! The address requests go to, and the forms of it that may be shown.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::ConfigError;

const CHAT: &str = "/chat/completions";
const EMBEDDINGS: &str = "/embeddings";

/// The address that requests go to.
///
/// `Debug` is not derived: the URL itself can hold a password.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// The full address, with user name, password and query.
    url: Url,
    /// Scheme, host, port and path: fit for messages.
    shown: String,
    /// Host, port and the path before the endpoint's own: fit for a store key.
    place: String,
}

impl Endpoint {
    /// That of `chat/completions` under a base URL; a trailing slash and a full `…/chat/completions` are tolerated.
    pub(crate) fn parse(base_url: &str) -> Result<Self, ConfigError> {
        Self::parse_for(base_url, CHAT)
    }

    /// That of `embeddings`.
    pub(crate) fn for_embeddings(base_url: &str) -> Result<Self, ConfigError> {
        Self::parse_for(base_url, EMBEDDINGS)
    }

    fn parse_for(base_url: &str, own: &str) -> Result<Self, ConfigError> {
        let base_url = base_url.trim();
        let refuse = |url: &str, reason: &str| ConfigError::BaseUrl {
            url: url.to_owned(),
            reason: format!(
                "{reason}; it looks like `https://api.openai.com/v1` or `http://localhost:8000/v1`"
            ),
        };
        if !base_url.starts_with("http://") && !base_url.starts_with("https://") {
            return Err(refuse(&without_secrets(base_url), "it does not start with `http://` or `https://`"));
        }
        let mut url = Url::parse(base_url)
            .map_err(|error| refuse(&without_secrets(base_url), &format!("it is not a URL ({error})")))?;
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/');
        let base = path.strip_suffix(CHAT).or_else(|| path.strip_suffix(EMBEDDINGS)).unwrap_or(path);
        let base = base.trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{own}"));

        let host = url.host_str().unwrap_or_default();
        let place = match url.port() {
            Some(port) => format!("{host}:{port}{base}"),
            None => format!("{host}{base}"),
        };
        let shown = format!("{}://{place}{own}", url.scheme());
        Ok(Self { url, shown, place })
    }

    /// The address to send to.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The address for messages: without user name, password and query.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// The address for store keys: host, port and base path.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The server's name, or its address.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether the address holds a user name or a password.
    pub(crate) fn has_login(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }

    /// What is secret in the address: the password (or a token in its place) and the query's values.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let login = self.url.password().or_else(|| Some(self.url.username())).unwrap_or_default();
        let query = self.url.query_pairs().map(|(_, value)| value.into_owned());
        let decoded = percent_decode_str(login).decode_utf8_lossy().into_owned();
        [login.to_owned(), decoded].into_iter().chain(query).collect()
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let bare = self.host().trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }
}

/// A text that is no URL, or not surely one, without what could be a login or a query.
pub(crate) fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let joint = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{joint}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base_url: &str, url: &str, place: &str) {
        let endpoint = Endpoint::parse(base_url).unwrap();
        assert_eq!(endpoint.url().as_str(), url, "{base_url}");
        assert_eq!(endpoint.place(), place, "{base_url}");
    }

    #[test]
    fn slashes_and_full_addresses_are_tolerated() {
        let url = "https://api.openai.com/v1/chat/completions";
        for base in ["/v1", "/v1/", "/v1//", "/v1/chat/completions", "/v1/chat/completions/"] {
            check(&format!("https://api.openai.com{base}"), url, "api.openai.com/v1");
        }
        check("http://localhost:11434", "http://localhost:11434/chat/completions", "localhost:11434");
        check(" https://x.io:443/a%20b#top ", "https://x.io/a%20b/chat/completions", "x.io/a%20b");
    }

    #[test]
    fn a_query_is_sent_but_not_shown() {
        let endpoint = Endpoint::parse("https://x.io/v1?api-version=2024-10-21").unwrap();
        assert_eq!(endpoint.url().as_str(), "https://x.io/v1/chat/completions?api-version=2024-10-21");
        assert_eq!(endpoint.shown(), "https://x.io/v1/chat/completions");
    }

    #[test]
    fn a_login_is_neither_shown_nor_part_of_the_place() {
        let endpoint = Endpoint::parse("https://ann:pass%2Dword@x.io/v1").unwrap();
        assert_eq!(endpoint.place(), "x.io/v1");
        assert_eq!(endpoint.shown(), "https://x.io/v1/chat/completions");
        assert!(endpoint.has_login());
        assert!(endpoint.secrets().contains(&"pass-word".to_owned()));
    }

    #[test]
    fn what_is_no_web_address_is_refused_without_its_secrets() {
        for base in ["", "localhost:8000", "ftp://x.io", "file:///v1", "http://", "http://ann:pass@:80:80/v1"]
        {
            let error = Endpoint::parse(base).err().unwrap().to_string();
            assert!(error.contains("http://localhost:8000/v1"), "{error}");
            assert!(!error.contains("pass"), "{error}");
        }
    }

    #[test]
    fn loopback_is_known_in_all_its_forms() {
        for host in ["localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:80"] {
            assert!(Endpoint::parse(&format!("http://{host}")).unwrap().is_loopback(), "{host}");
        }
        assert!(!Endpoint::parse("http://example.org").unwrap().is_loopback());
    }
}
