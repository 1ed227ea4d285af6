//! What a run is going to cost, before it begins.

use std::borrow::Cow;
use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use promptopt_core::data::{Example, plain_text, without_bytes};
use promptopt_core::money::{Budget, Money, Price, Usage};
use promptopt_core::program::{Evaluator, ModuleExt as _};
use serde_json::Value;

/// Name of the stage in which the prompt model is on trial.
pub(crate) const TRIAL_STAGE: &str = "trial texts";

/// From a low to a high figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Between {
    /// The low end.
    pub low: u64,
    /// The high end.
    pub high: u64,
}

impl Between {
    /// From `low` to `high`, in whichever order they come.
    pub fn new(low: u64, high: u64) -> Self {
        Self { low: low.min(high), high: low.max(high) }
    }

    /// Whether a figure lies inside, the ends included.
    pub fn contains(&self, figure: u64) -> bool {
        (self.low..=self.high).contains(&figure)
    }

    /// Each end times that of another.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        Self { low: self.low.saturating_mul(other.low), high: self.high.saturating_mul(other.high) }
    }

    fn at_most(self, most: u64) -> Self {
        Self { low: self.low.min(most), high: self.high.min(most) }
    }
}

impl Add for Between {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { low: self.low.saturating_add(other.low), high: self.high.saturating_add(other.high) }
    }
}

/// Which model a stage calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelRole {
    /// The model the program runs on.
    Task,
    /// The model that writes instructions.
    Prompt,
}

/// What one stage of a run is going to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageForecast {
    /// Name of the stage.
    pub stage: String,
    /// Which model it calls.
    pub model: ModelRole,
    /// How many calls.
    pub calls: Between,
}

/// What a run is going to call, stage by stage. Between the low and the high end is what to expect; a
/// budget, and nothing else, is a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Forecast {
    /// The stages in order.
    pub stages: Vec<StageForecast>,
    /// The most calls of all stages together, where a budget limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u64>,
}

impl Forecast {
    /// With one more stage.
    #[must_use]
    pub fn with(mut self, stage: &str, model: ModelRole, calls: Between) -> Self {
        self.stages.push(StageForecast { stage: stage.to_owned(), model, calls });
        self
    }

    /// With a stage of the task model between the first one and the others.
    pub(crate) fn with_second(mut self, stage: &str, calls: Between) -> Self {
        let stage = StageForecast { stage: stage.to_owned(), model: ModelRole::Task, calls };
        self.stages.insert(self.stages.len().min(1), stage);
        self
    }

    /// With a trial of the prompt model of so many calls before the first stage in which it writes, after which it may
    /// not be asked any more. The same where it does not write.
    pub(crate) fn with_trial(mut self, calls: u64) -> Self {
        let writes = |stage: &StageForecast| stage.model == ModelRole::Prompt && stage.calls.high > 0;
        let Some(first) = self.stages.iter().position(writes) else { return self };
        for stage in self.stages.iter_mut().filter(|stage| stage.model == ModelRole::Prompt) {
            stage.calls.low = 0;
        }
        let stage = StageForecast {
            stage: TRIAL_STAGE.to_owned(),
            model: ModelRole::Prompt,
            calls: Between::new(0, calls),
        };
        self.stages.insert(first, stage);
        self
    }

    /// With a stage of the task model behind the others.
    pub(crate) fn with_last(mut self, stage: &str, calls: Between) -> Self {
        self.stages.push(StageForecast { stage: stage.to_owned(), model: ModelRole::Task, calls });
        self
    }

    /// The calls of all stages.
    pub fn calls(&self) -> Between {
        let sum = self.stages.iter().fold(Between::default(), |sum, stage| sum + stage.calls);
        sum.at_most(self.max_calls.unwrap_or(u64::MAX))
    }

    /// The same where a budget ends the run. If it may do so, all that is sure to happen is the first
    /// stage.
    #[must_use]
    pub fn within(mut self, budget: Budget) -> Self {
        let Some(calls) = budget.calls else { return self };
        if self.calls().high > calls {
            let mut left = calls;
            for (index, stage) in self.stages.iter_mut().enumerate() {
                stage.calls = Between { low: if index == 0 { stage.calls.low } else { 0 }, ..stage.calls };
                stage.calls = stage.calls.at_most(left);
                left = if index == 0 { left.saturating_sub(stage.calls.low) } else { left };
            }
        }
        self.max_calls = Some(calls);
        self
    }

    /// What it comes to with calls of these sizes and `concurrency` of them under way: a figure a stage.
    pub fn figures(&self, task: &CallSize, prompt: &CallSize, concurrency: usize) -> Vec<Figures> {
        let figures = self.stages.iter().map(|stage| {
            let size = match stage.model {
                ModelRole::Task => task,
                ModelRole::Prompt => prompt,
            };
            Figures::of(stage.calls, size, concurrency)
        });
        figures.collect()
    }
}

/// How large one call of a model is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallSize {
    /// Tokens read.
    pub prompt_tokens: Between,
    /// Tokens written.
    pub completion_tokens: Between,
    /// How long it takes.
    pub latency: Duration,
    /// What tokens cost; `None` where that is not known.
    pub price: Option<Price>,
}

/// Where nothing was measured, a token is taken to be between three and four bytes,
const BYTES_OF_A_TOKEN: (u64, u64) = (3, 4);
/// the form of a chat so many bytes,
const BYTES_OF_A_FORM: u64 = 900;
/// what is written so many tokens,
const WRITTEN_BY_TASK_MODEL: Between = Between { low: 20, high: 250 };
/// the request for an instruction so many tokens, and the instruction so many.
const READ_BY_PROMPT_MODEL: Between = Between { low: 400, high: 5000 };
const WRITTEN_BY_PROMPT_MODEL: Between = Between { low: 80, high: 700 };
/// A call takes so long.
const LATENCY: Duration = Duration::from_millis(1500);

/// How many bytes of text a value is like: an image or a file counts as so many tokens as one usually takes.
pub(crate) fn shown_bytes(value: &Value) -> usize {
    const OF_AN_IMAGE: usize = 4_000;
    fn images(value: &Value) -> usize {
        match value {
            Value::String(_) => usize::from(matches!(without_bytes(value), Cow::Owned(_))),
            Value::Array(items) => items.iter().map(images).sum(),
            Value::Object(fields) => fields.values().map(images).sum(),
            _ => 0,
        }
    }
    plain_text(value).len() + OF_AN_IMAGE * images(value)
}

impl CallSize {
    /// What a call of a program's predictor is taken to be like: its instruction, an example, and from no
    /// demo up to `demos` that are as long as an example.
    pub fn of_program(program: &dyn Evaluator, examples: &[Example], demos: usize) -> Self {
        let own = program.candidate();
        let instructions: Vec<u64> =
            own.prompts.iter().map(|(_, prompt)| prompt.instruction.len() as u64).collect();
        let instruction = instructions.iter().sum::<u64>() / instructions.len().max(1) as u64;
        let shown = examples.iter().take(100);
        let bytes = |example: &Example| -> u64 {
            example.fields().values().map(|value| shown_bytes(value) as u64 + 20).sum()
        };
        let example = shown.clone().map(bytes).sum::<u64>() / shown.count().max(1) as u64;
        let short = BYTES_OF_A_FORM / 3 + instruction + example / 2;
        let long = BYTES_OF_A_FORM + 3 * instruction + example * (1 + demos as u64);
        Self {
            prompt_tokens: Between::new(short / BYTES_OF_A_TOKEN.1, long / BYTES_OF_A_TOKEN.0),
            completion_tokens: WRITTEN_BY_TASK_MODEL,
            latency: LATENCY,
            price: None,
        }
    }

    /// What a call of a model that writes instructions is taken to be like.
    pub fn of_writer() -> Self {
        Self {
            prompt_tokens: READ_BY_PROMPT_MODEL,
            completion_tokens: WRITTEN_BY_PROMPT_MODEL,
            latency: LATENCY,
            price: None,
        }
    }

    /// What calls were like that were made: their mean, and a half more or less.
    #[must_use]
    pub fn measured(self, usage: Usage, latency: Duration) -> Self {
        if usage.calls == 0 {
            return self;
        }
        let around = |tokens: u64| {
            let mean = tokens.div_ceil(usage.calls);
            Between::new(mean / 2, mean + mean.div_ceil(2))
        };
        Self {
            prompt_tokens: around(usage.prompt_tokens),
            completion_tokens: around(usage.completion_tokens),
            latency,
            ..self
        }
    }

    /// With so many tokens written.
    #[must_use]
    pub fn with_completion_tokens(mut self, completion_tokens: Between) -> Self {
        self.completion_tokens = completion_tokens;
        self
    }

    /// With how long a call takes.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// With a price.
    #[must_use]
    pub fn priced(self, price: Option<Price>) -> Self {
        Self { price, ..self }
    }
}

/// What a stage, or a whole run, comes to. Adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figures {
    /// Calls.
    pub calls: Between,
    /// Tokens read.
    pub prompt_tokens: Between,
    /// Tokens written.
    pub completion_tokens: Between,
    /// From how much money to how much; `None` where a price is not known.
    pub money: Option<(Money, Money)>,
    /// From how much time to how much.
    pub time: (Duration, Duration),
}

impl Figures {
    fn of(calls: Between, size: &CallSize, concurrency: usize) -> Self {
        let (prompt_tokens, completion_tokens) =
            (calls.times(size.prompt_tokens), calls.times(size.completion_tokens));
        let time = |calls: u64| {
            let rounds = calls.div_ceil(concurrency.max(1) as u64);
            size.latency.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
        };
        Self {
            calls,
            prompt_tokens,
            completion_tokens,
            money: size.price.map(|price| {
                let of = |prompt: u64, completion: u64| price.of(prompt, completion);
                (of(prompt_tokens.low, completion_tokens.low), of(prompt_tokens.high, completion_tokens.high))
            }),
            time: (time(calls.low), time(calls.high)),
        }
    }
}

impl Sum for Figures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        let start = Self { money: Some((Money::ZERO, Money::ZERO)), ..Self::default() };
        figures.fold(start, |sum, one| Self {
            calls: sum.calls + one.calls,
            prompt_tokens: sum.prompt_tokens + one.prompt_tokens,
            completion_tokens: sum.completion_tokens + one.completion_tokens,
            money: match (sum.money, one.money) {
                (Some(sum), Some(one)) => Some((sum.0 + one.0, sum.1 + one.1)),
                // A stage that calls nothing needs no price.
                (sum, None) if one.calls.high == 0 => sum,
                _ => None,
            },
            time: (sum.time.0.saturating_add(one.time.0), sum.time.1.saturating_add(one.time.1)),
        })
    }
}

/// The calls of one rollout of a program: one for every predictor and every model of the metric, up to all
/// that it may make.
pub fn calls_of_a_rollout(program: &dyn Evaluator) -> Between {
    let most = program.calls_per_rollout().max(1);
    let least = program.predictors().len().max(1) + program.metric().models().len();
    Between::new((least as u64).min(most), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_become_tokens_money_and_time() {
        let estimate = Forecast::default().with("baseline", ModelRole::Task, Between::new(10, 20)).with(
            "proposals",
            ModelRole::Prompt,
            Between::new(0, 4),
        );
        let price = Price::new(Money::from_nanos(1_000_000), Money::ZERO);
        let size = CallSize {
            prompt_tokens: Between::new(100, 300),
            completion_tokens: Between::new(1, 2),
            latency: Duration::from_secs(1),
            price: Some(price),
        };
        let figures = estimate.figures(&size, &size, 8);
        assert_eq!(figures[0].prompt_tokens, Between::new(1000, 6000));
        assert_eq!(figures[0].money, Some((Money::from_nanos(1000), Money::from_nanos(6000))));
        assert_eq!(figures[0].time, (Duration::from_secs(2), Duration::from_secs(3)));
        let total: Figures = figures.into_iter().sum();
        assert_eq!((total.calls, total.completion_tokens), (Between::new(10, 24), Between::new(10, 48)));
        let unpriced: Figures = estimate.figures(&size, &size.priced(None), 8).into_iter().sum();
        assert_eq!(unpriced.money, None);
    }

    #[test]
    fn a_budget_caps_every_stage() {
        let estimate = Forecast::default().with("baseline", ModelRole::Task, Between::new(10, 20)).with(
            "search",
            ModelRole::Task,
            Between::new(30, 60),
        );
        assert_eq!(estimate.clone().within(Budget::calls(80)).stages, estimate.stages);
        let capped = estimate.within(Budget::calls(25));
        assert_eq!(capped.stages[0].calls, Between::new(10, 20));
        assert_eq!(capped.stages[1].calls, Between::new(0, 15));
        assert_eq!(capped.calls(), Between::new(10, 25));
    }
}
