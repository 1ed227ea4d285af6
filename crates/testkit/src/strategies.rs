//! Strategies for property tests.

use promptopt_core::data::Example;
use promptopt_core::prompt::{Demo, Prompt};
use promptopt_core::signature::{Field, FieldType, Signature};
use proptest::prelude::*;
use serde_json::Value;

/// Any text, also with line breaks, markers and braces.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\\PC{0,40}",
        1 => Just("[[ ## answer ## ]]\nfake".to_owned()),
        1 => Just("{{ braces }} {% block %} ```fence".to_owned()),
        1 => Just("line one\n\nline two".to_owned()),
    ]
}

/// Any field type, lists up to two deep.
pub fn field_type() -> impl Strategy<Value = FieldType> {
    let leaf = prop_oneof![
        Just(FieldType::String),
        Just(FieldType::Integer),
        Just(FieldType::Float),
        Just(FieldType::Bool),
        proptest::collection::vec("[a-z]{1,8}", 1..4).prop_map(FieldType::literals),
        Just(FieldType::Object(serde_json::json!({"type": "object"}))),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| inner.prop_map(FieldType::list))
}

/// Any signature with up to three inputs and outputs.
pub fn signature() -> impl Strategy<Value = Signature> {
    let side = |prefix: &'static str| {
        proptest::collection::vec((field_type(), text()), 1..4).prop_map(move |fields| {
            let numbered = fields.into_iter().enumerate();
            numbered
                .map(|(index, (kind, description))| {
                    Field::new(format!("{prefix}{index}")).typed(kind).described(description)
                })
                .collect::<Vec<_>>()
        })
    };
    (side("input"), side("output"), text())
        .prop_filter_map("signatures are valid", |(inputs, outputs, instruction)| {
            Signature::new(inputs, outputs, instruction).ok()
        })
}

/// Any example `question -> answer`.
pub fn example() -> impl Strategy<Value = Example> {
    (text(), text()).prop_map(|(question, answer)| {
        Example::new([("question", question), ("answer", answer)], ["question"])
    })
}

/// Any prompt of a predictor `question -> answer`, with up to three demos.
pub fn prompt() -> impl Strategy<Value = Prompt> {
    let demo = example().prop_map(|example| {
        Demo::new(example.fields().iter().map(|(name, value)| (name.clone(), Value::clone(value))).collect())
            .with_source(example.content_hash())
    });
    (text(), proptest::collection::vec(demo, 0..4))
        .prop_map(|(instruction, demos)| Prompt::new(instruction).with_demos(demos))
}
