//! Requests for embeddings, as calls of a model: the body is the request's extra fields, the reply's text the answer.

use promptopt_core::lm::{LmError, LmReply, LmRequest};
use promptopt_core::money::Usage;
use serde_json::{Map, Value};

use crate::body::{check_size, unsent};
use crate::provider_error::ProviderError;
use crate::reply::{ReplyProblem, read_usage};

pub(super) fn write(model: &str, request: &LmRequest) -> Result<Vec<u8>, LmError> {
    let mut body: Map<String, Value> = Map::from_iter([("model".to_owned(), model.into())]);
    body.extend(request.extra.iter().map(|(name, value)| (name.clone(), value.clone())));
    let body = serde_json::to_vec(&body)
        .map_err(|error| unsent(format!("the request can not be written as JSON: {error}")))?;
    check_size(body.len())?;
    Ok(body)
}

pub(super) fn read(body: &[u8]) -> Result<LmReply, ReplyProblem> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| ReplyProblem::Malformed(error.to_string()))?;
    if !value.get("data").is_some_and(Value::is_array) {
        let failed = value.get("error").and_then(ProviderError::from_error).map(ReplyProblem::Failed);
        return Err(failed.unwrap_or_else(|| ReplyProblem::Malformed("it has no `data`".to_owned())));
    }
    let mut reply = LmReply::text(value.to_string(), read_usage(&value).unwrap_or(Usage::call(0, 0)));
    reply.model = value.get("model").and_then(Value::as_str).map(str::to_owned);
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::Message;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_is_what_the_program_sends_and_the_answer_comes_whole() {
        let request = LmRequest::new(vec![Message::user("tea")])
            .with_extra("input", json!(["tea"]))
            .with_extra("dimensions", 2);
        let body: Value = serde_json::from_slice(&write("e", &request).unwrap()).unwrap();
        assert_eq!(body, json!({"model": "e", "input": ["tea"], "dimensions": 2}));

        let answer = json!({"object": "list", "model": "e-1", "data": [{"index": 0, "embedding": [0.5, 1.0]}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3}});
        let reply = read(answer.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(reply.first_text()).unwrap(), answer);
        assert_eq!((reply.usage, reply.model.as_deref()), (Usage::call(3, 0), Some("e-1")));
        assert!(matches!(read(b"{}"), Err(ReplyProblem::Malformed(_))));
        assert!(matches!(read(br#"{"error": {"message": "no such model"}}"#), Err(ReplyProblem::Failed(_))));
    }
}
