//! The identity of a client: what its replies depend on, as one line.

use std::fmt::Write as _;

use serde_json::Value;

use crate::body::BodyTemplate;
use crate::endpoint::Endpoint;
use crate::secrets::Redactor;

/// Host and path, model, default sampling and extra parameters. The order of the extra parameters does
/// not show, so that the same settings from another file are the same client. A secret among their
/// values is masked; place and model are left alone, since masking could make two models one.
pub(crate) fn identity(endpoint: &Endpoint, template: &BodyTemplate, redactor: &Redactor) -> String {
    identity_at(endpoint.place(), template, redactor)
}

/// The same for a place in words of its own.
pub(crate) fn identity_at(place: &str, template: &BodyTemplate, redactor: &Redactor) -> String {
    let mut id = format!("{place} {}", template.model);
    let sampling = &template.sampling;
    // Writing to a string can not fail.
    if let Some(temperature) = sampling.temperature {
        let _ = write!(id, " temperature={temperature:?}");
    }
    if let Some(top_p) = sampling.top_p {
        let _ = write!(id, " top_p={top_p:?}");
    }
    if let Some(max_tokens) = sampling.max_tokens {
        let _ = write!(id, " max_tokens={max_tokens}");
    }
    if !sampling.stop.is_empty() {
        let _ = write!(id, " stop={}", Value::from(sampling.stop.clone()));
    }
    if let Some(seed) = sampling.seed {
        let _ = write!(id, " seed={seed}");
    }
    if !template.strict_schemas {
        id.push_str(" strict_schemas=false");
    }
    let mut extra: Vec<_> = template.extra.iter().collect();
    extra.sort_by(|a, b| a.0.cmp(b.0));
    for (name, value) in extra {
        let _ = write!(id, " {name}={}", redactor.redact(&sorted(value).to_string()));
    }
    id
}

/// `value` with the keys of every object in alphabetical order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> =
                fields.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use promptopt_core::Sampling;
    use serde_json::json;

    use super::*;
    use crate::MaxTokensField;

    fn id(base_url: &str, extra: Value) -> String {
        let template = BodyTemplate {
            model: "org/model".into(),
            sampling: Sampling { temperature: Some(1.0), stop: vec!["\n".into()], ..Sampling::default() },
            max_tokens_field: MaxTokensField::MaxTokens,
            strict_schemas: true,
            extra: extra.as_object().cloned().unwrap(),
        };
        identity(&Endpoint::parse(base_url).unwrap(), &template, &Redactor::new(["sk-canary"]))
    }

    #[test]
    fn an_identity_is_stable_and_without_secrets() {
        let extra = json!({"top_k": 5, "user": "sk-canary", "chat": {"b": 1, "a": [{"d": 1, "c": 2}]}});
        let same = json!({"chat": {"a": [{"c": 2, "d": 1}], "b": 1}, "top_k": 5, "user": "sk-canary"});
        let expected = "x.io/v1 org/model temperature=1.0 stop=[\"\\n\"] \
                        chat={\"a\":[{\"c\":2,\"d\":1}],\"b\":1} top_k=5 user=\"[redacted]\"";
        assert_eq!(id("https://ann:secret@x.io/v1/?key=secret", extra), expected);
        assert_eq!(id("https://x.io/v1", same), expected);
    }
}
