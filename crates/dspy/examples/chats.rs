//! Prints chats of a table of signatures, instructions and demos as JSON lines, to be compared with
//! those of DSPy: `cargo run -p promptopt-dspy --example chats`.

use std::io::Write as _;

use anyhow::Result;
use promptopt_core::data::Fields;
use promptopt_core::prompt::{Demo, Prompt};
use promptopt_core::signature::{Field, FieldType, Signature};
use promptopt_predict::{Adapter, ChatAdapter, JsonAdapter};
use serde_json::{Value, json};

/// Without tabs and without a common indentation, which DSPy takes out of every instruction before
/// an adapter sees it.
const INSTRUCTIONS: [&str; 7] = [
    "Answer the question.",
    "First line.\n\nSecond line after an empty one.\nThird.",
    "Rules:\n  - indented\n      - deeper\n  - back\nEnd.",
    "Quotes \" and ' and \\ and {braces} and `ticks`.",
    "Größe, 東京, 🦀: one\u{a0}line.\nSecond.",
    "Trailing spaces  \n\n\nthen a line, and \u{1}.",
    "# Heading\n\n```json\n{\n  \"a\": 1\n}\n```",
];

fn main() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (kind, values) in types()? {
        let signature = Signature::new(
            [
                Field::new("text").described("what was asked, in \"words\""),
                Field::new("extra").typed(kind.clone()),
            ],
            [Field::new("answer").typed(kind.clone()).described("the answer"), Field::new("note")],
            "",
        )?;
        for instruction in INSTRUCTIONS {
            for demos in demo_sets(&values) {
                for (index, value) in values.iter().enumerate() {
                    let inputs =
                        fields(json!({"text": format!("Line {index}\n\n  and \"more\" ß"), "extra": value}));
                    // As they are read from a file, where `augmented` is a mark and no field.
                    let demos: Vec<Demo> = serde_json::from_value(json!(demos))?;
                    let prompt = Prompt::new(instruction).with_demos(demos);
                    let case = json!({
                        "signature": signature,
                        "prompt": prompt,
                        "inputs": inputs,
                        "chat": ChatAdapter.chat(&signature, &prompt, &inputs),
                        "json": JsonAdapter.chat(&signature, &prompt, &inputs),
                    });
                    writeln!(out, "{case}")?;
                }
            }
        }
    }
    Ok(())
}

fn fields(value: Value) -> Fields {
    value.as_object().cloned().unwrap_or_default()
}

/// Every type with two of its values.
fn types() -> Result<Vec<(FieldType, [Value; 2])>> {
    let parse = |text: &str| FieldType::parse(text).map_err(anyhow::Error::msg);
    Ok(vec![
        (FieldType::String, [json!("plain"), json!("  two\nlines \u{2028} ß 🦀 ")]),
        (FieldType::Integer, [json!(7), json!(-9_007_199_254_740_993_i64)]),
        (FieldType::Float, [json!(0.1), json!(2.0)]),
        (FieldType::Bool, [json!(true), json!(false)]),
        (FieldType::literals(["yes", "no"]), [json!("yes"), json!("no")]),
        (FieldType::literals(["it's", "say \"hi\"", "ß"]), [json!("it's"), json!("say \"hi\"")]),
        (parse("list[str]")?, [json!(["a", "b\nc \"ß\""]), json!([])]),
        (parse("list[int]")?, [json!([1, -2]), json!([0])]),
        (parse("list[float]")?, [json!([1.0, 2.5]), json!([])]),
        (parse("list[bool]")?, [json!([true, false]), json!([])]),
        (parse("list[enum[x, y]]")?, [json!(["x"]), json!(["y", "x"])]),
        (parse("list[list[int]]")?, [json!([[1], []]), json!([[1, 2], [3]])]),
        (parse("object")?, [json!({"a": {"b": [1, null, true]}, "ß": "\n"}), json!({})]),
        (parse("list[object]")?, [json!([{"a": 1.5}]), json!([])]),
    ])
}

/// Demos: none, complete, without outputs, without inputs, with null, and all at once.
fn demo_sets([one, other]: &[Value; 2]) -> Vec<Vec<Fields>> {
    let complete =
        |value: &Value| fields(json!({"text": "t", "extra": value, "answer": value, "note": "n\nm"}));
    let no_note = fields(json!({"text": "t", "extra": one, "answer": other}));
    let no_extra = fields(json!({"text": "t", "answer": one}));
    let no_outputs = fields(json!({"text": "t", "extra": one}));
    let no_inputs = fields(json!({"answer": one, "note": "n"}));
    let null = fields(json!({"text": "t", "extra": one, "answer": one, "note": null}));
    let foreign =
        fields(json!({"text": "t", "extra": one, "answer": one, "note": "n", "augmented": true, "id": 3}));
    vec![
        vec![],
        vec![complete(one), complete(other)],
        vec![no_note.clone()],
        vec![no_extra.clone()],
        vec![no_outputs.clone(), no_inputs.clone()],
        vec![null.clone()],
        vec![foreign.clone()],
        vec![complete(one), no_note, no_extra, null, complete(other), no_outputs, no_inputs, foreign],
    ]
}
