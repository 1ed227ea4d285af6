//! Traces: what happened in one run of the program on one example.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data::{Example, Fields, Prediction, Score, plain_text, shorten};
use crate::lm::{LmError, Refusal, ReplyError};
use crate::money::Usage;
use crate::outage::{Unavailable, says_outage};

/// The field of a prediction, a step and a demo that holds the calls of tools of an agent: a list of turns, each with the
/// `thought` that came with the calls, if any, and the `calls`, each with `tool`, `arguments` and `result`.
pub const TRAJECTORY: &str = "trajectory";

/// What a step is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepKind {
    /// A call of a predictor, with all requests that it makes.
    #[default]
    Predictor,
    /// A call of a tool.
    Tool,
}

impl StepKind {
    fn is_predictor(&self) -> bool {
        *self == Self::Predictor
    }
}

/// When a step was made, in microseconds. The result of a run never depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepTime {
    /// From the beginning of the program's run to that of the step.
    #[serde(rename = "began_us")]
    pub began: u64,
    /// From its beginning to its end. What it waited for a turn, a retry or a rate limit is part of it.
    #[serde(rename = "took_us")]
    pub took: u64,
}

impl StepTime {
    /// From one time to another, both since the run began.
    pub(crate) fn between(began: Duration, ended: Duration) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self { began: micros(began), took: micros(ended.saturating_sub(began)) }
    }
}

/// One call of one predictor inside a run, or of one tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// Path of the predictor, or of the tool, such as `desk.tools.search`.
    pub predictor: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "StepKind::is_predictor")]
    pub kind: StepKind,
    /// The step that it is part of, by its place among the steps of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<usize>,
    /// When it was made. The context sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<StepTime>,
    /// What it was given.
    pub inputs: Fields,
    /// What it answered; empty when it failed.
    pub outputs: Fields,
    /// What its calls cost.
    pub usage: Usage,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it asked once more in another format ([`Predictor::retry_format`]), because the first reply did not fit.
    ///
    /// [`Predictor::retry_format`]: crate::program::Predictor::retry_format
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retried: bool,
}

impl Step {
    /// A call of a predictor that neither took nor gave anything yet.
    pub fn new(predictor: impl Into<String>) -> Self {
        Self { predictor: predictor.into(), ..Self::default() }
    }

    /// A call of a tool.
    pub fn tool(path: impl Into<String>) -> Self {
        Self { kind: StepKind::Tool, ..Self::new(path) }
    }

    /// With what it was given.
    #[must_use]
    pub fn with_inputs(mut self, inputs: Fields) -> Self {
        self.inputs = inputs;
        self
    }

    /// With what it answered.
    #[must_use]
    pub fn with_outputs(mut self, outputs: Fields) -> Self {
        self.outputs = outputs;
        self
    }

    /// With what its calls cost.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// With why it failed.
    #[must_use]
    pub fn with_error(mut self, error: impl Into<Option<String>>) -> Self {
        self.error = error.into();
        self
    }
}

/// Whose failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The model answered, but not in a form the program could use. Evidence about the prompt.
    Reply,
    /// The program's own code failed. Counts against the prompt that was in force, because
    /// programs fail on replies they did not expect.
    Program,
    /// The provider gave no reply. Says nothing about the prompt.
    Provider,
    /// The metric failed or gave no number. Says nothing about the prompt.
    Metric,
}

/// Why a run gave no score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// Whose failure it was.
    pub kind: FailureKind,
    /// What happened, from the outermost context to the cause.
    pub message: String,
    /// Whether every further call would fail the same way.
    #[serde(default)]
    pub fatal: bool,
    /// Why the provider refused a request, where it may be the fault of this row or prompt alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

impl Failure {
    /// A failure after which others may go well.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), fatal: false, refusal: None }
    }

    /// What a model's client said.
    fn of_model(kind: FailureKind, message: String, error: &LmError) -> Self {
        Self { kind, message, fatal: error.is_fatal(), refusal: error.refusal() }
    }

    /// The failure behind an error of the program: what the model's client or a reply parser said
    /// is found anywhere in the chain of causes. A broken connection of a program that calls somebody by itself is
    /// a failure of the provider, too.
    pub fn from_program(error: &anyhow::Error) -> Self {
        let message = format!("{error:#}");
        if let Some(lm) = error.chain().find_map(|cause| cause.downcast_ref::<LmError>()) {
            let kind = if lm.is_caused_by_prompt() { FailureKind::Reply } else { FailureKind::Provider };
            return Self::of_model(kind, message, lm);
        }
        let kind = if error.chain().any(|cause| cause.is::<ReplyError>()) {
            FailureKind::Reply
        } else if error.chain().any(is_outage) {
            FailureKind::Provider
        } else {
            FailureKind::Program
        };
        Self::new(kind, message)
    }

    /// What went wrong in a metric: the provider's fault where its language model failed, and otherwise
    /// its own.
    pub fn from_metric(error: &anyhow::Error) -> Self {
        let message = format!("the metric failed: {error:#}");
        match error.chain().find_map(|cause| cause.downcast_ref::<LmError>()) {
            Some(lm) if !lm.is_caused_by_prompt() => Self::of_model(FailureKind::Provider, message, lm),
            _ => Self::metric(message),
        }
    }

    /// A failed metric.
    pub fn metric(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Metric, message)
    }
}

/// Whether a cause is a connection that failed, or a server that did, whoever asked.
fn is_outage(cause: &(dyn std::error::Error + 'static)) -> bool {
    if cause.is::<Unavailable>() {
        return true;
    }
    use std::io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown,
        NetworkUnreachable, TimedOut,
    };
    cause.downcast_ref::<std::io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            ConnectionAborted
                | ConnectionRefused
                | ConnectionReset
                | HostUnreachable
                | NetworkDown
                | NetworkUnreachable
                | TimedOut
        )
    }) || says_outage(&cause.to_string())
}

/// Failures by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
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

/// One run of the program on one example with the prompts of one candidate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trace {
    /// The example.
    pub example: Arc<Example>,
    /// What the program answered, if it did.
    pub prediction: Option<Prediction>,
    /// The calls of its predictors, in the order in which they began.
    pub steps: Vec<Step>,
    /// What the metric said, if there was something to judge and the metric could.
    pub score: Option<Score>,
    /// What it cost.
    pub usage: Usage,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl Trace {
    /// A run on an example, of which nothing is known yet.
    pub fn new(example: impl Into<Arc<Example>>) -> Self {
        Self { example: example.into(), ..Self::default() }
    }

    /// With what the program answered.
    #[must_use]
    pub fn with_prediction(mut self, prediction: impl Into<Option<Prediction>>) -> Self {
        self.prediction = prediction.into();
        self
    }

    /// With the calls of its predictors.
    #[must_use]
    pub fn with_steps(mut self, steps: Vec<Step>) -> Self {
        self.steps = steps;
        self
    }

    /// With what the metric said.
    #[must_use]
    pub fn with_score(mut self, score: impl Into<Option<Score>>) -> Self {
        self.score = score.into();
        self
    }

    /// With why there is no score.
    #[must_use]
    pub fn with_error(mut self, error: impl Into<Option<Failure>>) -> Self {
        self.error = error.into();
        self
    }

    /// What the metric said, as a number.
    pub fn score_value(&self) -> Option<f64> {
        self.score.as_ref().map(|score| score.value)
    }

    /// What this trace says about the prompt: its score; 0 when the prompt brought about a reply
    /// that the program could not use (a prompt must not win by failing on the hard examples);
    /// `None` when provider or metric failed, which says nothing about the prompt.
    pub fn evidence(&self) -> Option<f64> {
        match &self.error {
            None => self.score_value(),
            Some(failure) if matches!(failure.kind, FailureKind::Reply | FailureKind::Program) => Some(0.0),
            Some(_) => None,
        }
    }

    /// The trace as text for a prompt: inputs, outputs, what was expected, score and feedback or
    /// error. Every value is cut to `max_value_chars` characters.
    ///
    /// ```
    /// # use promptopt_core::data::{Example, Prediction, Score};
    /// # use promptopt_core::trace::Trace;
    /// let trace = Trace::new(Example::new([("question", "1 + 1?"), ("answer", "2")], ["question"]))
    ///     .with_prediction(Prediction::from_iter([("answer", "3")]))
    ///     .with_score(Score::new(0.0));
    /// assert_eq!(
    ///     trace.format_for_prompt(200),
    ///     "question: 1 + 1?\npredicted answer: 3\nexpected answer: 2\nscore: 0"
    /// );
    /// ```
    pub fn format_for_prompt(&self, max_value_chars: usize) -> String {
        let mut text = TraceText::new(max_value_chars);
        text.fields("", &self.example.inputs());
        if let Some(prediction) = &self.prediction {
            text.fields("predicted ", prediction.fields());
        }
        text.fields("expected ", &self.example.labels());
        text.verdict(self, "failed");
        text.finish()
    }
}

/// A trace as lines of text for a prompt, put together part by part. Every value is cut to a number of characters.
#[derive(Debug, Clone)]
pub struct TraceText {
    text: String,
    max_value_chars: usize,
}

impl TraceText {
    /// Without a line.
    pub fn new(max_value_chars: usize) -> Self {
        Self { text: String::new(), max_value_chars }
    }

    /// One more line: a name and a value.
    pub fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.text, "{name}: {}", shorten(value, self.max_value_chars));
    }

    /// One more line as it is.
    pub fn say(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// A line for each of some fields, with a word before their names.
    pub fn fields(&mut self, prefix: &str, fields: &Fields) {
        for (name, value) in fields {
            self.line(&format!("{prefix}{name}"), &plain_text(value));
        }
    }

    /// Score, objectives, feedback and failure of a run, `failed` being the name of the last.
    pub fn verdict(&mut self, trace: &Trace, failed: &str) {
        if let Some(score) = &trace.score {
            self.line("score", &score.value.to_string());
            for (name, value) in &score.objectives {
                self.line(&format!("score in {name}"), &value.to_string());
            }
            if let Some(feedback) = &score.feedback {
                self.line("feedback", feedback);
            }
        }
        if let Some(failure) = &trace.error {
            self.line(failed, &failure.message);
        }
    }

    /// The text without white space at its end.
    pub fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_through_layers_of_context() {
        let check = |error: anyhow::Error, kind, fatal| {
            let failure = Failure::from_program(&error.context("while routing"));
            assert_eq!((failure.kind, failure.fatal), (kind, fatal), "{}", failure.message);
            assert!(failure.message.starts_with("while routing: "));
        };
        let refused = LmError::Unauthorized { status: 401, message: "bad key".into() };
        check(refused.into(), FailureKind::Provider, true);
        check(LmError::ContextLength { message: String::new() }.into(), FailureKind::Reply, false);
        let reply = ReplyError {
            predictor: "p".into(),
            reason: "no `answer`".into(),
            reply: String::new(),
            finish_reason: crate::lm::FinishReason::Stop,
        };
        check(reply.into(), FailureKind::Reply, false);
        check(anyhow::anyhow!("index out of range"), FailureKind::Program, false);
        // A program that calls somebody by itself: an outage says nothing about the prompt.
        let outage = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        check(outage.into(), FailureKind::Provider, false);
        check(std::io::Error::other("no such file").into(), FailureKind::Program, false);
        check(
            anyhow::anyhow!("HTTP status server error (503 Service Unavailable)"),
            FailureKind::Provider,
            false,
        );
    }

    #[test]
    fn only_the_prompts_own_failures_are_evidence() {
        let failed = |kind| Trace { error: Some(Failure::new(kind, "")), ..Trace::default() };
        assert_eq!(failed(FailureKind::Reply).evidence(), Some(0.0));
        assert_eq!(failed(FailureKind::Program).evidence(), Some(0.0));
        assert_eq!(failed(FailureKind::Provider).evidence(), None);
        assert_eq!(failed(FailureKind::Metric).evidence(), None);
    }
}
