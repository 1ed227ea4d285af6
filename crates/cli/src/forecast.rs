//! What a run is going to cost, and how its caps are divided.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::{Budget, Money, Price, Usage};
use promptopt_core::program::Evaluator;
use promptopt_run::{
    Between, CallSize, Figures, Forecast, ModelRole, Optimizer as _, Strategy, calls_of_a_rollout,
};
use serde_json::{Value, json};

use crate::models::{ChosenModel, short_id};
use crate::session::Session;
use crate::task_file::OptimizerSection;
use crate::words::{money, short, time};

/// How long a call of the embedded model takes, one after the other, on two cores.
const EMBEDDED_LATENCY: Duration = Duration::from_millis(110);
/// Of a run that no number bounds this many evaluations of the selection set are expected at most: what the largest
/// preset of GEPA makes.
const UNBOUNDED: u64 = 28;

/// What each stage of a run is going to cost, from a low to a high figure.
pub(crate) struct PricedForecast {
    stages: Vec<Stage>,
    /// The most calls of the stages together, where that is capped.
    max_calls: Option<u64>,
    test: Figures,
    /// The ids of models whose price is not known.
    unpriced: Vec<String>,
}

struct Stage {
    name: String,
    model: ModelRole,
    figures: Figures,
}

impl PricedForecast {
    /// The forecast for an optimizer on a session's training examples; `train` are those.
    pub(crate) fn of(
        session: &Session,
        section: &OptimizerSection,
        strategy: &dyn Strategy,
        train: &[Example],
    ) -> anyhow::Result<Self> {
        let program = &*session.program;
        let forecast = strategy.estimate(program, train)?;
        let forecast = forecast.unwrap_or_else(|| unbounded(program, strategy));
        // No prompt has more of them.
        let demos =
            ["max_bootstrapped_demos", "max_labeled_demos"].map(|option| section.number(option)).iter().sum();
        let (task, mut others) = task_calls(session, train, demos);
        let price = |model: &Arc<dyn LanguageModel>| model.profile().price_in(&session.task.prices);
        let prompt_price = price(&session.prompt_model.model);
        let writer = CallSize::of_writer();
        let writer = writer.with_latency(latency(&session.prompt_model, writer.latency));
        let concurrency = at_once(session);
        let figures = forecast.figures(&task, &writer.priced(prompt_price), concurrency);
        let stages = forecast.stages.iter().zip(figures);
        let stages = stages
            .map(|(stage, figures)| Stage { name: stage.stage.clone(), model: stage.model, figures })
            .collect();
        // A model that nobody asks needs no price.
        let asks_writer =
            forecast.stages.iter().any(|stage| stage.model == ModelRole::Prompt && stage.calls.high > 0);
        others.extend(asks_writer.then(|| session.prompt_model.model.clone()));
        let mut unpriced: Vec<String> =
            others.iter().filter(|model| price(model).is_none()).map(|model| model.profile().id).collect();
        unpriced.sort_unstable();
        unpriced.dedup();
        let max_calls = forecast.max_calls;
        Ok(Self {
            stages,
            max_calls,
            test: of_test(program, session.test_rows(), &task, concurrency),
            unpriced,
        })
    }

    /// Refuses a cap of money where a price is not known.
    pub(crate) fn check(&self, cap: Budget) -> anyhow::Result<()> {
        let Some(model) = self.unpriced.first().filter(|_| cap.money.is_some()) else { return Ok(()) };
        let id = short_id(model);
        let name = id.split(' ').next_back().unwrap_or_default();
        bail!(
            "`max_cost` needs the price of every model, and that of `{id}` is not known; give it in the task file, in \
             dollars per million tokens (0 and 0 for a model of your own):\n\n[prices]\n\"{name}\" = {{ prompt = 0.15, \
             completion = 0.60 }}"
        )
    }

    /// Of the optimization.
    fn optimization(&self) -> Figures {
        let sum: Figures = self.stages.iter().map(|stage| stage.figures).sum();
        match self.max_calls.filter(|most| *most < sum.calls.high) {
            Some(most) => capped(sum, most),
            None => sum,
        }
    }

    /// Of everything.
    fn total(&self) -> Figures {
        [self.optimization(), self.test].into_iter().sum()
    }

    /// The forecast as a table of eighty columns.
    pub(crate) fn table(&self, cap: Budget) -> String {
        let mut text = format!("{:<22}{:>12}{:>14}{:>18}{:>14}\n", "", "calls", "tokens", "cost", "time");
        let mut row = |name: &str, figures: Figures| {
            let tokens = figures.prompt_tokens + figures.completion_tokens;
            let cost =
                figures.money.map_or("unknown".to_owned(), |(low, high)| range(money(low), money(high)));
            let (fast, slow) = figures.time;
            let _ = writeln!(
                text,
                "{name:<22}{:>12}{:>14}{cost:>18}{:>14}",
                counts(figures.calls),
                counts(tokens),
                range(time(fast.as_secs_f64()), time(slow.as_secs_f64())),
            );
        };
        for stage in &self.stages {
            let by = if stage.model == ModelRole::Prompt { " (writer)" } else { "" };
            row(&format!("{}{by}", stage.name), stage.figures);
        }
        row("sealed test", self.test);
        row("all", self.total());
        text.push_str(&self.remarks(cap));
        text
    }

    fn remarks(&self, cap: Budget) -> String {
        let mut text = String::new();
        let caps = [
            cap.calls.map(|calls| format!("{calls} calls (optimization)")),
            cap.tokens.map(|tokens| format!("{} tokens", short(tokens))),
            cap.money.map(|cap| cap.to_string()),
            cap.wall_time.map(|cap| time(cap.as_secs_f64())),
        ];
        let caps: Vec<String> = caps.into_iter().flatten().collect();
        match caps.is_empty() {
            true => text.push_str("no cap is set; `--max-cost 5` or `--max-calls 500` sets one\n"),
            false => {
                let _ = writeln!(text, "it ends at the latest at: {}", caps.join(", "));
            }
        }
        match self.unpriced.as_slice() {
            [] => {
                let dated = promptopt_lm::KnownPrices::table().as_of();
                let _ = writeln!(text, "prices: those of `[prices]`, and else a table of {dated}");
            }
            unpriced => {
                let _ = writeln!(
                    text,
                    "no price is known for {}; give it in `[prices]`, in dollars per million tokens",
                    unpriced.iter().map(|id| short_id(id)).collect::<Vec<_>>().join(", ")
                );
            }
        }
        text
    }

    /// What was expected of the optimization beside what it took; and what the sealed test took.
    pub(crate) fn beside(&self, real: Usage, test: Usage) -> String {
        let expected = self.optimization();
        let tokens = expected.prompt_tokens + expected.completion_tokens;
        let cost = expected.money.filter(|(_, high)| *high > Money::ZERO);
        let cost = cost.map_or(String::new(), |(low, high)| format!(", {}", range(money(low), money(high))));
        let real_cost = match &cost {
            text if text.is_empty() => String::new(),
            _ => format!(", {}", money(real.money.unwrap_or_default())),
        };
        format!(
            "estimated {} calls, {} tokens{cost}; took {} calls, {} tokens{real_cost}\n\
             sealed test: estimated {} calls, took {}, with {} tokens",
            counts(expected.calls),
            counts(tokens),
            real.calls,
            short(real.total_tokens()),
            counts(self.test.calls),
            test.calls,
            short(test.total_tokens()),
        )
    }

    /// The forecast for machines.
    pub(crate) fn to_json(&self) -> Value {
        let stages: Vec<Value> = self
            .stages
            .iter()
            .map(|stage| json!({"stage": stage.name, "model": stage.model, "figures": stage.figures}))
            .collect();
        json!({
            "stages": stages,
            "optimization": self.optimization(),
            "sealed_test": self.test,
            "total": self.total(),
            "prices_as_of": promptopt_lm::KnownPrices::table().as_of(),
            "unpriced_models": self.unpriced,
        })
    }
}

/// What a call of the program's models is like with up to so many demos, and which models these are.
fn task_calls(session: &Session, train: &[Example], demos: usize) -> (CallSize, Vec<Arc<dyn LanguageModel>>) {
    let program = &*session.program;
    let mut models = program.other_models();
    models.push(session.model.model.clone());
    let price = |model: &Arc<dyn LanguageModel>| model.profile().price_in(&session.task.prices);
    let task = CallSize::of_program(program, train, demos);
    let task = task.with_latency(latency(&session.model, task.latency));
    let longest = session.model.model.profile().max_tokens.map_or(u64::MAX, u64::from);
    let written = task.completion_tokens;
    let written = Between::new(written.low.min(longest), written.high.min(longest));
    (task.with_completion_tokens(written).priced(dearest(models.iter().map(price))), models)
}

fn at_once(session: &Session) -> usize {
    if session.model.is_embedded { 1 } else { session.concurrency }
}

/// What so many rollouts of prompts with up to so many demos come to, in a line.
pub(crate) fn of_rollouts(session: &Session, rollouts: Between, demos: usize) -> String {
    let (size, _) = task_calls(session, &session.train, demos);
    let calls = rollouts.times(calls_of_a_rollout(&*session.program));
    let stage = Forecast::default().with("", ModelRole::Task, calls);
    let figures: Figures = stage.figures(&size, &size, at_once(session)).into_iter().sum();
    let cost = match figures.money {
        Some((low, high)) => range(money(low), money(high)),
        None => "at an unknown price".to_owned(),
    };
    let (fast, slow) = figures.time;
    format!(
        "{} calls, {} tokens, {cost}, {}",
        counts(figures.calls),
        counts(figures.prompt_tokens + figures.completion_tokens),
        range(time(fast.as_secs_f64()), time(slow.as_secs_f64()))
    )
}

/// What is expected of a strategy that only money, tokens or time ends: the original's evaluation, and up to as many
/// rollouts as [`UNBOUNDED`] evaluations take.
fn unbounded(program: &dyn Evaluator, strategy: &dyn Strategy) -> Forecast {
    let selection = strategy.options().valset.map_or(0, |valset| valset.len()) as u64;
    let rollout = calls_of_a_rollout(program);
    Forecast::default()
        .with("baseline", ModelRole::Task, rollout.times(Between::new(selection, selection)))
        .with("search", ModelRole::Task, rollout.times(Between::new(0, UNBOUNDED * selection)))
        .with("instructions", ModelRole::Prompt, Between::new(0, UNBOUNDED * selection))
}

/// Original and optimized program on the test; one of them, where the original stays.
fn of_test(program: &dyn Evaluator, rows: usize, size: &CallSize, concurrency: usize) -> Figures {
    let runs = Between::new(rows as u64, 2 * rows as u64);
    let calls = runs.times(calls_of_a_rollout(program));
    let forecast = Forecast::default().with("sealed test", ModelRole::Task, calls);
    forecast.figures(size, size, concurrency).into_iter().sum()
}

/// Figures with at most so many calls; the rest shrinks with them.
fn capped(figures: Figures, most: u64) -> Figures {
    let high = figures.calls.high.max(1);
    let part = |amount: u64| {
        u64::try_from(u128::from(amount) * u128::from(most) / u128::from(high)).unwrap_or(amount)
    };
    let between = |figures: Between| Between::new(figures.low.min(part(figures.high)), part(figures.high));
    let mut made = Figures::default();
    made.calls = Between::new(figures.calls.low.min(most), most);
    made.prompt_tokens = between(figures.prompt_tokens);
    made.completion_tokens = between(figures.completion_tokens);
    made.money = figures.money.map(|(low, high)| {
        let high = Money::from_nanos(part(high.as_nanos()));
        (low.min(high), high)
    });
    made.time = {
        let high = figures.time.1.mul_f64(most as f64 / high as f64);
        (figures.time.0.min(high), high)
    };
    made
}

fn latency(model: &ChosenModel, usual: Duration) -> Duration {
    match (model.is_simulated, model.is_embedded) {
        (true, _) => Duration::ZERO,
        (_, true) => EMBEDDED_LATENCY,
        _ => usual,
    }
}

/// The dearest of several prices; `None` where one is not known.
fn dearest(prices: impl Iterator<Item = Option<Price>>) -> Option<Price> {
    let prices = prices.collect::<Option<Vec<_>>>()?;
    Some(Price::new(
        prices.iter().map(|price| price.prompt).max()?,
        prices.iter().map(|price| price.completion).max()?,
    ))
}

fn counts(figures: Between) -> String {
    range(short(figures.low), short(figures.high))
}

fn range(low: String, high: String) -> String {
    if low == high { low } else { format!("{low}–{high}") }
}
