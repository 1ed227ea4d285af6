//! A dated table of what well-known models cost.

use std::sync::LazyLock;

use promptopt_core::money::{Price, Prices};
use serde::Deserialize;

const TABLE: &str = include_str!("../data/prices.toml");

/// The prices that come with this crate: what some providers asked for their models on one day. They
/// hold at the provider's own address only, so that a model of the same name elsewhere has no price until
/// it is given one.
#[derive(Debug, Clone, Default)]
pub struct KnownPrices {
    as_of: String,
    providers: Vec<Provider>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    source: String,
    host: String,
    models: Prices,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    as_of: String,
    provider: Vec<Provider>,
}

static KNOWN: LazyLock<KnownPrices> = LazyLock::new(|| match toml::from_str::<Table>(TABLE) {
    Ok(table) => KnownPrices { as_of: table.as_of, providers: table.provider },
    // A test reads the table, so this does not happen; without a table no price is known.
    Err(_) => KnownPrices::default(),
});

impl KnownPrices {
    /// The table.
    pub fn table() -> &'static Self {
        &KNOWN
    }

    /// The day the prices are of, as `YYYY-MM-DD`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// The price of a model at a host, and the name of its source.
    pub fn find(&self, host: &str, model: &str) -> Option<(Price, &str)> {
        let provider = self.providers.iter().find(|provider| provider.host == host)?;
        Some((provider.models.find(model)?, &provider.source))
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::money::Money;

    use super::*;

    #[test]
    fn the_table_is_readable_dated_and_plausible() {
        let table = KnownPrices::table();
        assert_eq!(table.as_of().len(), "2025-01-01".len());
        let all: Vec<_> = table.providers.iter().flat_map(|provider| provider.models.iter()).collect();
        assert!(all.len() >= 20, "{}", all.len());
        for (name, price) in all {
            assert!(Money::ZERO < price.prompt && price.prompt <= price.completion, "{name}");
            assert!(price.completion.as_dollars() < 100.0, "{name}");
            assert!(
                price.cached.is_none_or(|cached| Money::ZERO < cached && cached < price.prompt),
                "{name}"
            );
            assert!(price.cache_write.is_none_or(|written| written > price.prompt), "{name}");
        }
    }

    #[test]
    fn a_price_holds_at_its_providers_address_and_for_the_very_model() {
        let table = KnownPrices::table();
        let find = |host, model| table.find(host, model).map(|(price, _)| price.prompt.to_string());
        assert_eq!(find("api.openai.com", "gpt-4o-mini").as_deref(), Some("$0.15"));
        assert_eq!(find("api.anthropic.com", "claude-3-5-haiku-20241022").as_deref(), Some("$0.80"));
        assert_eq!(find("api.openai.com", "gpt-4o-audio-preview"), None);
        assert_eq!(find("localhost", "gpt-4o-mini"), None);
        assert_eq!(find("gateway.example.com", "gpt-4o-mini"), None);
    }
}
