//! A reply in our own terms.

use genai::chat::{ChatResponse, StopReason};
use promptopt_core::lm::{Completion, FinishReason, LmReply, ToolCall};
use promptopt_core::money::Usage;
use serde_json::Map;

use super::chat::{called, thought};
use crate::provider::Dialect;
use crate::reply::ReplyProblem;

/// Reads a completion. Tokens that are not told are 0.
pub(super) fn read_reply(response: ChatResponse, dialect: Dialect) -> Result<LmReply, ReplyProblem> {
    let finish_reason = finish_reason(response.stop_reason.as_ref());
    let calls: Vec<ToolCall> = response
        .content
        .tool_calls()
        .into_iter()
        .cloned()
        .enumerate()
        .map(|(at, it)| called(it, at, dialect))
        .collect();
    let thought = if calls.is_empty() { Map::new() } else { thought(&response.content) };
    let text = response.content.into_texts().concat();
    let finish_reason = match finish_reason {
        FinishReason::Stop | FinishReason::Other if !calls.is_empty() && text.is_empty() => {
            FinishReason::ToolCalls
        }
        reason => reason,
    };
    if text.is_empty() && finish_reason == FinishReason::ContentFilter {
        let reason = response.stop_reason.as_ref().map_or("", StopReason::raw).to_owned();
        return Err(ReplyProblem::Refused(format!(
            "it ended with `{reason}`, and nothing is left of the reply"
        )));
    }
    let usage = usage(&response.usage);
    let mut completion = Completion::new(text)
        .with_finish_reason(finish_reason)
        .with_reasoning(response.reasoning_content.unwrap_or_default())
        .with_tool_calls(calls);
    completion.extra = thought.into();
    let mut reply = LmReply::new(vec![completion], usage);
    reply.id = response.response_id;
    reply.model = Some(response.provider_model_iden.model_name.to_string());
    Ok(reply)
}

fn finish_reason(reason: Option<&StopReason>) -> FinishReason {
    match reason {
        Some(StopReason::Completed(_) | StopReason::StopSequence(_)) => FinishReason::Stop,
        Some(StopReason::MaxTokens(_)) => FinishReason::Length,
        Some(StopReason::ContentFilter(_)) => FinishReason::ContentFilter,
        Some(StopReason::ToolCall(_)) => FinishReason::ToolCalls,
        _ => FinishReason::Other,
    }
}

/// Cached tokens are among the prompt's already; hidden reasoning is, unless it is all there was.
fn usage(usage: &genai::chat::Usage) -> Usage {
    let tokens = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    let reasoning = usage.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
    let details = usage.prompt_tokens_details.as_ref();
    let cached = details.and_then(|details| details.cached_tokens);
    let written = details.and_then(|details| details.cache_creation_tokens);
    Usage::call(tokens(usage.prompt_tokens), tokens(usage.completion_tokens.or(reasoning)))
        .with_cached(tokens(cached))
        .with_cache_write(tokens(written))
        .with_reasoning(tokens(reasoning))
}
