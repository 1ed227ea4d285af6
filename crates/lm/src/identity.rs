//! The identity of a client: what its replies depend on, as one line.

use std::fmt::Write as _;

use promptopt_core::secret::Redactor;
use serde_json::Value;

use crate::body::BodyTemplate;

/// Place (host and path, or words of its own), model, default sampling and extra parameters. The order of the
/// extra parameters does not show, so that the same settings from another file are the same client. A secret
/// among their values is masked; place and model are left alone, since masking could make two models one.
pub(crate) fn identity(place: &str, template: &BodyTemplate, redactor: &Redactor) -> String {
    let mut id = format!("{place} {}", template.model);
    let sampling = &template.sampling;
    let parts = [
        ("temperature", sampling.temperature.map(|temperature| format!("{temperature:?}"))),
        ("top_p", sampling.top_p.map(|top_p| format!("{top_p:?}"))),
        ("max_tokens", sampling.max_tokens.map(|max_tokens| max_tokens.to_string())),
        ("stop", (!sampling.stop.is_empty()).then(|| Value::from(sampling.stop.clone()).to_string())),
        ("seed", sampling.seed.map(|seed| seed.to_string())),
        ("reasoning_effort", sampling.reasoning_effort.clone()),
        ("verbosity", sampling.verbosity.clone()),
        ("parallel_tool_calls", template.parallel_tool_calls.map(|may| may.to_string())),
        ("strict_schemas", (!template.strict_schemas).then(|| "false".to_owned())),
    ];
    for (name, value) in parts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        // Writing to a string can not fail.
        let _ = write!(id, " {name}={value}");
    }
    let mut extra = Value::Object(template.extra.clone());
    extra.sort_all_objects();
    for (name, value) in extra.as_object().into_iter().flatten() {
        let _ = write!(id, " {name}={}", redactor.redact(&value.to_string()));
    }
    id
}

#[cfg(test)]
mod tests {
    use promptopt_core::lm::Sampling;
    use serde_json::json;

    use super::*;
    use crate::MaxTokensField;
    use crate::endpoint::Endpoint;

    fn id(base_url: &str, extra: Value) -> String {
        let template = BodyTemplate {
            model: "org/model".into(),
            sampling: Sampling::default().with_temperature(1.0).with_stop(vec!["\n".into()]),
            max_tokens_field: MaxTokensField::MaxTokens,
            strict_schemas: true,
            parallel_tool_calls: None,
            extra: extra.as_object().cloned().unwrap(),
        };
        identity(Endpoint::parse(base_url).unwrap().place(), &template, &Redactor::new(["sk-canary".into()]))
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

    #[test]
    fn what_replies_depend_on_is_in_the_identity() {
        let sampling = Sampling::default().with_reasoning_effort("high").with_verbosity("low");
        let template = BodyTemplate {
            model: "m".into(),
            sampling,
            max_tokens_field: MaxTokensField::MaxTokens,
            strict_schemas: true,
            parallel_tool_calls: Some(false),
            extra: serde_json::Map::new(),
        };
        let expected = "x.io m reasoning_effort=high verbosity=low parallel_tool_calls=false";
        assert_eq!(identity("x.io", &template, &Redactor::default()), expected);
    }
}
