//! How many tokens a request will take, before it is sent.

use promptopt_core::lm::{LmRequest, Message};

/// Bytes of a prompt in one token. Few texts have fewer.
const BYTES_PER_TOKEN: u64 = 3;

/// Tokens that frame one message.
const TOKENS_PER_MESSAGE: u64 = 4;

/// Tokens of an image, or of whatever else is shown and not said.
const TOKENS_PER_IMAGE: u64 = 1000;

/// What a completion is taken to be without a bound of its own.
const UNBOUNDED_COMPLETION: u64 = 512;

/// A guess at the tokens that `request` reads and writes, on the high side; `max_tokens` bounds each of
/// its completions.
pub(crate) fn estimated_tokens(request: &LmRequest, max_tokens: Option<u32>) -> u64 {
    let message = |bytes: usize| (bytes as u64).div_ceil(BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE;
    let shown =
        |it: &Message| it.content.as_slice().iter().filter(|part| part.text().is_none()).count() as u64;
    let called =
        |it: &Message| it.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>();
    let prompt: u64 = request
        .messages
        .iter()
        .map(|it| message(it.text().len() + called(it)) + shown(it).saturating_mul(TOKENS_PER_IMAGE))
        .sum();
    let tools: u64 =
        request.tools.iter().map(|tool| serde_json::to_string(tool).map_or(0, |it| message(it.len()))).sum();
    let prompt = prompt.saturating_add(tools);
    let completion = max_tokens.map_or(UNBOUNDED_COMPLETION, u64::from);
    prompt.saturating_add(completion.saturating_mul(u64::from(request.n.max(1))))
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{Content, Image, Part, ToolDefinition};

    use super::*;

    #[test]
    fn what_is_shown_and_tools_are_counted() {
        let shown = Content::parts([Part::said("abcdefg"), Image::at("https://example.org/a.png").into()]);
        let request = LmRequest::new(vec![Message::user(shown)]);
        assert_eq!(estimated_tokens(&request, Some(0)), 3 + 4 + 1000);
        let with_tools = request.with_tools(vec![ToolDefinition::new("f", "", serde_json::json!({}))]);
        assert!(estimated_tokens(&with_tools, Some(0)) > 1007 + 4);
    }

    #[test]
    fn prompt_and_every_completion_are_counted() {
        let request = LmRequest::new(vec![Message::user("abcdefg"); 2]).with_n(3);
        assert_eq!(estimated_tokens(&request, Some(10)), 2 * (3 + 4) + 30);
        assert_eq!(estimated_tokens(&LmRequest::default(), None), 512);
        assert!(estimated_tokens(&request.with_n(u32::MAX), Some(u32::MAX)) > 1 << 62);
    }
}
