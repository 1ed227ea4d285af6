//! How a model is named in one line of text.

use crate::{ConfigError, Provider};

/// What the name of a model says: which client, where, and which model there.
///
/// | Name | Meaning |
/// | --- | --- |
/// | `gpt-5-mini` | at the base URL, or at OpenAI |
/// | `Qwen/Qwen2.5-7B-Instruct` with a base URL | the whole name at the base URL |
/// | `MODEL@http://localhost:8000/v1` | the OpenAI-compatible server at that address |
/// | `http://localhost:8000/v1` | the only model of that server |
/// | `anthropic/claude-sonnet-4-5` | a model of a known [`Provider`] |
/// | `local`, `local/NAME` | the embedded model |
///
/// A base URL, given apart or in the name, makes it the name of a model at an OpenAI-compatible server,
/// and is passed on as it stands: gateways such as OpenRouter and LiteLLM have models that are called
/// `anthropic/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelName {
    /// A model of an OpenAI-compatible server.
    Compatible {
        /// The model; without one, the server's only model.
        model: Option<String>,
        /// The server; without one, OpenAI.
        base_url: Option<String>,
    },
    /// A model of a known provider.
    Provider {
        /// The provider.
        provider: &'static Provider,
        /// The model, as the provider spells it.
        model: String,
    },
    /// The embedded model.
    Embedded {
        /// Which one; without it, the one that is there.
        model: Option<String>,
    },
}

impl ModelName {
    /// Reads a name. `base_url` is the address of an OpenAI-compatible server, where one is given apart; one
    /// in the name goes before it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ModelName`] where nothing names a model, or the prefix is that of no known provider
    /// and there is no base URL.
    pub fn parse(name: &str, base_url: Option<&str>) -> Result<Self, ConfigError> {
        let name = name.trim();
        if is_address(name) {
            return Ok(Self::Compatible { model: None, base_url: Some(name.to_owned()) });
        }
        if let Some((model, address)) = with_address(name) {
            return match model {
                "" => Err(refuse(name, "it names no model before the `@`")),
                model => Ok(Self::at(model, Some(address))),
            };
        }
        if name.is_empty() {
            return Err(refuse(name, "it is empty"));
        }
        if name == "local" {
            return Ok(Self::Embedded { model: None });
        }
        if let Some(model) = name.strip_prefix("local/") {
            return Ok(Self::Embedded { model: (!model.is_empty()).then(|| model.to_owned()) });
        }
        if base_url.is_some() {
            return Ok(Self::at(name, base_url));
        }
        let Some((prefix, model)) = name.split_once('/') else {
            return Ok(Self::at(name, None));
        };
        match Provider::find(prefix) {
            Some(_) if model.is_empty() => Err(refuse(name, "it names no model after the `/`")),
            Some(provider) => Ok(Self::Provider { provider, model: model.to_owned() }),
            None => Err(refuse(name, &unknown(prefix))),
        }
    }

    fn at(model: &str, base_url: Option<&str>) -> Self {
        Self::Compatible { model: Some(model.to_owned()), base_url: base_url.map(str::to_owned) }
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// The model and the address of `MODEL@URL`. The URL may hold an `@` of its own.
fn with_address(name: &str) -> Option<(&str, &str)> {
    let at = name.match_indices('@').map(|(at, _)| at);
    let mut parts = at.filter_map(|at| Some((name.get(..at)?, name.get(at + 1..)?)));
    parts.find(|(_, address)| is_address(address))
}

fn unknown(prefix: &str) -> String {
    let meant = match Provider::suggestion(prefix) {
        Some(known) => format!("did you mean `{known}/…`?"),
        None => {
            let known: Vec<_> = Provider::all().map(Provider::prefix).collect();
            format!("there are {}.", known.join(", "))
        }
    };
    format!(
        "`{prefix}` is no known provider; {meant} A model with a slash in its name on a server of your own needs \
         the base URL: `MODEL@http://localhost:8000/v1`"
    )
}

fn refuse(name: &str, reason: &str) -> ConfigError {
    ConfigError::ModelName { name: crate::endpoint::without_secrets(name), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "http://localhost:8000/v1";

    fn parse(name: &str) -> ModelName {
        ModelName::parse(name, None).unwrap()
    }

    fn compatible(model: Option<&str>, base_url: Option<&str>) -> ModelName {
        ModelName::Compatible { model: model.map(str::to_owned), base_url: base_url.map(str::to_owned) }
    }

    #[test]
    fn every_kind_of_name_is_read() {
        assert_eq!(parse("gpt-5-mini"), compatible(Some("gpt-5-mini"), None));
        assert_eq!(parse("m@http://localhost:8000/v1"), compatible(Some("m"), Some(SERVER)));
        assert_eq!(parse(SERVER), compatible(None, Some(SERVER)));
        assert_eq!(parse("local/small"), ModelName::Embedded { model: Some("small".into()) });
        assert_eq!(parse("local"), ModelName::Embedded { model: None });
        let provider = Provider::find("fireworks").unwrap();
        let model = "accounts/fireworks/models/llama".to_owned();
        assert_eq!(parse(&format!("fireworks/{model}")), ModelName::Provider { provider, model });
    }

    #[test]
    fn a_base_url_takes_the_whole_name_as_it_stands() {
        for name in ["Qwen/Qwen2.5-7B", "anthropic/claude-sonnet-4", "antropic/x", "openai/gpt-oss-20b"] {
            let parsed = ModelName::parse(name, Some(SERVER)).unwrap();
            assert_eq!(parsed, compatible(Some(name), Some(SERVER)));
            assert_eq!(parse(&format!("{name}@{SERVER}")), compatible(Some(name), Some(SERVER)));
        }
    }

    #[test]
    fn an_address_with_a_login_and_a_model_with_an_at_are_told_apart() {
        let address = "http://ann:pass@x.io/v1";
        assert_eq!(parse(address), compatible(None, Some(address)));
        assert_eq!(parse(&format!("m@{address}")), compatible(Some("m"), Some(address)));
        assert_eq!(parse("m@2024"), compatible(Some("m@2024"), None));
    }

    #[test]
    fn what_names_nothing_is_refused_with_the_way_out() {
        let error = |name: &str| ModelName::parse(name, None).unwrap_err().to_string();
        assert!(
            error("antropic/claude-haiku-4-5").contains("did you mean `anthropic/…`"),
            "{}",
            error("antropic/claude-haiku-4-5")
        );
        let stranger = error("Qwen/Qwen2.5-7B");
        assert!(stranger.contains("anthropic, cohere") && stranger.contains("MODEL@"), "{stranger}");
        for name in ["", "anthropic/", "@http://localhost:8000/v1"] {
            assert!(error(name).contains("it "), "{name}");
        }
        assert!(!error("@http://ann:canary@x.io/v1").contains("canary"));
    }
}
