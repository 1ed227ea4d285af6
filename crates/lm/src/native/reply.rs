//! A reply in our own terms.

use genai::chat::{ChatResponse, StopReason};
use promptopt_core::lm::{Completion, FinishReason, LmReply};
use promptopt_core::money::Usage;

use crate::reply::ReplyProblem;

/// Reads a completion. A reply without `usage` counts as one call with 0 tokens.
pub(super) fn read_reply(response: ChatResponse) -> Result<LmReply, ReplyProblem> {
    let finish_reason = finish_reason(response.stop_reason.as_ref());
    let text = response.content.into_texts().concat();
    if text.is_empty() && finish_reason == FinishReason::ContentFilter {
        let reason = response.stop_reason.as_ref().map_or("", StopReason::raw).to_owned();
        return Err(ReplyProblem::Refused(format!(
            "it ended with `{reason}`, and nothing is left of the reply"
        )));
    }
    let usage = usage(&response.usage);
    Ok(LmReply::new(vec![Completion::new(text).with_finish_reason(finish_reason)], usage))
}

fn finish_reason(reason: Option<&StopReason>) -> FinishReason {
    match reason {
        Some(StopReason::Completed(_) | StopReason::StopSequence(_)) => FinishReason::Stop,
        Some(StopReason::MaxTokens(_)) => FinishReason::Length,
        Some(StopReason::ContentFilter(_)) => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// Cached tokens are among the prompt's already; hidden reasoning is, unless it is all there was.
fn usage(usage: &genai::chat::Usage) -> Usage {
    let tokens = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    let reasoning = usage.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
    Usage::call(tokens(usage.prompt_tokens), tokens(usage.completion_tokens.or(reasoning)))
}
