//! What a run may spend.

use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Money;

/// What a run may spend. `None` is no limit; limits that are set all hold.
///
/// ```
/// use promptopt_core::money::Budget;
///
/// let budget = Budget::calls(2000).with_money("$5".parse()?);
/// assert_eq!(budget.tightest(Budget::calls(300)).calls, Some(300));
/// # Ok::<(), promptopt_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Budget {
    /// Language-model calls, of the task model and the prompt model together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Tokens read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Tokens written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    /// Tokens read and written, together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money. Needs the price of every model that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<Money>,
    /// Rollouts of the program, each of which asks the metric once. Those that are known already do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollouts: Option<u64>,
    /// Time from the start of the run. In files a number of seconds, or a text such as `90s`, `15m`,
    /// `2h` or `1h30m`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_duration",
        deserialize_with = "read_duration"
    )]
    pub wall_time: Option<Duration>,
}

impl Budget {
    /// A budget of language-model calls.
    pub fn calls(calls: u64) -> Self {
        Self { calls: Some(calls), ..Self::default() }
    }

    /// With a limit on tokens read.
    #[must_use]
    pub fn with_prompt_tokens(mut self, tokens: u64) -> Self {
        self.prompt_tokens = Some(tokens);
        self
    }

    /// With a limit on tokens read and written.
    #[must_use]
    pub fn with_tokens(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// With a limit on money.
    #[must_use]
    pub fn with_money(mut self, money: Money) -> Self {
        self.money = Some(money);
        self
    }

    /// With a limit on rollouts.
    #[must_use]
    pub fn with_rollouts(mut self, rollouts: u64) -> Self {
        self.rollouts = Some(rollouts);
        self
    }

    /// With a limit on time.
    #[must_use]
    pub fn with_wall_time(mut self, wall_time: Duration) -> Self {
        self.wall_time = Some(wall_time);
        self
    }

    /// Of every limit the smaller one of both budgets.
    #[must_use]
    pub fn tightest(self, other: Self) -> Self {
        Self {
            calls: smaller(self.calls, other.calls),
            prompt_tokens: smaller(self.prompt_tokens, other.prompt_tokens),
            completion_tokens: smaller(self.completion_tokens, other.completion_tokens),
            tokens: smaller(self.tokens, other.tokens),
            money: smaller(self.money, other.money),
            rollouts: smaller(self.rollouts, other.rollouts),
            wall_time: smaller(self.wall_time, other.wall_time),
        }
    }

    /// Whether calls, tokens or money are limited.
    pub fn limits_spending(&self) -> bool {
        self.calls.is_some() || self.limits_requests()
    }

    /// Whether tokens or money are limited, so that it matters what is in a request.
    pub fn limits_requests(&self) -> bool {
        self.prompt_tokens.is_some() || self.limits_completions()
    }

    /// Whether anything is limited that depends on how long completions are.
    pub fn limits_completions(&self) -> bool {
        self.completion_tokens.is_some() || self.tokens.is_some() || self.money.is_some()
    }
}

fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

/// A limit that a run may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// [`Budget::calls`].
    Calls,
    /// [`Budget::prompt_tokens`].
    PromptTokens,
    /// [`Budget::completion_tokens`].
    CompletionTokens,
    /// [`Budget::tokens`].
    Tokens,
    /// [`Budget::money`].
    Money,
    /// [`Budget::wall_time`].
    WallTime,
    /// [`Budget::rollouts`].
    Rollouts,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Calls => "language-model calls",
            Self::PromptTokens => "prompt tokens",
            Self::CompletionTokens => "completion tokens",
            Self::Tokens => "tokens",
            Self::Money => "money",
            Self::WallTime => "time",
            Self::Rollouts => "metric calls",
        })
    }
}

fn write_duration<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

/// Reads a time: a number of seconds, or a text such as `90s`, `15m` or `1h30m`.
///
/// # Errors
///
/// When it is neither.
pub fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Seconds(f64),
        Text(String),
    }
    let Some(given) = Option::<Given>::deserialize(deserializer)? else { return Ok(None) };
    let seconds = match &given {
        Given::Seconds(seconds) => Some(*seconds),
        Given::Text(text) => seconds_of(text),
    };
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.map(Some).ok_or_else(|| {
        D::Error::custom(
            "this is not a length of time; give a number of seconds, or a text such as `90s`, `15m` or `1h30m`",
        )
    })
}

/// The seconds in a text such as `1h30m`.
fn seconds_of(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut seconds = None;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        let unit = after.chars().next();
        let factor = match unit {
            None | Some('s') => 1.0,
            Some('m') => 60.0,
            Some('h') => 3600.0,
            Some('d') => 86_400.0,
            Some(_) => return None,
        };
        *seconds.get_or_insert(0.0) += number.trim().parse::<f64>().ok()? * factor;
        rest = after.get(unit.map_or(0, char::len_utf8)..)?.trim_start();
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_budgets_the_smaller_limit_holds_field_by_field() {
        let one = Budget { tokens: Some(5), wall_time: Some(Duration::from_secs(9)), ..Budget::calls(10) };
        let other = Budget { tokens: Some(7), money: Some(Money::ZERO), ..Budget::default() };
        let both = one.tightest(other);
        assert_eq!(both, other.tightest(one));
        assert_eq!(both, Budget { money: Some(Money::ZERO), ..one });
    }

    #[test]
    fn a_budget_is_read_in_the_forms_that_people_write() {
        let check = |json: &str, seconds: u64| {
            let budget: Budget = serde_json::from_str(json).unwrap();
            assert_eq!(budget.wall_time, Some(Duration::from_secs(seconds)), "{json}");
            let again: Budget = serde_json::from_str(&serde_json::to_string(&budget).unwrap()).unwrap();
            assert_eq!(again, budget);
        };
        check(r#"{"wall_time": 90}"#, 90);
        check(r#"{"wall_time": "90"}"#, 90);
        check(r#"{"wall_time": "90 s", "calls": 3}"#, 90);
        check(r#"{"wall_time": "1h30m"}"#, 5400);
        check(r#"{"wall_time": "1d"}"#, 86_400);
        for wrong in [
            r#"{"wall_time": ""}"#,
            r#"{"wall_time": "soon"}"#,
            r#"{"wall_time": "3w"}"#,
            r#"{"wall_time": -1}"#,
            r#"{"wall_time": "h"}"#,
            r#"{"call": 1}"#,
            r#"{"calls": -1}"#,
        ] {
            assert!(serde_json::from_str::<Budget>(wrong).is_err(), "{wrong}");
        }
    }
}
