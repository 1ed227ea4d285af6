//! What calls cost or may cost: the one type for it.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::{Budget, Limit, Money};

fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

/// Calls, tokens, and money where it is known. Adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Usage {
    /// Completed language-model calls.
    pub calls: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Tokens among those read that the provider had in its cache. 0 where it does not tell.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Tokens among those read, and not cached yet, that the provider put into its cache. 0 where it does not tell.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Tokens among those written that were reasoning. 0 where the provider does not tell.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// What it cost; `None` where the price of any call is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<Money>,
}

impl Usage {
    /// One call with its tokens.
    pub fn call(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self { calls: 1, prompt_tokens, completion_tokens, ..Self::default() }
    }

    /// So many calls, and nothing else.
    pub fn calls(calls: u64) -> Self {
        Self { calls, ..Self::default() }
    }

    /// With so many calls.
    #[must_use]
    pub fn with_calls(mut self, calls: u64) -> Self {
        self.calls = calls;
        self
    }

    /// With so many cached tokens among those read.
    #[must_use]
    pub fn with_cached(mut self, tokens: u64) -> Self {
        self.cached_tokens = tokens;
        self
    }

    /// With so many tokens among those read that went into the provider's cache.
    #[must_use]
    pub fn with_cache_write(mut self, tokens: u64) -> Self {
        self.cache_write_tokens = tokens;
        self
    }

    /// With so many tokens of reasoning among those written.
    #[must_use]
    pub fn with_reasoning(mut self, tokens: u64) -> Self {
        self.reasoning_tokens = tokens;
        self
    }

    /// With what it cost.
    #[must_use]
    pub fn with_money(mut self, money: impl Into<Option<Money>>) -> Self {
        self.money = money.into();
        self
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Tokens read and written.
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// The tokens in words: `1200 tokens read (1000 cached), 300 written (200 reasoning)`, with what the provider tells
    /// of them.
    pub fn tokens_in_words(&self) -> String {
        let part = |tokens: u64, what: &str| match tokens {
            0 => String::new(),
            tokens => format!(" ({tokens} {what})"),
        };
        format!(
            "{} tokens read{}, {} written{}",
            self.prompt_tokens,
            part(self.cached_tokens, "cached"),
            self.completion_tokens,
            part(self.reasoning_tokens, "reasoning")
        )
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        Self {
            calls: self.calls.saturating_mul(factor),
            prompt_tokens: self.prompt_tokens.saturating_mul(factor),
            completion_tokens: self.completion_tokens.saturating_mul(factor),
            cached_tokens: self.cached_tokens.saturating_mul(factor),
            cache_write_tokens: self.cache_write_tokens.saturating_mul(factor),
            reasoning_tokens: self.reasoning_tokens.saturating_mul(factor),
            money: self.money.map(|money| Money::from_nanos(money.as_nanos().saturating_mul(factor))),
        }
    }

    /// What is left of each when something is taken, at least nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            prompt_tokens: self.prompt_tokens.saturating_sub(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_sub(other.completion_tokens),
            cached_tokens: self.cached_tokens.saturating_sub(other.cached_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_sub(other.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_sub(other.reasoning_tokens),
            money: self.money.map(|money| money.saturating_sub(other.money.unwrap_or_default())),
        }
    }

    /// Of each the larger.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            calls: self.calls.max(other.calls),
            prompt_tokens: self.prompt_tokens.max(other.prompt_tokens),
            completion_tokens: self.completion_tokens.max(other.completion_tokens),
            cached_tokens: self.cached_tokens.max(other.cached_tokens),
            cache_write_tokens: self.cache_write_tokens.max(other.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens.max(other.reasoning_tokens),
            money: self.money.max(other.money),
        }
    }

    /// The first limit of a budget that this goes beyond. A price that is not known counts as nothing.
    pub fn beyond(&self, budget: &Budget) -> Option<Limit> {
        self.parts(budget).find(|(_, amount, limit)| amount > limit).map(|(name, ..)| name)
    }

    /// Everything of this that a budget limits: which limit, how much of it this takes, and how much there is.
    pub fn parts(&self, budget: &Budget) -> impl Iterator<Item = (Limit, u64, u64)> + use<> {
        let money = self.money.unwrap_or_default();
        let parts = [
            (Limit::Calls, self.calls, budget.calls),
            (Limit::PromptTokens, self.prompt_tokens, budget.prompt_tokens),
            (Limit::CompletionTokens, self.completion_tokens, budget.completion_tokens),
            (Limit::Tokens, self.total_tokens(), budget.tokens),
            (Limit::Money, money.as_nanos(), budget.money.map(Money::as_nanos)),
        ];
        parts.into_iter().filter_map(|(name, amount, limit)| Some((name, amount, limit?)))
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            money: match (self.money, other.money) {
                (Some(one), Some(other)) => Some(one + other),
                (one, None) if other.is_nothing() => one,
                (None, other) if self.is_nothing() => other,
                _ => None,
            },
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_tells_of_tokens_is_said() {
        assert_eq!(Usage::call(3, 2).tokens_in_words(), "3 tokens read, 2 written");
        let told = Usage::call(12, 9).with_cached(8).with_reasoning(5);
        assert_eq!(told.tokens_in_words(), "12 tokens read (8 cached), 9 written (5 reasoning)");
    }

    #[test]
    fn a_sum_has_a_price_when_all_of_its_calls_have() {
        let priced = |nanos| Usage { money: Some(Money::from_nanos(nanos)), ..Usage::call(1, 1) };
        let check = |usages: &[Usage], nanos: Option<u64>| {
            let sum: Usage = usages.iter().copied().sum();
            assert_eq!(sum.money, nanos.map(Money::from_nanos), "{usages:?}");
        };
        check(&[], None);
        check(&[priced(2), priced(3)], Some(5));
        check(&[Usage::default(), priced(2), Usage::default()], Some(2));
        check(&[priced(2), Usage::call(1, 1)], None);
        check(&[Usage::call(1, 1), priced(2), priced(2)], None);
    }
}
