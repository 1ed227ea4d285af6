//! Optimizers: one trait, and what a run of any of them comes to.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{CostEstimate, Error, Evaluator, Example, FailureKind, Limit, PromptCandidate, Usage};

/// Makes the prompts of a program better by measurement.
#[async_trait]
pub trait Optimizer: Send + Sync {
    /// Name of the algorithm, such as `MIPROv2`.
    fn name(&self) -> &str;

    /// Finds better prompts for a program, installs them in it and says how it went.
    ///
    /// The program's own prompts are always a candidate; they stay when nothing better is found.
    ///
    /// # Errors
    ///
    /// When options, program or data cannot serve, or when the run ends before the program's own
    /// prompts are evaluated. Once they are, running out of budget, too many errors and
    /// cancellation end the run with the best so far and the reason, not with an error.
    async fn compile(&self, program: &mut dyn Evaluator, trainset: Vec<Example>) -> Result<Outcome, Error>;

    /// What [`Optimizer::compile`] would call for the same program and examples. Calls nothing. `None` where
    /// the optimizer cannot tell, or where nothing but what it finds would end the run.
    ///
    /// # Errors
    ///
    /// When options, program or data cannot serve.
    fn estimate(
        &self,
        _program: &dyn Evaluator,
        _trainset: &[Example],
    ) -> Result<Option<CostEstimate>, Error> {
        Ok(None)
    }
}

#[async_trait]
impl<T: Optimizer + ?Sized> Optimizer for std::sync::Arc<T> {
    fn name(&self) -> &str {
        (**self).name()
    }

    async fn compile(&self, program: &mut dyn Evaluator, trainset: Vec<Example>) -> Result<Outcome, Error> {
        (**self).compile(program, trainset).await
    }

    fn estimate(&self, program: &dyn Evaluator, trainset: &[Example]) -> Result<Option<CostEstimate>, Error> {
        (**self).estimate(program, trainset)
    }
}

#[async_trait]
impl<T: Optimizer + ?Sized> Optimizer for Box<T> {
    fn name(&self) -> &str {
        (**self).name()
    }

    async fn compile(&self, program: &mut dyn Evaluator, trainset: Vec<Example>) -> Result<Outcome, Error> {
        (**self).compile(program, trainset).await
    }

    fn estimate(&self, program: &dyn Evaluator, trainset: &[Example]) -> Result<Option<CostEstimate>, Error> {
        (**self).estimate(program, trainset)
    }
}

/// A mean score with its confidence interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over `n` examples; failures of reply or program count as 0.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Confidence level of the interval, in (0, 1).
    pub level: f64,
    /// Examples in the mean.
    pub n: usize,
    /// How many of them failed (reply or program) and count as 0.
    pub failed: usize,
    /// Examples left out because provider or metric failed.
    pub missing: usize,
}

/// Two programs compared on the same examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Examples that both were scored on.
    pub n: usize,
    /// Mean of the differences, second minus first.
    pub difference: f64,
    /// Lower end of the interval of the difference.
    pub low: f64,
    /// Upper end of the interval of the difference.
    pub high: f64,
    /// Confidence level of the interval, in (0, 1).
    pub level: f64,
    /// Examples on which the second scored higher.
    pub wins: usize,
    /// Examples on which the second scored lower.
    pub losses: usize,
    /// Two-sided p-value of no difference.
    pub p_value: f64,
    /// Name of the test.
    pub test: String,
}

impl Comparison {
    /// Whether interval and test both say that the second is better.
    pub fn is_better(&self) -> bool {
        self.low > 0.0 && self.is_significant()
    }

    /// Whether interval or test leave it open which of the two is better.
    pub fn is_within_noise(&self) -> bool {
        (self.low <= 0.0 && self.high >= 0.0) || !self.is_significant()
    }

    fn is_significant(&self) -> bool {
        self.p_value <= 1.0 - self.level
    }
}

/// What kind of evaluation a trial was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrialKind {
    /// The original program on the full selection set.
    Baseline,
    /// A candidate on a minibatch of the selection set.
    Minibatch,
    /// A candidate on the full selection set.
    Full,
    /// A new candidate on training examples, against its parent.
    Gate,
    /// A candidate on a part of the selection set, where it was dropped.
    Race,
}

/// One evaluation of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What kind of evaluation it was.
    pub kind: TrialKind,
    /// Index of the candidate in [`Outcome::candidates`].
    pub candidate: usize,
    /// Examples evaluated, those known from before included.
    pub examples: usize,
    /// Mean score over them; `None` when every one of them failed at provider or metric.
    pub score: Option<f64>,
    /// How many failed, of whichever kind.
    pub failures: usize,
    /// Language-model calls spent when it was committed, from the start of the run.
    pub calls_so_far: u64,
    /// Best mean on the full selection set when it was committed.
    pub best_so_far: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All planned work was done.
    #[default]
    Completed,
    /// What was left of the budget was too little for the next piece of work.
    Budget,
    /// More errors of program, provider or metric than `max_errors`.
    MaxErrors {
        /// The last of them.
        last: String,
    },
    /// The provider said something that every further call would meet again.
    Provider {
        /// Its words.
        message: String,
    },
    /// The run was cancelled.
    Cancelled,
    /// The score that was asked for is reached.
    TargetReached,
    /// Nothing got better for as many steps as were to be borne.
    NoImprovement {
        /// How many steps in a row.
        steps: usize,
    },
    /// The stop file appeared.
    StopFile,
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Completed => formatter.write_str("all planned work was done"),
            Self::Budget => formatter.write_str("the budget was used up"),
            Self::MaxErrors { last } => {
                write!(formatter, "more errors than `max_errors` allows; the last: {last}")
            }
            Self::Provider { message } => write!(formatter, "the language model refused to go on: {message}"),
            Self::Cancelled => formatter.write_str("cancelled"),
            Self::TargetReached => formatter.write_str("the target score was reached"),
            Self::NoImprovement { steps } => write!(formatter, "nothing got better for {steps} steps"),
            Self::StopFile => formatter.write_str("the stop file appeared"),
        }
    }
}

/// Failures by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCounts {
    /// Replies that could not be used.
    pub reply: u64,
    /// Errors of the program's own code.
    pub program: u64,
    /// Errors of the provider.
    pub provider: u64,
    /// Errors of the metric.
    pub metric: u64,
}

impl FailureCounts {
    /// Counts one more.
    pub fn count(&mut self, kind: FailureKind) {
        match kind {
            FailureKind::Reply => self.reply += 1,
            FailureKind::Program => self.program += 1,
            FailureKind::Provider => self.provider += 1,
            FailureKind::Metric => self.metric += 1,
        }
    }

    /// What counts towards `max_errors`: all but unusable replies, which are a fact about a
    /// prompt and not about the set-up.
    pub fn errors(&self) -> u64 {
        self.program + self.provider + self.metric
    }
}

impl std::ops::Add for FailureCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            reply: self.reply + other.reply,
            program: self.program + other.program,
            provider: self.provider + other.provider,
            metric: self.metric + other.metric,
        }
    }
}

/// What a run cost, by role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// Calls of the model the program runs on, a teacher's runs included.
    pub task: Usage,
    /// Calls of the model that writes instructions.
    pub prompt: Usage,
    /// Rollouts that were known already and cost nothing.
    pub reused_rollouts: u64,
}

impl Spending {
    /// Both roles together.
    pub fn total(&self) -> Usage {
        self.task + self.prompt
    }
}

/// What is known of one candidate on the selection set, example by example.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CandidateScores {
    /// The score on every selection example in order; `None` where it was not run, or provider or
    /// metric failed.
    pub examples: Vec<Option<f64>>,
    /// The same for every objective that the metric names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub objectives: BTreeMap<String, Vec<Option<f64>>>,
    /// Language-model calls spent when the candidate was entered, from the start of the run.
    pub calls_at_discovery: u64,
    /// Rollouts made when it was entered, from the start of the run.
    pub rollouts_at_discovery: u64,
}

/// The winner measured once more, on evidence that no choice rested on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    /// What it was measured on, in words.
    pub on: String,
    /// The original program there.
    pub baseline: Estimate,
    /// The winner there.
    pub winner: Estimate,
    /// Winner against original there.
    pub comparison: Comparison,
}

/// The scores of the attempts of one predictor at one depth.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DepthStatistics {
    /// Path of the predictor.
    pub predictor: String,
    /// The depth, from 0.
    pub depth: usize,
    /// How many attempts of this depth have a score.
    pub attempts: usize,
    /// The highest mean on the full selection set of any candidate so far.
    pub best: f64,
    /// The mean score. Like `min`, `max` and `std` it is over what each attempt was run on, which is less
    /// than the selection set for those that were dropped early; so `max` can exceed `best`.
    pub mean: f64,
    /// The lowest score.
    pub min: f64,
    /// The highest score.
    pub max: f64,
    /// The standard deviation of the scores (divided by n).
    pub std: f64,
    /// Language-model calls spent at the end of the depth, from the start of the run.
    pub calls_so_far: u64,
}

/// What a run of an optimizer came to. Everything but the scores of the sealed test, which an
/// optimizer never sees.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the optimizer.
    pub optimizer: String,
    /// Every candidate that was evaluated; the original is the first.
    pub candidates: Vec<PromptCandidate>,
    /// Index of the winner, which is installed in the program.
    pub best: usize,
    /// The original program on the selection set.
    pub baseline: Estimate,
    /// The winner on the selection set. It was chosen there, so its mean leans upward; only a
    /// sealed test says what was gained.
    pub selected: Estimate,
    /// Winner against original on the selection set; `None` when the original won.
    pub comparison: Option<Comparison>,
    /// How the winner was chosen, in a sentence.
    pub choice: String,
    /// Every evaluation in logical order, when statistics are tracked.
    pub trials: Vec<Trial>,
    /// What is known of every candidate, in the order of `candidates`, when statistics are tracked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<CandidateScores>,
    /// The Pareto frontier at the end: candidates that are best at something (GEPA).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frontier: Vec<usize>,
    /// Statistics of every depth (COPRO).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depths: Vec<DepthStatistics>,
    /// The winner on evidence that it was not picked by, where data and budget allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// What the run cost.
    pub spending: Spending,
    /// What failed.
    pub failures: FailureCounts,
    /// Why the run ended.
    pub stop: StopReason,
    /// Which limit ended it, where [`Outcome::stop`] is [`StopReason::Budget`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<Limit>,
    /// What a user should know: fallbacks taken, options that had no effect on this data.
    pub notes: Vec<String>,
}

impl Outcome {
    /// The winner.
    pub fn winner(&self) -> Option<&PromptCandidate> {
        self.candidates.get(self.best)
    }

    /// Whether anything but the original won.
    pub fn improved(&self) -> bool {
        self.best != 0
    }
}
