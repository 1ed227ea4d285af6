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
    for (signature, demos, inputs) in shown()? {
        let prompt = Prompt::new("Look at it.").with_demos(demos.into_iter().map(Demo::new).collect());
        writeln!(out, "{}", case(&signature, &prompt, &inputs))?;
    }
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
                    writeln!(out, "{}", case(&signature, &prompt, &inputs))?;
                }
            }
        }
    }
    Ok(())
}

fn case(signature: &Signature, prompt: &Prompt, inputs: &Fields) -> Value {
    json!({
        "signature": signature,
        "prompt": prompt,
        "inputs": inputs,
        "chat": ChatAdapter.chat(signature, prompt, inputs),
        "json": JsonAdapter.chat(signature, prompt, inputs),
    })
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
        (parse("optional[int]")?, [json!(7), json!(null)]),
        (parse("optional[str]")?, [json!("some"), json!(null)]),
        (parse("int | str")?, [json!(7), json!("seven")]),
        (parse("int | list[str] | none")?, [json!(["a"]), json!(null)]),
        (parse("date")?, [json!("2026-11-27"), json!("0001-01-01")]),
        (parse("datetime")?, [json!("2026-11-27T10:30:00"), json!("2026-11-27T10:30:00+01:00")]),
        (parse("date | int")?, [json!("2026-11-27"), json!(7)]),
    ])
}

/// Images, files and histories, with demos that hold them, too.
fn shown() -> Result<Vec<(Signature, Vec<Fields>, Fields)>> {
    let image = |n: u8| json!(format!("data:image/png;base64,{}", "iVBORw0KGgo=".repeat(usize::from(n) + 1)));
    let far = json!("https://example.org/größe.png?a=1&b=2");
    let file = json!({"filename": "a \"b\" ß.pdf", "file_data": "data:application/pdf;base64,JVBERi0="});
    let kept = json!({"file_id": "file-1"});
    let turns = json!([
        {"text": "first\n", "answer": "a", "note": "n"},
        {"text": "  no note", "answer": "b"},
        {"answer": "only out", "note": null},
        {"text": "only in"},
    ]);
    let seen = json!([{"text": "look", "extra": image(3), "answer": "a", "note": "n"}]);
    let mut cases = Vec::new();
    for (kind, one, other) in [
        ("image", image(0), far.clone()),
        ("file", file.clone(), kept.clone()),
        ("list[image]", json!([image(0), far, image(1)]), json!([])),
        ("list[file]", json!([kept, file]), json!([])),
        ("optional[image]", image(0), json!(null)),
        ("image | str", image(0), json!("no image [[ here")),
        ("history", turns.clone(), json!([])),
    ] {
        let inputs = |value: &Value| fields(json!({"text": "t \u{2028} ", "extra": value}));
        let whole = fields(json!({"text": "t", "extra": one, "answer": "a\n", "note": "n"}));
        let partial = fields(json!({"extra": other, "answer": "a"}));
        for order in [
            "text, extra: KIND -> answer, note",
            "extra: KIND, text -> answer, note",
            "extra: KIND -> answer, note",
        ] {
            let signature = Signature::parse(&order.replace("KIND", kind))?;
            for demos in [vec![], vec![whole.clone()], vec![partial.clone(), whole.clone()]] {
                cases.push((signature.clone(), demos.clone(), inputs(&one)));
                cases.push((signature.clone(), demos, inputs(&other)));
            }
        }
    }
    let signature = Signature::parse("text, past: history, extra: image -> answer, note")?;
    for past in [turns, seen] {
        let inputs = json!({"text": "now", "past": past, "extra": image(4)});
        let mut demo = fields(inputs.clone());
        demo.extend(fields(json!({"answer": "a", "note": "n"})));
        cases.push((signature.clone(), vec![], fields(inputs.clone())));
        cases.push((signature.clone(), vec![demo], fields(inputs)));
    }
    Ok(cases)
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
