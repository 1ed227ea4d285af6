//! Spans of `tracing`, with the names of OpenTelemetry's conventions for generative AI.
//!
//! Without the feature `tracing` nothing of it is compiled, and a [`Span`] is nothing. With it, every call of a model is a
//! span `chat`, in the span of the predictor or the tool that made it. Spans have the level `INFO`. Their target is
//! `promptopt::gen_ai`.
//!
//! The names are those of the GenAI conventions 0.1.0. What these have no name for is called `promptopt.…`. A field of
//! `tracing` holds no list, so a list is a field with its JSON.
//!
//! What was said is no part of a span, whatever a filter lets through, before [`capture_content`] was called.

#[cfg(feature = "tracing")]
mod chat;
#[cfg(feature = "tracing")]
mod content;
#[cfg(feature = "tracing")]
mod messages;

use std::future::Future;

use serde_json::Value;

#[cfg(feature = "tracing")]
pub(crate) use chat::{Chat, describe};
#[cfg(feature = "tracing")]
pub use content::capture_content;

use crate::data::Example;
#[cfg(not(feature = "tracing"))]
use crate::lm::{LanguageModel, LmError, LmReply, LmRequest};
use crate::prompt::Prompts;

/// Makes a span, or nothing. What is in brackets is used in the fields.
macro_rules! span {
    ([$($used:expr),*] $($span:tt)*) => {{
        #[cfg(feature = "tracing")]
        let span = Span(tracing::info_span!(target: "promptopt::gen_ai", $($span)*));
        #[cfg(not(feature = "tracing"))]
        let span = {
            let _ = ($(&$used),*);
            Span()
        };
        span
    }};
}

/// Something that takes time, as a trace shows it. A predictor or tool of your own is shown by one, too:
///
/// ```
/// use promptopt_core::telemetry::Span;
/// # use futures_util::FutureExt as _;
///
/// let span = Span::tool("search", "call_1");
/// let found = span.around(async { 3 }).now_or_never();
/// if found == Some(0) {
///     span.failed("nothing_found");
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Span(#[cfg(feature = "tracing")] tracing::Span);

impl Span {
    /// The span that is entered now.
    pub fn current() -> Self {
        #[cfg(feature = "tracing")]
        return Self(tracing::Span::current());
        #[cfg(not(feature = "tracing"))]
        Self()
    }

    /// `predict {path}`: a predictor.
    pub fn predict(path: &str) -> Self {
        span!([path]
            "predict",
            otel.name = format!("predict {path}"),
            otel.kind = "internal",
            otel.status_code = tracing::field::Empty,
            promptopt.predictor = path,
            promptopt.inputs = tracing::field::Empty,
            promptopt.outputs = tracing::field::Empty,
            error.type = tracing::field::Empty,
        )
    }

    /// `invoke_agent {path}`: a predictor that calls tools.
    pub fn agent(path: &str) -> Self {
        span!([path]
            "invoke_agent",
            otel.name = format!("invoke_agent {path}"),
            otel.kind = "internal",
            otel.status_code = tracing::field::Empty,
            gen_ai.operation.name = "invoke_agent",
            gen_ai.agent.name = path,
            promptopt.predictor = path,
            promptopt.inputs = tracing::field::Empty,
            promptopt.outputs = tracing::field::Empty,
            error.type = tracing::field::Empty,
        )
    }

    /// `execute_tool {name}`: a tool, called under an id.
    pub fn tool(name: &str, call_id: &str) -> Self {
        span!([name, call_id]
            "execute_tool",
            otel.name = format!("execute_tool {name}"),
            otel.kind = "internal",
            otel.status_code = tracing::field::Empty,
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = name,
            gen_ai.tool.type = "function",
            gen_ai.tool.call.id = call_id,
            gen_ai.tool.call.arguments = tracing::field::Empty,
            gen_ai.tool.call.result = tracing::field::Empty,
            error.type = tracing::field::Empty,
        )
    }

    /// `rollout {program}`: a program run on one example.
    pub fn rollout(within: &Self, program: &str, example: &Example, prompts: &Prompts, sample: u64) -> Self {
        span!([within, program, example, prompts, sample]
            parent: &within.0,
            "rollout",
            otel.name = format!("rollout {program}"),
            otel.kind = "internal",
            otel.status_code = tracing::field::Empty,
            promptopt.example = example.content_hash().to_string(),
            promptopt.prompts = prompts.content_hash().to_string(),
            promptopt.sample = sample as i64,
            promptopt.score = tracing::field::Empty,
            error.type = tracing::field::Empty,
        )
    }

    /// The work, in this span whenever it is polled.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        #[cfg(feature = "tracing")]
        return tracing::Instrument::instrument(work, self.0.clone());
        #[cfg(not(feature = "tracing"))]
        work
    }

    /// Does the work in this span.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        return self.0.in_scope(work);
        #[cfg(not(feature = "tracing"))]
        work()
    }

    /// Says that it failed, in a word of few, such as `timeout`.
    pub fn failed(&self, kind: &str) {
        #[cfg(feature = "tracing")]
        self.0.record("error.type", kind).record("otel.status_code", "ERROR");
        #[cfg(not(feature = "tracing"))]
        let _ = kind;
    }

    /// Says how a rollout scored.
    pub fn scored(&self, score: f64) {
        #[cfg(feature = "tracing")]
        self.0.record("promptopt.score", score);
        #[cfg(not(feature = "tracing"))]
        let _ = score;
    }

    /// Says what was said, under one of this span's fields, if that is wanted ([`capture_content`]).
    pub fn content(&self, field: &'static str, value: impl FnOnce() -> Value) {
        #[cfg(feature = "tracing")]
        if !self.0.is_disabled()
            && let Some(text) = content::written(value)
        {
            self.0.record(field, text);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (field, value);
    }
}

#[cfg(feature = "tracing")]
impl From<tracing::Span> for Span {
    fn from(span: tracing::Span) -> Self {
        Self(span)
    }
}

/// A reply with what traces say of a response, of which nothing is needed here.
#[cfg(not(feature = "tracing"))]
pub(crate) fn describe(reply: LmReply, _: &impl serde::Serialize) -> LmReply {
    reply
}

/// The span of a call, which is nothing here.
#[cfg(not(feature = "tracing"))]
pub(crate) struct Chat;

#[cfg(not(feature = "tracing"))]
impl Chat {
    pub(crate) fn begin(_: &dyn LanguageModel, _: &LmRequest) -> Self {
        Self
    }

    pub(crate) fn around<F: Future>(&self, work: F) -> F {
        work
    }

    pub(crate) fn end(&self, _: &Result<LmReply, LmError>) {}
}
