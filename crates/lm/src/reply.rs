//! Reads the body of a successful reply.

use promptopt_core::lm::{Completion, FinishReason, LmReply};
use promptopt_core::money::Usage;
use serde_json::Value;

use crate::provider_error::ProviderError;

/// Why a reply with a success status holds no completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReplyProblem {
    /// It is not what the protocol says.
    Malformed(String),
    /// Every completion was withheld; the model's or the provider's words.
    Refused(String),
    /// It holds an error object: gateways answer 200 before they know how it ends.
    Failed(ProviderError),
}

/// One entry of `choices`.
struct Choice {
    completion: Completion,
    refusal: Option<String>,
    error: Option<ProviderError>,
}

/// Reads a chat completion.
///
/// `usage` may be missing, as from some local servers: then the call counts and its tokens are 0.
/// Choices are put in the order of their `index`. Some of several may have been withheld: they are
/// empty completions with [`FinishReason::ContentFilter`].
pub(crate) fn read_reply(body: &[u8]) -> Result<LmReply, ReplyProblem> {
    let body: Value = serde_json::from_slice(body).map_err(|error| {
        ReplyProblem::Malformed(if error.is_eof() {
            format!("the JSON ends early, after {} bytes", body.len())
        } else {
            format!("it is not JSON ({error})")
        })
    })?;
    let choices = match body.get("choices").and_then(Value::as_array) {
        Some(choices) if !choices.is_empty() => choices,
        _ => {
            return Err(match body.get("error").and_then(ProviderError::from_error) {
                Some(error) => ReplyProblem::Failed(error),
                None => ReplyProblem::Malformed("it has no `choices`".to_owned()),
            });
        }
    };
    let mut choices: Vec<&Value> = choices.iter().collect();
    choices.sort_by_key(|choice| choice.get("index").and_then(Value::as_u64));
    let choices = choices.into_iter().map(read_choice).collect::<Result<Vec<_>, _>>()?;

    let nothing_came = choices.iter().all(|choice| choice.completion.text.is_empty());
    if nothing_came {
        if let Some(error) = choices.iter().find_map(|choice| choice.error.clone()) {
            return Err(ReplyProblem::Failed(error));
        }
        if choices.iter().all(Choice::is_withheld) {
            let words = choices.into_iter().find_map(|choice| choice.refusal);
            return Err(ReplyProblem::Refused(
                words.unwrap_or_else(|| "its content filter left nothing of the reply".to_owned()),
            ));
        }
    }
    Ok(LmReply::new(
        choices.into_iter().map(|choice| choice.completion).collect(),
        read_usage(body.get("usage")),
    ))
}

impl Choice {
    fn is_withheld(&self) -> bool {
        self.completion.text.is_empty() && self.completion.finish_reason == FinishReason::ContentFilter
    }
}

fn read_choice(choice: &Value) -> Result<Choice, ReplyProblem> {
    let error = choice.get("error").and_then(ProviderError::from_error);
    let message = match choice.get("message") {
        Some(message @ Value::Object(_)) => message,
        // A choice that failed has no message to speak of.
        _ if error.is_some() => &Value::Null,
        _ => return Err(ReplyProblem::Malformed("a choice has no `message`".to_owned())),
    };
    let mut refusal = message.get("refusal").and_then(Value::as_str).map(str::to_owned);
    let mut text = String::new();
    match message.get("content") {
        None | Some(Value::Null) => {}
        Some(Value::String(content)) => text.push_str(content),
        Some(Value::Array(parts)) => {
            for part in parts {
                if let Some(part_text) = part.get("text").and_then(Value::as_str).or_else(|| part.as_str()) {
                    text.push_str(part_text);
                } else if let Some(words) = part.get("refusal").and_then(Value::as_str) {
                    refusal = Some(words.to_owned());
                }
            }
        }
        Some(_) => {
            return Err(ReplyProblem::Malformed("`message.content` is neither text nor parts".to_owned()));
        }
    }
    let refusal = refusal.filter(|words| !words.trim().is_empty());
    let finish_reason = match choice.get("finish_reason").and_then(Value::as_str) {
        _ if refusal.is_some() && text.is_empty() => FinishReason::ContentFilter,
        Some(reason) => finish_reason(reason),
        None => FinishReason::Other,
    };
    Ok(Choice { completion: Completion::new(text).with_finish_reason(finish_reason), refusal, error })
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason.to_ascii_lowercase().as_str() {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" => FinishReason::Stop,
        "length" | "max_tokens" | "max_output_tokens" | "model_length" => FinishReason::Length,
        "content_filter" | "safety" | "recitation" | "prohibited_content" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

fn read_usage(usage: Option<&Value>) -> Usage {
    let tokens = |name: &str| usage.and_then(|usage| usage.get(name)).and_then(Value::as_u64).unwrap_or(0);
    Usage::call(tokens("prompt_tokens"), tokens("completion_tokens"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<LmReply, ReplyProblem> {
        read_reply(body.to_string().as_bytes())
    }

    fn check(choice: Value, text: &str, finish_reason: FinishReason) {
        let reply = read(json!({"choices": [choice]})).unwrap();
        assert_eq!(reply.completions, [Completion::new(text).with_finish_reason(finish_reason)], "{choice}");
    }

    #[test]
    fn content_comes_as_text_as_parts_or_not_at_all() {
        use FinishReason::{Length, Other, Stop};
        check(json!({"message": {"content": "a"}, "finish_reason": "stop"}), "a", Stop);
        let parts = json!([{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]);
        check(json!({"message": {"content": parts}, "finish_reason": "stop"}), "ab", Stop);
        check(json!({"message": {"content": null}, "finish_reason": "length"}), "", Length);
        check(json!({"message": {"tool_calls": []}, "finish_reason": "tool_calls"}), "", Other);
        check(json!({"message": {"content": "a"}, "finish_reason": null}), "a", Other);
    }

    #[test]
    fn text_that_the_filter_cut_short_is_kept() {
        check(
            json!({"message": {"content": "a"}, "finish_reason": "content_filter"}),
            "a",
            FinishReason::ContentFilter,
        );
    }

    #[test]
    fn a_reply_withheld_whole_is_a_refusal() {
        for (choice, words) in [
            (json!({"message": {"content": null, "refusal": "I can't."}, "finish_reason": "stop"}), "can't"),
            (json!({"message": {"content": [{"refusal": "No."}]}, "finish_reason": "stop"}), "No."),
            (json!({"message": {"content": ""}, "finish_reason": "content_filter"}), "content filter"),
        ] {
            let Err(ReplyProblem::Refused(message)) = read(json!({"choices": [choice]})) else {
                panic!("not refused: {choice}")
            };
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn choices_follow_their_index_and_one_may_be_withheld() {
        let body = json!({
            "choices": [
                {"index": 1, "message": {"content": "b"}, "finish_reason": "stop"},
                {"index": 0, "message": {"refusal": "no"}, "finish_reason": "stop"},
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        });
        let reply = read(body).unwrap();
        assert_eq!(reply.completions[0].finish_reason, FinishReason::ContentFilter);
        assert_eq!(reply.completions[1].text, "b");
        assert_eq!(reply.usage, Usage::call(3, 4));
    }

    #[test]
    fn missing_usage_is_one_call_without_tokens() {
        for usage in [json!(null), json!({}), json!({"prompt_tokens": "many"})] {
            let body = json!({"choices": [{"message": {"content": "a"}}], "usage": usage});
            assert_eq!(read(body).unwrap().usage, Usage::call(0, 0));
        }
    }

    #[test]
    fn an_error_inside_a_success_is_a_failure() {
        let error = json!({"code": 502, "message": "upstream died"});
        for body in [
            json!({"error": error}),
            json!({"error": error, "choices": []}),
            json!({"choices": [{"error": error, "finish_reason": "error"}]}),
            json!({"choices": [{"error": error, "message": {"content": ""}, "finish_reason": "error"}]}),
        ] {
            let Err(ReplyProblem::Failed(failure)) = read(body.clone()) else { panic!("no failure: {body}") };
            assert_eq!((failure.status, failure.message.as_str()), (Some(502), "upstream died"));
        }
    }

    #[test]
    fn what_is_no_completion_is_malformed() {
        for body in [
            json!({}),
            json!([]),
            json!({"choices": []}),
            json!({"choices": [{}]}),
            json!({"choices": [{"message": {"content": 3}}]}),
            json!({"choices": "x"}),
        ] {
            assert!(matches!(read(body.clone()), Err(ReplyProblem::Malformed(_))), "{body}");
        }
        let Err(ReplyProblem::Malformed(reason)) = read_reply(b"{\"choices\": [{\"mess") else { panic!() };
        assert!(reason.contains("ends early, after 19 bytes"), "{reason}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read_reply(&bytes);
        }

        #[test]
        fn any_text_comes_back_as_it_was(text in any::<String>()) {
            let body = json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]});
            let reply = read(body).unwrap();
            prop_assert_eq!(reply.first_text(), text);
        }
    }
}
