//! The programs that are exchanged with DSPy; `tests/interop/check.py` has them in Python.

use anyhow::Result;
use promptopt_core::data::{ContentHash, Fields};
use promptopt_core::lm::ToolDefinition;
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_core::signature::{Field, FieldType, Signature};
use promptopt_dspy::{Layout, ReAct};
use serde_json::{Value, json};

/// A program with its prompts, and the name of its file.
pub(crate) struct Sample {
    /// Name of the file, without extension.
    pub(crate) name: &'static str,
    /// Its predictors.
    pub(crate) layout: Layout,
    /// Their prompts.
    pub(crate) prompts: Prompts,
}

/// An instruction of several lines, with what has to be escaped in JSON and what must not be. DSPy
/// itself turns tabs into spaces and drops a common indentation, so there is neither here.
const INSTRUCTION: &str = "Sort the ticket.\n\n1. Read \"all\" of it.\n   - also the \\ end\n2. Größe, 東京, 🦀, \u{7f} and \u{1} too.";

/// All samples.
pub(crate) fn samples() -> Result<Vec<Sample>> {
    let answer = Signature::parse("question -> answer")?;
    let typed = Signature::new(
        [
            Field::new("ticket").described("what the customer wrote"),
            Field::new("attempts").typed(FieldType::Integer),
        ],
        [
            Field::new("reasoning"),
            Field::new("department").typed(FieldType::literals(["billing", "it's"])).described("one of them"),
            Field::new("urgent").typed(FieldType::Bool),
            Field::new("confidence").typed(FieldType::Float),
            Field::new("tags").typed(FieldType::list(FieldType::String)),
            Field::new("details").typed(FieldType::parse("object").map_err(anyhow::Error::msg)?),
        ],
        "Route the ticket.",
    )?;
    let named = Signature::parse("camelCaseText, HTMLText, q1 -> text2number: int, my_Name, URL, x_1y2")?;
    let plan = Signature::parse("question -> reasoning, steps: list[str]")?;
    let follow = Signature::parse("question, steps: list[str] -> answer")?;

    let answers = vec![
        demo(json!({"question": "1 + 1?", "answer": "2"}), true),
        demo(json!({"question": "no answer"}), false),
        demo(json!({"question": "", "answer": "\u{1}\"\\\n\r\t\u{7f}\u{2028} ß 東京 🦀"}), false),
        demo(json!({"question": "null", "answer": null}), false),
    ];
    let routed = vec![
        demo(
            json!({"ticket": "I paid twice", "attempts": 3, "reasoning": "Money.\nSo billing.", "department": "billing",
                   "urgent": true, "confidence": 0.1, "tags": ["a", "b\nc"], "details": {"nested": {"deep": [1, 2.5, null]}}}),
            true,
        ),
        demo(
            json!({"ticket": "?", "attempts": -7, "department": "it's", "urgent": false, "confidence": 1e300,
                   "tags": [], "details": {}}),
            false,
        ),
    ];
    let steps = vec![demo(json!({"question": "q", "reasoning": "r", "steps": ["one", "two"]}), true)];
    let followed = vec![demo(json!({"question": "q", "steps": ["one"], "answer": "a"}), true)];

    let looks = Signature::parse("photo: image, doc: file, more: list[image], past: history -> answer")?;
    let png = "data:image/png;base64,iVBORw0KGgo=";
    let looked = vec![
        demo(
            json!({"photo": "https://example.org/größe.png", "doc": {"filename": "a \"ß\".pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
                   "more": [png, "https://example.org/b.png"], "past": [{"photo": png, "answer": "x"}, {"role": "user", "content": "hi"}],
                   "answer": "a"}),
            true,
        ),
        demo(
            json!({"photo": png, "doc": {"file_id": "file-1"}, "more": [], "past": [], "answer": "b"}),
            false,
        ),
    ];

    let desk = Signature::parse("question -> answer")?;
    let arguments = json!({"type": "object", "properties": {
        "query": {"type": "string"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null},
        "kind": {"enum": ["it's", "a \"b\""], "type": "string", "default": "it's"}}});
    let tools = [
        ToolDefinition::new("search", "Searches.\n    Slowly.", arguments),
        ToolDefinition::new("now", "", json!({"type": "object", "properties": {}})),
    ];
    let react = ReAct::new("", &desk, &tools);
    let trajectory = json!([
        {"thought": "Look it up.", "calls": [
            {"tool": "search", "arguments": {"query": "größe", "limit": 2}, "result": "two\nlines"},
            {"tool": "now", "arguments": {}, "result": {"hour": 7, "ok": [true, null]}}]},
        {"calls": [{"tool": "search", "arguments": "{\"broken", "result": "Error: not JSON"}]}]);
    let called = vec![
        demo(json!({"question": "How large?", "trajectory": trajectory, "answer": "2 m"}), true),
        demo(json!({"question": "Who?", "answer": "Ada"}), false),
    ];

    Ok(vec![
        Sample {
            name: "react",
            layout: Layout::new(react.predictors()?),
            prompts: react.prompts(&prompt(desk.instructions(), &called)).into_iter().collect(),
        },
        Sample {
            name: "shown",
            layout: Layout::new([("look", looks)]),
            prompts: [("look", prompt(INSTRUCTION, &looked))].into_iter().collect(),
        },
        Sample {
            name: "predict",
            layout: Layout::new([("answer", answer.clone())]),
            prompts: [("answer", prompt(INSTRUCTION, &answers))].into_iter().collect(),
        },
        Sample {
            name: "chain_of_thought",
            layout: Layout::new([("route", typed.clone())]),
            prompts: [("route", prompt(INSTRUCTION, &routed))].into_iter().collect(),
        },
        Sample {
            name: "two_predictors",
            layout: Layout::new([("plan", plan.clone()), ("answer", follow)]),
            prompts: [("plan", prompt(INSTRUCTION, &steps)), ("answer", prompt("Follow.", &followed))]
                .into_iter()
                .collect(),
        },
        Sample {
            name: "one_in_a_module",
            layout: Layout::module([("route", typed)]),
            prompts: [("route", prompt("Route.", &routed))].into_iter().collect(),
        },
        Sample {
            name: "collections",
            layout: Layout::new([
                ("steps[0]", answer.clone()),
                ("steps[1]", plan.clone()),
                ("tools['look up']", answer.clone()),
                ("tools['plan']", plan),
                ("inner.deep", answer),
            ]),
            prompts: [
                ("steps[0]", prompt("Zero.", &answers)),
                ("steps[1]", prompt("One.", &steps)),
                ("tools['look up']", prompt("Look up.", &[])),
                ("tools['plan']", prompt("Plan.", &steps)),
                ("inner.deep", prompt("Deep.", &answers)),
            ]
            .into_iter()
            .collect(),
        },
        Sample {
            name: "field_names",
            layout: Layout::new([("names", named)]),
            prompts: [("names", prompt("Names.", &[]))].into_iter().collect(),
        },
    ])
}

fn prompt(instruction: &str, demos: &[Demo]) -> Prompt {
    Prompt::new(instruction).with_demos(demos.to_vec())
}

/// Demos carry the mark of their source, which must not reach DSPy.
fn demo(fields: Value, augmented: bool) -> Demo {
    let fields: Fields = fields.as_object().cloned().unwrap_or_default();
    let source = augmented.then(|| ContentHash::of(&fields));
    let mut demo = Demo::new(fields).with_source(source);
    demo.augmented = augmented;
    demo
}
