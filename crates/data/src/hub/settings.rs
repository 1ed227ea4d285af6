//! Where the hub is, who asks, and where what was loaded is kept.

use std::env;
use std::path::{Path, PathBuf};

use promptopt_core::file::read_text;
use secrecy::SecretString;

use super::HubError;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// How the hub is reached, by the same environment variables as in Hugging Face's own programs.
///
/// `Debug` does not show the token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HubSettings {
    /// `HF_ENDPOINT`: the address of the hub or of a mirror. Default: `https://huggingface.co`.
    pub endpoint: String,
    /// `HF_TOKEN`; else what stands in the file `HF_TOKEN_PATH`, by default `$HF_HOME/token`. It is
    /// sent to the endpoint and to no other host. Default: none.
    pub token: Option<SecretString>,
    /// `HF_HUB_CACHE`, by default `$HF_HOME/hub`, where `HF_HOME` is `~/.cache/huggingface` if it is
    /// not set. Files are kept there under their commit, as Hugging Face's own programs keep them.
    pub cache: PathBuf,
    /// `HF_HUB_OFFLINE`: use only what the cache has. Default: no.
    pub offline: bool,
}

impl HubSettings {
    /// Settings without a token for the hub at `endpoint`.
    pub fn new(endpoint: impl Into<String>, cache: impl Into<PathBuf>) -> Self {
        Self { endpoint: endpoint.into(), token: None, cache: cache.into(), offline: false }
    }

    /// What the environment says.
    ///
    /// # Errors
    ///
    /// [`HubError::Invalid`] when no folder for the cache is known: neither it nor a home is set.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_lookup(|name| env::var(name).ok(), env::home_dir())
    }

    fn from_lookup(
        lookup: impl Fn(&str) -> Option<String>,
        user_home: Option<PathBuf>,
    ) -> Result<Self, HubError> {
        let get = |name| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let expand = |text: String| match (text.strip_prefix("~/"), &user_home) {
            (Some(rest), Some(user_home)) => user_home.join(rest),
            _ => PathBuf::from(text),
        };
        let base = get("XDG_CACHE_HOME")
            .map(&expand)
            .or_else(|| user_home.as_deref().map(|user_home| user_home.join(".cache")));
        let home = get("HF_HOME").map(&expand).or_else(|| base.map(|base| base.join("huggingface")));
        let cache = get("HF_HUB_CACHE").or_else(|| get("HUGGINGFACE_HUB_CACHE")).map(&expand);
        let cache = cache.or_else(|| home.as_deref().map(|home| home.join("hub"))).ok_or_else(|| {
            let reason = "no folder for the hub's cache is known: set HF_HUB_CACHE".to_owned();
            HubError::Invalid { reason }
        })?;
        let file = get("HF_TOKEN_PATH").map(&expand).or_else(|| home.map(|home| home.join("token")));
        let token = get("HF_TOKEN").or_else(|| file.as_deref().and_then(token_in));
        let yes = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        Ok(Self {
            endpoint: get("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: token.map(SecretString::from),
            cache,
            offline: get("HF_HUB_OFFLINE").is_some_and(yes),
        })
    }
}

fn token_in(file: &Path) -> Option<String> {
    let text = read_text(file, 64 * 1024).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use std::fs;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> HubSettings {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        HubSettings::from_lookup(lookup, Some(PathBuf::from("/u"))).unwrap()
    }

    fn token(settings: &HubSettings) -> Option<&str> {
        settings.token.as_ref().map(|token| token.expose_secret())
    }

    #[test]
    fn the_environment_is_read_as_the_hubs_own_programs_do() {
        let plain = settings(&[]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("/u/.cache/huggingface/hub"));
        assert_eq!((token(&plain), plain.offline), (None, false));
        let set = settings(&[
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_TOKEN", " hf_a\n"),
            ("HF_HOME", "/h"),
            ("HF_HUB_OFFLINE", "true"),
        ]);
        assert_eq!(set.endpoint, "https://mirror.example/");
        assert_eq!((token(&set), set.offline), (Some("hf_a"), true));
        assert_eq!(set.cache, Path::new("/h/hub"));
        assert_eq!(settings(&[("HF_HUB_CACHE", "~/c")]).cache, Path::new("/u/c"));
        assert_eq!(settings(&[("XDG_CACHE_HOME", "/x")]).cache, Path::new("/x/huggingface/hub"));
    }

    #[test]
    fn the_token_is_read_from_its_file_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        fs::write(folder.path().join("token"), "hf_home\n").unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "hf_other").unwrap();
        let from_home = settings(&[("HF_HOME", home)]);
        assert_eq!(token(&from_home), Some("hf_home"));
        let from_path = settings(&[("HF_HOME", home), ("HF_TOKEN_PATH", other.to_str().unwrap())]);
        assert_eq!(token(&from_path), Some("hf_other"));
        assert!(!format!("{from_path:?}").contains("hf_other"));
    }
}
