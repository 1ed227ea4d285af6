//! What requests cost or may cost, in everything that a budget can limit but time.

use std::ops::{Add, AddAssign};

use crate::{Budget, Limit, LmRequest, Money, Price, Usage};

/// Calls, tokens and money together. Adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Language-model calls.
    pub calls: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Money.
    pub money: Money,
}

/// Tokens that the form of a chat takes beside its texts,
const TOKENS_OF_A_REQUEST: u64 = 64;
/// and for every message.
const TOKENS_OF_A_MESSAGE: u64 = 16;

impl Cost {
    /// So many calls, and nothing else.
    pub fn calls(calls: u64) -> Self {
        Self { calls, ..Self::default() }
    }

    /// The most that one attempt at a request may cost: `prompt_tokens` read, where they are known, else
    /// [`most_prompt_tokens`]; and every completion as long as it may become.
    pub fn bound(
        request: &LmRequest,
        prompt_tokens: Option<u64>,
        max_tokens: Option<u32>,
        price: Option<Price>,
    ) -> Self {
        let prompt_tokens = prompt_tokens.unwrap_or_else(|| most_prompt_tokens(request));
        let completion_tokens = u64::from(request.n.max(1)) * u64::from(max_tokens.unwrap_or_default());
        let money = price.map_or(Money::ZERO, |price| price.of(prompt_tokens, completion_tokens));
        Self { calls: 1, prompt_tokens, completion_tokens, money }
    }

    /// What a reply cost.
    pub fn of(usage: Usage, price: Option<Price>) -> Self {
        let Usage { calls, prompt_tokens, completion_tokens, money } = usage;
        let priced = price.map(|price| price.of(prompt_tokens, completion_tokens));
        Self { calls, prompt_tokens, completion_tokens, money: priced.or(money).unwrap_or_default() }
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        Self {
            calls: self.calls.saturating_mul(factor),
            prompt_tokens: self.prompt_tokens.saturating_mul(factor),
            completion_tokens: self.completion_tokens.saturating_mul(factor),
            money: Money::from_nanos(self.money.as_nanos().saturating_mul(factor)),
        }
    }

    /// What is left of each when something is taken, at least nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            prompt_tokens: self.prompt_tokens.saturating_sub(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_sub(other.completion_tokens),
            money: self.money.saturating_sub(other.money),
        }
    }

    /// Of each the larger.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            calls: self.calls.max(other.calls),
            prompt_tokens: self.prompt_tokens.max(other.prompt_tokens),
            completion_tokens: self.completion_tokens.max(other.completion_tokens),
            money: self.money.max(other.money),
        }
    }

    /// Tokens read and written.
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// The first limit of a budget that this goes beyond.
    pub fn beyond(&self, budget: &Budget) -> Option<Limit> {
        self.parts(budget).into_iter().find(|(_, amount, limit)| amount > limit).map(|(name, ..)| name)
    }

    /// Everything that a budget limits: which limit, how much of it this takes, and how much there is.
    pub(crate) fn parts(&self, budget: &Budget) -> Vec<(Limit, u64, u64)> {
        let parts = [
            (Limit::Calls, self.calls, budget.calls),
            (Limit::PromptTokens, self.prompt_tokens, budget.prompt_tokens),
            (Limit::CompletionTokens, self.completion_tokens, budget.completion_tokens),
            (Limit::Tokens, self.tokens(), budget.tokens),
            (Limit::Money, self.money.as_nanos(), budget.money.map(Money::as_nanos)),
        ];
        parts.into_iter().filter_map(|(name, amount, limit)| Some((name, amount, limit?))).collect()
    }
}

/// The most tokens that the prompt of a request can be: a token is a byte at least. Text in English has
/// about four bytes to a token, so this is far on the safe side; a model that can count does better
/// ([`LanguageModel::count_tokens`](crate::LanguageModel::count_tokens)).
pub fn most_prompt_tokens(request: &LmRequest) -> u64 {
    let text: usize = request.messages.iter().map(|message| message.content.len()).sum();
    let schema = match &request.response_format {
        crate::ResponseFormat::JsonSchema { name, schema } => name.len() + schema.to_string().len(),
        _ => 0,
    };
    let messages = TOKENS_OF_A_MESSAGE.saturating_mul(request.messages.len() as u64);
    TOKENS_OF_A_REQUEST.saturating_add(messages).saturating_add((text + schema) as u64)
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            money: self.money + other.money,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
