//! The span of one call of a language model: `chat {model}`.

use std::borrow::Cow;
use std::future::Future;

use serde::Serialize;
use serde_json::{Value, json};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{content, messages};
use crate::lm::{
    Completion, FinishReason, LanguageModel, LmError, LmReply, LmRequest, Message, ModelServer,
    ResponseFormat, Role,
};

/// The providers whose API takes system messages apart from the chat.
const WITH_SYSTEM: [&str; 2] = ["anthropic", "gcp.gemini"];

/// The span of a call, from its request to its reply. Retries and what it waits for are part of it.
pub(crate) struct Chat(Span);

impl Chat {
    pub(crate) fn begin(model: &dyn LanguageModel, request: &LmRequest) -> Self {
        // What is not looked at is not put together.
        if !is_enabled() {
            return Self(Span::none());
        }
        let profile = model.profile();
        let unknown = ModelServer::default();
        let server = profile.server.as_deref().unwrap_or(&unknown);
        let provider = server.provider.as_deref().unwrap_or("unknown");
        let name = server.model.as_deref().unwrap_or(&profile.id);
        let sampling = &request.sampling;
        let span = tracing::info_span!(
            target: "promptopt::gen_ai",
            "chat",
            otel.name = format!("chat {name}"),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = provider,
            gen_ai.request.model = name,
            gen_ai.request.temperature = sampling.temperature,
            gen_ai.request.top_p = sampling.top_p,
            gen_ai.request.max_tokens = sampling.max_tokens.or(profile.max_tokens).map(i64::from),
            gen_ai.request.seed = sampling.seed.map(int),
            gen_ai.request.stop_sequences = (!sampling.stop.is_empty()).then(|| json!(sampling.stop).to_string()),
            gen_ai.request.choice.count = (request.n > 1).then_some(i64::from(request.n)),
            gen_ai.request.reasoning.level = sampling.reasoning_effort.as_deref(),
            gen_ai.output.type = (request.response_format != ResponseFormat::Text).then_some("json"),
            gen_ai.response.id = Empty,
            gen_ai.response.model = Empty,
            gen_ai.response.finish_reasons = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.cache_write.input_tokens = Empty,
            gen_ai.usage.reasoning.output_tokens = Empty,
            promptopt.cost = Empty,
            error.type = Empty,
            server.address = server.address.as_deref(),
            server.port = server.port.map(i64::from),
            gen_ai.system_instructions = Empty,
            gen_ai.input.messages = Empty,
            gen_ai.output.messages = Empty,
        );
        let chat = Self(span);
        let is_apart = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
        let apart = request.messages.iter().take_while(is_apart).count();
        let apart = if WITH_SYSTEM.contains(&provider) { apart } else { 0 };
        let (system, said) = request.messages.split_at_checked(apart).unwrap_or_default();
        if !system.is_empty() {
            chat.say("gen_ai.system_instructions", || messages::instructions(system));
        }
        chat.say("gen_ai.input.messages", || messages::input(said));
        chat
    }

    pub(crate) fn around<F: Future>(&self, work: F) -> tracing::instrument::Instrumented<F> {
        work.instrument(self.0.clone())
    }

    pub(crate) fn end(&self, result: &Result<LmReply, LmError>) {
        if self.0.is_disabled() {
            return;
        }
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                self.0.record("error.type", &*error_type(error)).record("otel.status_code", "ERROR");
                return;
            }
        };
        let reasons: Vec<_> = reply.completions.iter().map(|one| finish_reason(one.finish_reason)).collect();
        self.0.record("gen_ai.response.finish_reasons", json!(reasons).to_string());
        for (field, text) in [("gen_ai.response.id", &reply.id), ("gen_ai.response.model", &reply.model)] {
            if let Some(text) = text {
                self.0.record(field, text.as_str());
            }
        }
        let usage = &reply.usage;
        for (field, tokens) in [
            ("gen_ai.usage.input_tokens", usage.prompt_tokens),
            ("gen_ai.usage.output_tokens", usage.completion_tokens),
            ("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
            ("gen_ai.usage.cache_write.input_tokens", usage.cache_write_tokens),
            ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
        ] {
            // 0 is what a server does not tell.
            if tokens > 0 {
                self.0.record(field, int(tokens));
            }
        }
        if let Some(money) = usage.money {
            self.0.record("promptopt.cost", money.as_nanos() as f64 / 1e9);
        }
        self.say("gen_ai.output.messages", || messages::output(&reply.completions));
    }

    fn say(&self, field: &'static str, value: impl FnOnce() -> Value) {
        if let Some(text) = content::written(value) {
            self.0.record(field, text);
        }
    }
}

fn is_enabled() -> bool {
    tracing::enabled!(target: "promptopt::gen_ai", tracing::Level::INFO)
}

/// A reply with what a response says of itself, in the fields that most providers have, and as a text where that is
/// wanted.
pub(crate) fn describe(mut reply: LmReply, response: &impl Serialize) -> LmReply {
    let Some(told) = is_enabled().then(|| serde_json::to_value(response).ok()).flatten() else {
        return reply;
    };
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    (reply.id, reply.model) = (text("id"), text("model"));
    if content::is_wanted() {
        reply.completions = vec![Completion::new(told.to_string())];
    }
    reply
}

/// OpenTelemetry's numbers are signed.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::Other => "other",
    }
}

/// The status of a reply that is none, or a word for what failed.
fn error_type(error: &LmError) -> Cow<'static, str> {
    let word = match error {
        LmError::Unauthorized { status, .. }
        | LmError::InvalidRequest { status, .. }
        | LmError::Server { status, .. } => return status.to_string().into(),
        LmError::RateLimited { .. } => "429",
        LmError::Overloaded { .. } => "overloaded",
        LmError::ContextLength { .. } => "context_length",
        LmError::Refused { .. } => "refused",
        LmError::Connection { .. } => "connection",
        LmError::Timeout { .. } => "timeout",
        LmError::MalformedReply { .. } => "malformed_reply",
        LmError::TooLarge { .. } => "too_large",
        LmError::Engine { .. } => "engine",
        LmError::Call { .. } => "call",
        LmError::Store { .. } => "store",
        LmError::Cancelled => "cancelled",
        LmError::Budget { .. } => "budget",
        LmError::Unpriced { .. } => "unpriced",
        LmError::CallLimit { .. } => "call_limit",
    };
    word.into()
}
