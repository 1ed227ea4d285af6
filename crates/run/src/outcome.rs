//! What a run of any optimizer comes to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use promptopt_core::data::Fields;
use promptopt_core::money::{Limit, Usage};
use promptopt_core::prompt::PromptCandidate;
use promptopt_core::trace::{FailureCounts, FailureKind};
use promptopt_statistics::{Comparison, Estimate};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{HeadroomFinding, RulesFinding};

/// What kind of evaluation a trial was. An optimizer may have kinds of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialKind(Cow<'static, str>);

impl TrialKind {
    /// The original program on the full selection set.
    pub const BASELINE: Self = Self(Cow::Borrowed("baseline"));
    /// A candidate on a minibatch of the selection set.
    pub const MINIBATCH: Self = Self(Cow::Borrowed("minibatch"));
    /// A candidate on the full selection set.
    pub const FULL: Self = Self(Cow::Borrowed("full"));
    /// A new candidate on training examples, against its parent.
    pub const GATE: Self = Self(Cow::Borrowed("gate"));
    /// A candidate on a part of the selection set, where it was dropped.
    pub const RACE: Self = Self(Cow::Borrowed("race"));

    /// A kind of an optimizer's own, such as `bucket`.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrialKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One evaluation of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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

impl Trial {
    /// An evaluation of a candidate on so many examples.
    pub fn new(kind: TrialKind, candidate: usize, examples: usize, score: impl Into<Option<f64>>) -> Self {
        let (score, calls_so_far) = (score.into(), 0);
        Self { kind, candidate, examples, score, failures: 0, calls_so_far, best_so_far: 0.0 }
    }

    /// With what was spent, and what was best, when it was committed.
    #[must_use]
    pub fn with_progress(mut self, calls_so_far: u64, best_so_far: f64) -> Self {
        (self.calls_so_far, self.best_so_far) = (calls_so_far, best_so_far);
        self
    }
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
    /// No improvement for `patience` steps.
    NoImprovement {
        /// How many steps in a row.
        steps: usize,
    },
    /// The probe for headroom expects less than `min_headroom`.
    NoHeadroom {
        /// What is expected, and how much it should be.
        message: String,
    },
    /// The stop file appeared.
    StopFile,
    /// A reason of the optimizer's own.
    Other {
        /// The reason in words.
        reason: String,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => formatter.write_str("all planned work was done"),
            Self::Budget => formatter.write_str("the budget has no room for more"),
            Self::MaxErrors { last } => {
                write!(formatter, "more errors than `max_errors` allows; the last: {last}")
            }
            Self::Provider { message } => write!(formatter, "the language model refused to go on: {message}"),
            Self::Cancelled => formatter.write_str("cancelled"),
            Self::TargetReached => formatter.write_str("the target score was reached"),
            Self::NoImprovement { steps } => write!(formatter, "no improvement for {steps} steps"),
            Self::NoHeadroom { message } => formatter.write_str(message),
            Self::StopFile => formatter.write_str("the stop file appeared"),
            Self::Other { reason } => formatter.write_str(reason),
        }
    }
}

/// What a run cost, by role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spending {
    /// Calls of the model the program runs on, a teacher's runs included.
    pub task: Usage,
    /// Calls of the model that writes instructions.
    pub prompt: Usage,
    /// Rollouts that were known already and cost nothing.
    pub reused_rollouts: u64,
    /// What counted against the limits, where that is not what the replies say they cost: an attempt without a reply
    /// is a call that may be billed, and where a reply does not say what it took, the most that it may have taken
    /// counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Usage>,
}

impl Spending {
    /// What calls of the program's model cost, and those of the model that writes.
    pub fn new(task: Usage, prompt: Usage) -> Self {
        Self { task, prompt, ..Self::default() }
    }

    /// With rollouts that were known already.
    #[must_use]
    pub fn with_reused_rollouts(mut self, reused_rollouts: u64) -> Self {
        self.reused_rollouts = reused_rollouts;
        self
    }

    /// With what counted against the limits.
    #[must_use]
    pub fn with_counted(mut self, counted: Usage) -> Self {
        let total = self.total();
        let differs = (counted.calls, counted.total_tokens()) != (total.calls, total.total_tokens());
        self.counted = differs.then_some(counted);
        self
    }

    /// What counted against the limits.
    pub fn counted(&self) -> Usage {
        self.counted.unwrap_or_else(|| self.total())
    }

    /// Why that is more than the replies say; `None` where it is not.
    pub fn explanation(&self) -> Option<String> {
        let (counted, told) = (self.counted?, self.total());
        let calls = counted.calls.saturating_sub(told.calls);
        let tokens = counted.total_tokens().saturating_sub(told.total_tokens());
        let calls = (calls > 0).then(|| format!("{calls} calls that brought no reply that could be used"));
        let tokens = (tokens > 0).then(|| {
            format!("{tokens} tokens that no reply told of, so the most that they may have been is counted")
        });
        let more: Vec<String> = calls.into_iter().chain(tokens).collect();
        let (all, of) = (counted.calls, counted.total_tokens());
        (!more.is_empty()).then(|| {
            format!("counted against the caps: {all} calls and {of} tokens; {}", more.join(", and "))
        })
    }

    /// Both roles together.
    pub fn total(&self) -> Usage {
        self.task + self.prompt
    }
}

/// What is known of one candidate on the selection set, example by example.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
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

impl CandidateScores {
    /// The score on every selection example in order.
    pub fn new(examples: Vec<Option<f64>>) -> Self {
        Self { examples, ..Self::default() }
    }

    /// With the same for every objective.
    #[must_use]
    pub fn with_objectives(mut self, objectives: BTreeMap<String, Vec<Option<f64>>>) -> Self {
        self.objectives = objectives;
        self
    }

    /// With what was spent when the candidate was entered.
    #[must_use]
    pub fn with_discovery(mut self, calls: u64, rollouts: u64) -> Self {
        (self.calls_at_discovery, self.rollouts_at_discovery) = (calls, rollouts);
        self
    }
}

/// The original and the candidate that most was to be expected of, measured on examples that played no part in the search.
/// The last word on what is installed is spoken after it, so that candidate need not be the winner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Confirmation {
    /// What it was measured on, in words.
    pub on: String,
    /// The original program there.
    pub baseline: Estimate,
    /// The candidate there.
    pub winner: Estimate,
    /// The candidate against the original there.
    pub comparison: Comparison,
}

impl Confirmation {
    /// What a measurement gave.
    pub fn new(on: impl Into<String>, baseline: Estimate, winner: Estimate, comparison: Comparison) -> Self {
        Self { on: on.into(), baseline, winner, comparison }
    }
}

/// Why rollouts failed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailureReason {
    /// Whose failure it was.
    pub kind: FailureKind,
    /// What happened, cut to 500 characters.
    pub message: String,
    /// How many rollouts failed with it.
    pub rollouts: u64,
    /// Rows that the provider refuses, whatever the prompt: they were not sent again, and have no score.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl FailureReason {
    /// So many rollouts that failed for a reason.
    pub fn new(kind: FailureKind, message: impl Into<String>, rollouts: u64) -> Self {
        Self { kind, message: message.into(), rollouts, rows_left_out: 0 }
    }
}

/// What a run of an optimizer came to. Everything but the scores of the sealed test, which an
/// optimizer never sees.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// Why the winner was installed, or the original stays, in a sentence with the numbers.
    pub choice: String,
    /// Every evaluation in logical order, when statistics are tracked.
    pub trials: Vec<Trial>,
    /// What is known of every candidate, in the order of `candidates`, when statistics are tracked. Where that would be
    /// more than a million scores, it is that of the original, the winner and the candidates that most is known of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<CandidateScores>,
    /// What else the optimizer has to say, by name, such as `frontier` and `depths`. A report draws what it knows
    /// and prints the rest.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub details: Fields,
    /// Original and best candidate on evidence that the search did not see, where data and budget allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// What the run cost.
    pub spending: Spending,
    /// What failed.
    pub failures: FailureCounts,
    /// Why it failed: each reason once, in the order in which they came, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<FailureReason>,
    /// How many rows the provider refuses or never answers, whatever the prompt: no score is about them.
    #[serde(default)]
    pub rows_left_out: u64,
    /// Why the run ended.
    pub stop: StopReason,
    /// Which limit ended it, where [`Outcome::stop`] is [`StopReason::Budget`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<Limit>,
    /// What a user should know: fallbacks taken, options that had no effect on this data.
    pub notes: Vec<String>,
}

impl Outcome {
    /// What a run of the optimizer with this name came to; the rest is to be filled in.
    pub fn new(optimizer: impl Into<String>) -> Self {
        Self { optimizer: optimizer.into(), ..Self::default() }
    }

    /// The winner.
    pub fn winner(&self) -> Option<&PromptCandidate> {
        self.candidates.get(self.best)
    }

    /// A detail that the optimizer gave, as what it is; `None` where it gave none, or another one.
    pub fn detail<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.details.get(name)?).ok()
    }

    /// What the probe for headroom found, where there was one.
    pub fn headroom(&self) -> Option<HeadroomFinding> {
        self.detail(HeadroomFinding::DETAIL)
    }

    /// What the rules of the winner are worth, where that was looked at.
    pub fn rules(&self) -> Option<RulesFinding> {
        self.detail(RulesFinding::DETAIL)
    }

    /// Whether anything but the original won.
    pub fn improved(&self) -> bool {
        self.best != 0
    }
}
