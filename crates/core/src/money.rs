//! Money without rounding errors, and what tokens cost.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use indexmap::IndexMap;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

mod budget;
mod usage;

pub use budget::{Budget, Limit, read_duration};
pub use usage::Usage;

const NANOS: u64 = 1_000_000_000;
const DECIMALS: usize = 9;

/// An amount of money: a whole number of billionths of a dollar, so that sums are exact. In files a
/// number or a text, such as `0.05` or `"$0.05"`; written as a text.
///
/// ```
/// use promptopt_core::money::Money;
///
/// let cent: Money = "$0.01".parse()?;
/// assert_eq!((cent + "0.0023".parse()?).to_string(), "$0.0123");
/// # Ok::<(), promptopt_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many billionths of a dollar.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// In billionths of a dollar.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// In dollars, for charts and rough figures.
    pub fn as_dollars(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }

    /// What is left after something is taken, at least nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    fn digits(self) -> String {
        let (whole, rest) = (self.0 / NANOS, self.0 % NANOS);
        let decimals = format!("{rest:09}");
        let shown = decimals.trim_end_matches('0').len().max(2);
        format!("{whole}.{}", decimals.get(..shown).unwrap_or_default())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("${}", self.digits()))
    }
}

impl FromStr for Money {
    type Err = Error;

    /// Reads an amount in dollars, with or without the sign. More than nine decimals are rounded.
    fn from_str(text: &str) -> Result<Self, Error> {
        parsed(text).ok_or_else(|| Error::Money { text: crate::data::shorten(text, 40) })
    }
}

fn parsed(text: &str) -> Option<Money> {
    let text = text.trim();
    let number = text.strip_prefix('$').unwrap_or(text).trim_start();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || (whole.is_empty() && decimals.is_empty()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let padded = format!("{decimals:0<width$}", width = DECIMALS + 1);
    let kept: u64 = padded.get(..DECIMALS)?.parse().ok()?;
    let up = u64::from(padded.as_bytes().get(DECIMALS).is_some_and(|digit| *digit >= b'5'));
    whole.checked_mul(NANOS)?.checked_add(kept)?.checked_add(up).map(Money)
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.digits())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Whole(u64),
            Number(f64),
            Text(String),
        }
        let text = match Given::deserialize(deserializer)? {
            Given::Whole(dollars) => dollars.to_string(),
            // The shortest text that is the same number, which is what was written.
            Given::Number(dollars) => dollars.to_string(),
            Given::Text(text) => text,
        };
        text.parse().map_err(D::Error::custom)
    }
}

/// What a model's tokens cost, per million. Where the price of tokens that the provider had in its cache is not known, they
/// cost as much as others, so sums may come out too high. Without `cache_write` they come out too low where a provider charges more for what it puts
/// into its cache. What is reserved beforehand counts every
/// token read at the dearest of its prices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Price {
    /// A million tokens read.
    pub prompt: Money,
    /// A million tokens written.
    pub completion: Money,
    /// A million tokens read that the provider had in its cache. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Money>,
    /// A million tokens read that the provider puts into its cache. `None`: they cost as much as others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Money>,
}

impl Price {
    /// The price of what runs on one's own machine.
    pub const FREE: Self =
        Self { prompt: Money::ZERO, completion: Money::ZERO, cached: None, cache_write: None };

    /// What a million tokens cost, read and written.
    pub const fn new(prompt: Money, completion: Money) -> Self {
        Self { prompt, completion, cached: None, cache_write: None }
    }

    /// With what a million tokens cost that the provider had in its cache.
    #[must_use]
    pub const fn with_cached(mut self, cached: Money) -> Self {
        self.cached = Some(cached);
        self
    }

    /// With what a million tokens cost that the provider puts into its cache.
    #[must_use]
    pub const fn with_cache_write(mut self, cache_write: Money) -> Self {
        self.cache_write = Some(cache_write);
        self
    }

    /// What so many tokens cost, rounded up.
    pub fn of(&self, prompt_tokens: u64, completion_tokens: u64) -> Money {
        self.of_usage(&Usage::call(prompt_tokens, completion_tokens))
    }

    /// What the tokens of a usage cost, rounded up.
    pub fn of_usage(&self, usage: &Usage) -> Money {
        let part = |price: Money, tokens: u64| u128::from(price.0) * u128::from(tokens);
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        let written = usage.cache_write_tokens.min(usage.prompt_tokens - cached);
        let sum = part(self.prompt, usage.prompt_tokens - cached - written)
            + part(self.cached.unwrap_or(self.prompt), cached)
            + part(self.cache_write.unwrap_or(self.prompt), written)
            + part(self.completion, usage.completion_tokens);
        Money(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }

    /// A million tokens read at the most: whether the provider puts them into its cache is not known beforehand.
    pub fn dearest_prompt(&self) -> Money {
        self.cache_write.unwrap_or_default().max(self.prompt).max(self.cached.unwrap_or_default())
    }

    /// The same usage with the most that it may cost.
    #[must_use]
    pub fn reserved(&self, usage: Usage) -> Usage {
        let dearest = Self::new(self.dearest_prompt(), self.completion);
        dearest.priced(Usage { cached_tokens: 0, cache_write_tokens: 0, ..usage })
    }

    /// The same usage with what it costs.
    #[must_use]
    pub fn priced(&self, usage: Usage) -> Usage {
        Usage { money: Some(self.of_usage(&usage)), ..usage }
    }
}

/// Prices by model. A name stands for the model itself, or with `*` for all that fit; it is looked for
/// in what identifies a model ([`ModelProfile::id`](crate::lm::ModelProfile::id)): the whole of it, the part before its
/// settings, or the name alone. Of several that fit, the one with the most letters counts.
///
/// In a task file it is a table of prices per million tokens:
///
/// ```toml
/// [prices]
/// "my-model" = { prompt = 0.15, completion = 0.60 }
/// "localhost:8000/v1 *" = { prompt = 0, completion = 0 }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prices(IndexMap<String, Price>);

impl Prices {
    /// No prices.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more, or another for the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, price: Price) -> Self {
        self.0.insert(name.into(), price);
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names with their prices.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Price)> {
        self.0.iter().map(|(name, price)| (name.as_str(), price))
    }

    /// The price of the model with this id.
    pub fn find(&self, model_id: &str) -> Option<Price> {
        let words: Vec<&str> = model_id.split(' ').collect();
        let name = words.get(1).or(words.first()).copied().unwrap_or_default();
        let place_and_name = words.get(..2).map(|words| words.join(" ")).unwrap_or_default();
        let fits = |pattern: &str| {
            [model_id, &place_and_name, name].iter().any(|text| !text.is_empty() && matches(pattern, text))
        };
        let letters = |pattern: &str| pattern.chars().filter(|letter| *letter != '*').count();
        let mut best: Option<(usize, Price)> = None;
        for (pattern, price) in self.iter().filter(|(pattern, _)| fits(pattern)) {
            if best.is_none_or(|(known, _)| letters(pattern) > known) {
                best = Some((letters(pattern), *price));
            }
        }
        best.map(|(_, price)| price)
    }
}

impl FromIterator<(String, Price)> for Prices {
    fn from_iter<I: IntoIterator<Item = (String, Price)>>(prices: I) -> Self {
        Self(prices.into_iter().collect())
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_read_and_shown_as_people_write_them() {
        let check = |text: &str, nanos: u64, shown: &str| {
            assert_eq!(
                (money(text).as_nanos(), money(text).to_string()),
                (nanos, shown.to_owned()),
                "{text}"
            );
        };
        check("$0.0123", 12_300_000, "$0.0123");
        check("5", 5_000_000_000, "$5.00");
        check(" $ 1.5 ", 1_500_000_000, "$1.50");
        check(".1", 100_000_000, "$0.10");
        check("0.0000000015", 2, "$0.000000002");
        for wrong in ["", "$", ".", "-1", "1e3", "1,50", "five", "NaN", "99999999999999999999"] {
            assert!(wrong.parse::<Money>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_in_files_do_not_drift() {
        let read = |json: &str| serde_json::from_str::<Money>(json).unwrap();
        assert_eq!(read("0.1") + read("0.2"), read("\"$0.3\""));
        assert_eq!(read("3"), money("3"));
        assert_eq!(serde_json::to_string(&money("0.15")).unwrap(), "\"0.15\"");
        assert!(serde_json::from_str::<Money>("-0.5").is_err());
    }

    #[test]
    fn tokens_of_a_cache_have_their_price_and_are_reserved_at_the_dearest() {
        let usage = Usage::call(1_000_000, 0).with_cached(600_000).with_cache_write(300_000);
        let plain = Price::new(money("1"), money("5"));
        assert_eq!(plain.of_usage(&usage), money("1"), "what is not known is the full price");
        let price = plain.with_cached(money("0.1")).with_cache_write(money("2"));
        assert_eq!(price.of_usage(&usage), money("0.76"));
        assert_eq!(price.reserved(usage).money, Some(money("2")));
        // However the tokens turn out to be read, they cost no more than was reserved.
        for (cached, written) in [(0, 0), (1_000_000, 0), (0, 1_000_000), (9_000_000, 9_000_000)] {
            let usage = Usage::call(1_000_000, 7).with_cached(cached).with_cache_write(written);
            assert!(price.priced(usage).money <= price.reserved(Usage::call(1_000_000, 7)).money);
        }
    }

    #[test]
    fn tokens_are_priced_per_million_and_rounded_up() {
        let price = Price::new(money("0.15"), money("0.60"));
        assert_eq!(price.of(1_000_000, 1_000_000), money("0.75"));
        assert_eq!(price.of(1, 0).as_nanos(), 150);
        let tiny = Price::new(Money::from_nanos(1), Money::ZERO);
        assert_eq!(tiny.of(1, 0).as_nanos(), 1);
        assert_eq!(price.of(u64::MAX, u64::MAX), Money::from_nanos(u64::MAX));
    }

    #[test]
    fn a_price_is_found_by_name_place_or_pattern() {
        let price = |cents: u64| Price::new(Money::from_nanos(cents), Money::ZERO);
        let prices = Prices::new()
            .with("gpt-x", price(1))
            .with("gpt-x-*", price(2))
            .with("localhost:8000/v1 *", price(3))
            .with("*", price(4));
        let check = |id: &str, cents: u64| assert_eq!(prices.find(id), Some(price(cents)), "{id}");
        check("api.example.com/v1 gpt-x temperature=0.0", 1);
        check("gpt-x", 1);
        check("api.example.com/v1 gpt-x-mini", 2);
        check("localhost:8000/v1 gpt-x temperature=0.0", 3);
        check("anything at all", 4);
        assert_eq!(Prices::new().with("gpt", price(1)).find("host gpt-x"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(nanos: u64) {
            let money = Money::from_nanos(nanos);
            prop_assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }
    }
}
