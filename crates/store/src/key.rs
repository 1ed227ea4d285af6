//! What makes two calls the same call.

use promptopt_core::data::ContentHash;
use promptopt_core::lm::LmRequest;

/// The key of a call: model id, messages, every sampling parameter, response format, number of
/// completions and sample index. A hash, so nothing of a prompt can be read from it; and the model
/// id holds no key or token by contract.
pub fn reply_key(model: &str, request: &LmRequest) -> ContentHash {
    // Zero completions and one are the same request to a model.
    let n = request.n.max(1);
    ContentHash::of(&(
        "promptopt reply 1",
        model,
        &request.messages,
        &request.sampling,
        &request.response_format,
        n,
        request.sample_index,
    ))
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::{Message, ResponseFormat, Sampling};
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_changes_a_reply_changes_the_key() {
        let request = LmRequest::new(vec![Message::user("a")]);
        let sampling = |sampling| LmRequest { sampling, ..request.clone() };
        let schema = |name: &str| ResponseFormat::JsonSchema { name: name.into(), schema: json!({"a": 1}) };
        let others = [
            LmRequest::new(vec![Message::user("b")]),
            LmRequest::new(vec![Message::system("a")]),
            LmRequest::new(vec![Message::user("a"), Message::assistant("")]),
            sampling(Sampling { temperature: Some(0.0), ..Sampling::default() }),
            sampling(Sampling { top_p: Some(0.0), ..Sampling::default() }),
            sampling(Sampling { max_tokens: Some(0), ..Sampling::default() }),
            sampling(Sampling { stop: vec!["a".into()], ..Sampling::default() }),
            sampling(Sampling { seed: Some(0), ..Sampling::default() }),
            LmRequest { response_format: ResponseFormat::JsonObject, ..request.clone() },
            LmRequest { response_format: schema("a"), ..request.clone() },
            LmRequest { response_format: schema("b"), ..request.clone() },
            LmRequest { n: 2, ..request.clone() },
            LmRequest { sample_index: 1, ..request.clone() },
        ];
        let mut keys: Vec<_> = others.iter().map(|other| reply_key("m", other)).collect();
        keys.push(reply_key("m", &request));
        keys.push(reply_key("other", &request));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), others.len() + 2);
        assert_eq!(reply_key("m", &LmRequest { n: 0, ..request.clone() }), reply_key("m", &request));
    }
}
