//! What makes two calls the same call.

use promptopt_core::data::ContentHash;
use promptopt_core::lm::{Extra, LmRequest};

/// The key of a call: model id, messages, every sampling parameter, response format, number of completions, sample index,
/// tools, and whatever else is asked for. A hash, so nothing of a prompt can be read from it; and the model
/// id holds no key or token by contract.
pub fn reply_key(model: &str, request: &LmRequest) -> ContentHash {
    // Zero completions and one are the same request to a model.
    let n = request.n.max(1);
    let text = ContentHash::of(&(
        "promptopt reply 1",
        model,
        &request.messages,
        &request.sampling,
        &request.response_format,
        n,
        request.sample_index,
    ));
    let LmRequest { tools, tool_choice, parallel_tool_calls, logprobs, extra, .. } = request;
    let beside = (tools, tool_choice, parallel_tool_calls, logprobs, extra);
    // A request for a text alone keeps the key that it has always had.
    if beside == (&Vec::new(), &None, &None, &None, &Extra::default()) {
        return text;
    }
    ContentHash::of(&(text, beside))
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{
        Content, Image, Message, ResponseFormat, Sampling, ToolCall, ToolChoice, ToolDefinition,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_changes_a_reply_changes_the_key() {
        let request = LmRequest::new(vec![Message::user("a")]);
        let sampling = |sampling| request.clone().with_sampling(sampling);
        let schema = |name: &str| ResponseFormat::JsonSchema { name: name.into(), schema: json!({"a": 1}) };
        let tool = |name: &str, words: &str| ToolDefinition::new(name, words, json!({"type": "object"}));
        let shows = |image: Image| LmRequest::new(vec![Message::user(Content::parts([image.into()]))]);
        let calls = |call| {
            LmRequest::new(vec![Message::user("a"), Message::assistant("").with_tool_calls(vec![call])])
        };
        let others = [
            LmRequest::new(vec![Message::user("b")]),
            LmRequest::new(vec![Message::system("a")]),
            LmRequest::new(vec![Message::user("a"), Message::assistant("")]),
            sampling(Sampling::default().with_temperature(0.0)),
            sampling(Sampling::default().with_top_p(0.0)),
            sampling(Sampling::default().with_max_tokens(0)),
            sampling(Sampling::default().with_stop(vec!["a".into()])),
            sampling(Sampling::default().with_seed(0)),
            request.clone().with_response_format(ResponseFormat::JsonObject),
            request.clone().with_response_format(schema("a")),
            request.clone().with_response_format(schema("b")),
            request.clone().with_n(2),
            request.clone().with_sample_index(1),
            sampling(Sampling::default().with_reasoning_effort("low")),
            sampling(Sampling::default().with_verbosity("low")),
            request.clone().with_tools(vec![tool("find", "a")]),
            request.clone().with_tools(vec![tool("find", "b")]),
            request.clone().with_tools(vec![tool("find", "a"), tool("buy", "a")]),
            request.clone().with_tools(vec![tool("buy", "a"), tool("find", "a")]),
            request.clone().with_tools(vec![tool("find", "a")]).with_tool_choice(ToolChoice::None),
            request.clone().with_tools(vec![tool("find", "a")]).with_parallel_tool_calls(false),
            request.clone().with_tools(vec![tool("find", "a")]).with_parallel_tool_calls(true),
            request.clone().with_logprobs(0),
            request.clone().with_extra("top_k", 1),
            shows(Image::of_bytes("image/png", b"a")),
            shows(Image::of_bytes("image/png", b"b")),
            shows(Image::of_bytes("image/gif", b"a")),
            calls(ToolCall::new("1", "find", "{}")),
            calls(ToolCall::new("2", "find", "{}")),
            calls(ToolCall::new("1", "find", "{ }")),
            LmRequest::new(vec![Message::tool_result("1", "a")]),
            LmRequest::new(vec![Message::tool_result("2", "a")]),
        ];
        let mut keys: Vec<_> = others.iter().map(|other| reply_key("m", other)).collect();
        keys.push(reply_key("m", &request));
        keys.push(reply_key("other", &request));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), others.len() + 2);
        assert_eq!(reply_key("m", &request.clone().with_n(0)), reply_key("m", &request));
    }

    /// A run directory that was made yesterday is to be found again tomorrow.
    #[test]
    fn keys_do_not_change_from_version_to_version() {
        let request = LmRequest::new(vec![Message::system("Be brief."), Message::user("a")]);
        let tool = ToolDefinition::new("find", "Finds.", json!({"type": "object"}));
        assert_eq!(reply_key("m", &request).to_string(), "19b6eddcf99cdd872e94c8a4716f9c70");
        assert_eq!(
            reply_key("m", &request.with_tools(vec![tool])).to_string(),
            "95c612fbd808f12a6b06e24d0e329667"
        );
    }
}
