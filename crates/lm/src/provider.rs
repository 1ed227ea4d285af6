//! The providers that can be named by a prefix.

/// A provider whose models are named `PREFIX/MODEL`, such as `anthropic/claude-sonnet-4-5`.
///
/// | Provider | Prefix | Key | Client |
/// | --- | --- | --- | --- |
/// | Anthropic | `anthropic` | `ANTHROPIC_API_KEY` | `ProviderClient` |
/// | Cohere | `cohere` | `COHERE_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | DeepSeek | `deepseek` | `DEEPSEEK_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | Fireworks | `fireworks` | `FIREWORKS_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | Google Gemini | `gemini` | `GEMINI_API_KEY` | `ProviderClient` |
/// | Groq | `groq` | `GROQ_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | Mistral | `mistral` | `MISTRAL_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | Moonshot | `moonshot` | `MOONSHOT_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | Ollama | `ollama` | `OLLAMA_API_KEY`, which may be missing | `ProviderClient` |
/// | OpenAI | `openai` | `OPENAI_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | OpenRouter | `openrouter` | `OPENROUTER_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | Together | `together` | `TOGETHER_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | xAI | `xai` | `XAI_API_KEY` | [`ChatClient`](crate::ChatClient) |
/// | Z.ai | `zai` | `ZAI_API_KEY` | [`ChatClient`](crate::ChatClient) |
///
/// Those of `ProviderClient` need the feature `providers`; what each of them does not take is said there.
/// The others speak the OpenAI dialect, and need no feature.
#[derive(Debug, PartialEq, Eq)]
pub struct Provider {
    prefix: &'static str,
    key_variable: &'static str,
    base_url: &'static str,
    dialect: Dialect,
}

/// What is spoken at a provider's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
    Ollama,
}

/// A row of the table: dialect, prefix, variable of the key and address.
const fn provider(
    dialect: Dialect,
    prefix: &'static str,
    key_variable: &'static str,
    base_url: &'static str,
) -> Provider {
    Provider { prefix, key_variable, base_url, dialect }
}

static PROVIDERS: [Provider; 14] = [
    provider(Dialect::Anthropic, "anthropic", "ANTHROPIC_API_KEY", "https://api.anthropic.com/v1"),
    provider(Dialect::OpenAi, "cohere", "COHERE_API_KEY", "https://api.cohere.ai/compatibility/v1"),
    provider(Dialect::OpenAi, "deepseek", "DEEPSEEK_API_KEY", "https://api.deepseek.com/v1"),
    provider(Dialect::OpenAi, "fireworks", "FIREWORKS_API_KEY", "https://api.fireworks.ai/inference/v1"),
    provider(Dialect::Gemini, "gemini", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com/v1beta"),
    provider(Dialect::OpenAi, "groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
    provider(Dialect::OpenAi, "mistral", "MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
    provider(Dialect::OpenAi, "moonshot", "MOONSHOT_API_KEY", "https://api.moonshot.ai/v1"),
    provider(Dialect::Ollama, "ollama", "OLLAMA_API_KEY", "http://localhost:11434"),
    provider(Dialect::OpenAi, "openai", "OPENAI_API_KEY", "https://api.openai.com/v1"),
    provider(Dialect::OpenAi, "openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
    provider(Dialect::OpenAi, "together", "TOGETHER_API_KEY", "https://api.together.xyz/v1"),
    provider(Dialect::OpenAi, "xai", "XAI_API_KEY", "https://api.x.ai/v1"),
    provider(Dialect::OpenAi, "zai", "ZAI_API_KEY", "https://api.z.ai/api/paas/v4"),
];

/// Names by which people and other tools call a provider.
const OTHER_NAMES: [(&str, &str); 9] = [
    ("google", "gemini"),
    ("grok", "xai"),
    ("x-ai", "xai"),
    ("mistralai", "mistral"),
    ("fireworks_ai", "fireworks"),
    ("together_ai", "together"),
    ("togetherai", "together"),
    ("open_router", "openrouter"),
    ("z-ai", "zai"),
];

/// How alike an unknown prefix and a known one have to be for a suggestion.
const ALIKE: f64 = 0.85;

impl Provider {
    /// Every provider, in the order of their prefixes.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        PROVIDERS.iter()
    }

    /// The provider of a prefix.
    pub fn find(prefix: &str) -> Option<&'static Self> {
        Self::all().find(|provider| provider.prefix == prefix)
    }

    /// What stands before the slash.
    pub fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// The environment variable that holds the key.
    pub fn key_variable(&self) -> &'static str {
        self.key_variable
    }

    /// Where the provider's API lives.
    pub fn base_url(&self) -> &'static str {
        self.base_url
    }

    /// Whether [`ChatClient`](crate::ChatClient) speaks to it. The others need the feature `providers`.
    pub fn speaks_openai(&self) -> bool {
        self.dialect == Dialect::OpenAi
    }

    #[cfg(feature = "providers")]
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The prefix that somebody who wrote `prefix` may have meant.
    pub(crate) fn suggestion(prefix: &str) -> Option<&'static str> {
        let prefix = prefix.to_lowercase();
        if let Some((_, known)) = OTHER_NAMES.iter().find(|(name, _)| *name == prefix) {
            return Some(known);
        }
        Self::all()
            .map(|provider| (strsim::jaro_winkler(provider.prefix, &prefix), provider.prefix))
            .filter(|(alike, _)| *alike >= ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_name_leads_to_a_provider_and_is_none_itself() {
        for (name, known) in OTHER_NAMES {
            assert!(Provider::find(known).is_some() && Provider::find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_slip_is_mended_and_a_stranger_is_not() {
        let check = |prefix, expected| assert_eq!(Provider::suggestion(prefix), expected, "{prefix}");
        check("antropic", Some("anthropic"));
        check("Gemini", Some("gemini"));
        check("google", Some("gemini"));
        check("olama", Some("ollama"));
        check("Qwen", None);
        check("meta-llama", None);
    }

    #[test]
    fn the_table_in_the_documentation_is_this_one() {
        let rows: Vec<_> = include_str!("provider.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("/// | ")?.split(" | ").nth(1)?.split('`').nth(1))
            .collect();
        assert_eq!(rows, Provider::all().map(Provider::prefix).collect::<Vec<_>>());
        for provider in Provider::all() {
            let row = format!("`{}` | `{}`", provider.prefix, provider.key_variable);
            assert!(include_str!("provider.rs").contains(&row), "{row}");
        }
    }
}
