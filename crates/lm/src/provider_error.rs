//! Reads the many shapes in which providers say what went wrong.

use serde_json::Value;

/// What a provider said about a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProviderError {
    /// The message, as it came; empty when there was none.
    pub(crate) message: String,
    /// Every code, type and status by which the provider names the failure, in lower case.
    pub(crate) labels: Vec<String>,
    /// The parameter that the provider objects to.
    pub(crate) param: String,
    /// An HTTP status given inside the body.
    pub(crate) status: Option<u16>,
}

impl ProviderError {
    /// Reads the body of a reply with an error status.
    ///
    /// Known shapes: `{"error": {…}}` (OpenAI and most others), the same in an array (Google),
    /// `{"error": "…"}` (Ollama), `{"message": …}` (Mistral, vLLM), `{"detail": …}` (FastAPI servers).
    pub(crate) fn from_body(body: &Value) -> Option<Self> {
        let body = body.get(0).unwrap_or(body);
        match body.get("error") {
            Some(error) if !error.is_null() => Some(Self::read(error)),
            _ => ["message", "detail", "msg"]
                .iter()
                .any(|name| body.get(name).is_some_and(|value| !value.is_null()))
                .then(|| Self::read(body)),
        }
    }

    /// Reads an error object that came inside a reply with status 200, as gateways send it.
    pub(crate) fn from_error(error: &Value) -> Option<Self> {
        (!error.is_null()).then(|| Self::read(error))
    }

    /// Whether the provider names the failure by one of these codes.
    pub(crate) fn has_label(&self, labels: &[&str]) -> bool {
        self.labels.iter().any(|label| labels.contains(&label.as_str()))
    }

    fn read(error: &Value) -> Self {
        let mut labels = Vec::new();
        let mut status = None;
        for value in ["/code", "/type", "/status", "/innererror/code", "/metadata/error_type"]
            .iter()
            .filter_map(|path| error.pointer(path))
        {
            match value {
                Value::String(label) if !label.is_empty() => labels.push(label.to_lowercase()),
                Value::Number(number) => {
                    let code = number.as_u64().and_then(|code| u16::try_from(code).ok());
                    status = status.or(code.filter(|code| (400..600).contains(code)));
                }
                _ => {}
            }
        }
        // OpenRouter marks what its moderation flagged by this field alone.
        if error.pointer("/metadata/flagged_input").is_some() {
            labels.push("content_filter".to_owned());
        }
        let mut message = ["message", "detail", "msg", "error"]
            .iter()
            .filter_map(|name| error.get(name))
            .map(words)
            .find(|words| !words.is_empty())
            .or_else(|| error.as_str().map(str::to_owned))
            .unwrap_or_default();
        // Gateways put the words of the provider behind them here.
        if let Some(raw) = error.pointer("/metadata/raw").map(words).filter(|raw| !raw.is_empty()) {
            message = format!("{message}: {raw}");
        }
        if message.is_empty() {
            message = labels.first().cloned().unwrap_or_default();
        }
        let param = error.get("param").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { message, labels, param, status }
    }
}

/// The words in a message: a text, a list of texts, or FastAPI's list of places and reasons.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            let reason = ["msg", "message", "detail"].iter().find_map(|name| fields.get(*name));
            let reason = reason.map(words).unwrap_or_default();
            let place = fields.get("loc").and_then(Value::as_array).map(|loc| {
                loc.iter()
                    .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join(".")
            });
            match place {
                Some(place) => format!("{place}: {reason}"),
                None => reason,
            }
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(body: Value, message: &str, labels: &[&str]) {
        let error = ProviderError::from_body(&body).unwrap();
        assert_eq!(error.message, message, "{body}");
        assert_eq!(error.labels, labels, "{body}");
    }

    #[test]
    fn the_words_are_found_in_every_known_shape() {
        check(
            json!({"error": {"message": "No.", "type": "invalid_request_error", "code": "bad"}}),
            "No.",
            &["bad", "invalid_request_error"],
        );
        check(
            json!([{"error": {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED"}}]),
            "Slow.",
            &["resource_exhausted"],
        );
        check(json!({"error": "model not found"}), "model not found", &[]);
        check(json!({"object": "error", "message": "Too big", "code": 400}), "Too big", &[]);
        check(json!({"detail": "Not Found"}), "Not Found", &[]);
        check(
            json!({"detail": [{"loc": ["body", "n", 0], "msg": "must be 1"}, {"msg": "x"}]}),
            "body.n.0: must be 1; x",
            &[],
        );
        check(json!({"error": {"code": "overloaded"}}), "overloaded", &["overloaded"]);
        check(json!({"message": {"detail": [{"loc": ["body"], "msg": "x"}]}}), "body: x", &[]);
        check(
            json!({"error": {"message": "Provider error", "metadata": {"raw": "busy"}}}),
            "Provider error: busy",
            &[],
        );
    }

    #[test]
    fn a_status_inside_the_body_is_read() {
        let error = ProviderError::from_error(&json!({"code": 502, "message": "down"})).unwrap();
        assert_eq!(error.status, Some(502));
        assert_eq!(ProviderError::from_error(&json!({"code": 7})).unwrap().status, None);
        assert_eq!(ProviderError::from_error(&Value::Null), None);
    }

    #[test]
    fn a_body_without_an_error_is_none() {
        for body in [json!({}), json!([]), json!(1), json!({"error": null}), json!({"choices": []})] {
            assert_eq!(ProviderError::from_body(&body), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_json_is_read_without_panic(text in "[\\[\\]{}:,\"a-z0-9 ]{0,60}", message in any::<String>()) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                ProviderError::from_body(&value);
            }
            let body = json!({"error": {"message": message}});
            prop_assert_eq!(ProviderError::from_body(&body).unwrap().message, message);
        }
    }
}
