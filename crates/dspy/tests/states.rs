//! States that DSPy 3.4.1 saved (the fixtures), states of our own, and what is wrong with others.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_core::data::{ContentHash, Fields};
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_core::signature::{Field, Signature};
use promptopt_dspy::{DspyProgram, Error, LONE, Layout, MAX_BYTES, Versions};
use proptest::prelude::*;
use serde_json::{Value, json};

const BOOTSTRAPPED: &str = include_str!("fixtures/bootstrapped.json");
const COLLECTIONS: &str = include_str!("fixtures/collections.json");
const CHAIN_OF_THOUGHT: &str = include_str!("fixtures/chain_of_thought.json");
const PREDICT: &str = include_str!("fixtures/predict.json");

fn signature(text: &str) -> Signature {
    Signature::parse(text).unwrap()
}

fn layout<const N: usize>(predictors: [(&str, &str); N]) -> Layout {
    Layout::new(predictors.map(|(path, text)| (path, signature(text))))
}

fn two() -> Layout {
    layout([
        ("plan", "question -> reasoning, steps: list[str]"),
        ("answer", "question, steps: list[str] -> answer"),
    ])
}

fn question() -> Layout {
    layout([("qa", "question -> answer")])
}

fn demo(fields: Value) -> Demo {
    Demo::new(fields.as_object().unwrap().clone())
}

/// The fixture of a lone predictor with one change.
fn changed(pointer: &str, value: Value) -> String {
    let mut state: Value = serde_json::from_str(PREDICT).unwrap();
    *state.pointer_mut(pointer).unwrap() = value;
    state.to_string()
}

fn reason(json: &str, layout: &Layout) -> String {
    DspyProgram::read(json).and_then(|program| program.prompts(layout)).unwrap_err().to_string()
}

#[test]
fn what_dspy_saved_comes_back_byte_for_byte() {
    for text in [BOOTSTRAPPED, COLLECTIONS, CHAIN_OF_THOUGHT, PREDICT] {
        assert_eq!(DspyProgram::read(text).unwrap().to_json(), text);
    }
}

#[test]
fn paths_are_those_of_dspy() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(DspyProgram::read(text).unwrap().paths(), expected);
    };
    check(PREDICT, &[LONE]);
    check(CHAIN_OF_THOUGHT, &["predict"]);
    check(BOOTSTRAPPED, &["plan.predict", "answer"]);
    check(
        COLLECTIONS,
        &["steps[0]", "steps[1].predict", "tools['look up']", "tools['plan'].predict", "inner.deep"],
    );
}

#[test]
fn demos_that_dspy_bootstrapped_are_read() {
    let program = DspyProgram::read(BOOTSTRAPPED).unwrap();
    assert_eq!(program.versions().unwrap().dspy, "3.4.1");
    let prompts = program.prompts(&two()).unwrap();
    let plan = prompts.get("plan").unwrap();
    assert_eq!(plan.instruction, "Given the fields `question`, produce the fields `steps`.");
    assert_eq!(plan.demos.iter().filter(|demo| demo.augmented).count(), 3);
    let first: Vec<&String> = plan.demos[0].fields.keys().collect();
    assert_eq!(first, ["question", "reasoning", "steps"]);
}

#[test]
fn a_lone_predictor_is_found_under_any_name() {
    let program = DspyProgram::read(PREDICT).unwrap();
    assert_eq!(program.prompts(&question()).unwrap().get("qa").unwrap().demos.len(), 4);
    let inside = DspyProgram::read(
        &json!({ "inner.qa": serde_json::from_str::<Value>(PREDICT).unwrap() }).to_string(),
    );
    assert!(inside.unwrap().prompts(&question()).is_ok());
}

#[test]
fn an_update_with_the_own_prompts_changes_nothing() {
    for (text, layout) in [(BOOTSTRAPPED, two()), (PREDICT, question())] {
        let mut program = DspyProgram::read(text).unwrap();
        let prompts = program.prompts(&layout).unwrap();
        program.update(&prompts, &layout).unwrap();
        assert_eq!(program.to_json(), text);
    }
}

#[test]
fn an_update_keeps_everything_but_instruction_and_demos() {
    let mut program = DspyProgram::read(BOOTSTRAPPED).unwrap();
    let mut prompts = Prompts::new();
    let demos = vec![demo(json!({"question": "q", "reasoning": "r", "steps": []}))];
    prompts.insert("plan", Prompt::new("Plan.").with_demos(demos));
    program.update(&prompts, &two()).unwrap();

    let mut expected: Value = serde_json::from_str(BOOTSTRAPPED).unwrap();
    expected["plan.predict"]["signature"]["instructions"] = json!("Plan.");
    expected["plan.predict"]["demos"] = json!([{"question": "q", "reasoning": "r", "steps": []}]);
    assert_eq!(program.to_json(), format!("{expected:#}\n"));
}

#[test]
fn a_failed_update_changes_nothing() {
    let mut program = DspyProgram::read(BOOTSTRAPPED).unwrap();
    let mut prompts = program.prompts(&two()).unwrap();
    prompts.insert("plan", Prompt::new("Changed."));
    prompts.insert("other", Prompt::new("Nobody's."));
    assert!(matches!(program.update(&prompts, &two()), Err(Error::UnknownPrompt { .. })));
    let wrong =
        layout([("plan", "question -> reasoning, steps: list[str]"), ("answer", "question -> answer")]);
    let prompts = [("plan", Prompt::new("Changed."))].into_iter().collect();
    assert!(matches!(program.update(&prompts, &wrong), Err(Error::FieldCount { .. })));
    assert_eq!(program.to_json(), BOOTSTRAPPED);
}

#[test]
fn a_new_state_is_as_dspy_writes_it() {
    let fields = [Field::new("page_text").described("the page"), Field::new("q1")];
    let signature = Signature::new(fields, [Field::new("answer")], "Basic.").unwrap();
    let answer = demo(json!({"page_text": "p", "answer": "ß"})).augmented().with_source(ContentHash::of("x"));
    let prompt = Prompt::new("Two\nlines.").with_demos(vec![answer]);
    let layout = Layout::new([("answer", signature)]);
    let written =
        |prompts: &Prompts| DspyProgram::from_prompts(prompts, &layout, &Versions::default()).unwrap();
    let program = written(&[("answer", prompt)].into_iter().collect());
    let expected = r#"{
  "traces": [],
  "train": [],
  "demos": [
    {
      "augmented": true,
      "page_text": "p",
      "answer": "ß"
    }
  ],
  "signature": {
    "instructions": "Two\nlines.",
    "fields": [
      {
        "prefix": "Page Text:",
        "description": "the page"
      },
      {
        "prefix": "Q 1:",
        "description": "${q1}"
      },
      {
        "prefix": "Answer:",
        "description": "${answer}"
      }
    ]
  },
  "lm": null,
  "metadata": {
    "dependency_versions": {
      "python": "3.12",
      "dspy": "3.4.1",
      "cloudpickle": "3.1"
    }
  }
}
"#;
    assert_eq!(program.to_json(), expected);
    let basic = written(&Prompts::new()).prompts(&layout).unwrap();
    assert_eq!(basic.get("answer"), Some(&Prompt::new("Basic.")));
}

#[test]
fn files_that_are_no_states_are_refused() {
    let check = |json: &str, part: &str| {
        let error = reason(json, &question());
        assert!(error.contains(part), "{error}");
    };
    check("", "not readable JSON");
    for depth in [200, 100_000] {
        check(&"[".repeat(depth), "not readable JSON");
        check(&("[".repeat(depth) + &"]".repeat(depth)), "not readable JSON");
        check(&("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)), "not readable JSON");
    }
    check("[]", "the whole file is a list, but an object is expected");
    check("{}", "no predictor was found");
    check(r#"{"metadata": {"demos": []}}"#, "no predictor was found");
    check(&changed("/demos", json!(null)), "the key `demos` is null, but a list is expected");
    check(&changed("/demos/1", json!(3)), "an item of the key `demos` is a number");
    check(&changed("/signature/fields", json!({})), "`signature.fields` is an object");
    check(&changed("/signature/instructions", json!(1)), "`signature.instructions` is a number");
    check(r#"{"a": {"demos": []}}"#, "the key `signature` of the predictor `a` is missing");
    let large = " ".repeat(MAX_BYTES + 1);
    assert!(matches!(DspyProgram::read(&large), Err(Error::TooLarge { .. })));
}

#[test]
fn a_state_of_another_program_says_what_is_different() {
    let check = |text: &str, layout: Layout, part: &str| {
        let error = reason(text, &layout);
        assert!(error.contains(part), "{error}");
    };
    check(BOOTSTRAPPED, question(), "`qa` is not in the program state, which has `plan.predict`, `answer`");
    check(
        BOOTSTRAPPED,
        layout([("answer", "question, steps: list[str] -> answer")]),
        "also has `plan.predict`",
    );
    check(PREDICT, layout([("qa", "question, hint -> answer")]), "has 2 fields in the program state and 3");
    check(
        PREDICT,
        layout([("qa", "question -> reasoning, answer")]),
        "(question, reasoning, answer): in the program it reasons first",
    );
    check(CHAIN_OF_THOUGHT, layout([("route", "ticket -> department")]), "in the file it reasons first");
    check(
        PREDICT,
        layout([("qa", "answer -> question")]),
        "field 1 of the predictor `qa` is `question` in the program state and `answer`",
    );
    check(
        PREDICT,
        layout([("qa", "question -> answer: int")]),
        "demo 3 of the predictor `qa` has a text in the field `answer`, whose type is int",
    );
    check(
        BOOTSTRAPPED,
        two().at("answer", "plan.predict").at("plan", "plan.predict"),
        "another predictor is there",
    );
}

#[test]
fn programs_that_python_cannot_have_are_not_written() {
    let written = |layout: Layout| DspyProgram::from_prompts(&Prompts::new(), &layout, &Versions::default());
    let odd = || layout([("my-plan", "q -> a"), ("b", "q -> a")]);
    assert!(matches!(written(odd()), Err(Error::Path { predictor, .. }) if predictor == "my-plan"));
    assert_eq!(written(odd().at("my-plan", "my_plan")).unwrap().paths(), ["my_plan", "b"]);
    assert!(matches!(written(Layout::default()), Err(Error::NoPredictors)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_demo() -> impl Strategy<Value = Demo> {
    let extra = any::<String>().prop_filter("ours", |name| name != "augmented" && name != "promptopt_source");
    let fields = proptest::collection::vec(
        (prop_oneof![Just("q".to_owned()), Just("a".to_owned()), extra], any_json()),
        0..4,
    );
    (fields, any::<bool>()).prop_map(|(fields, augmented)| {
        let mut demo = Demo::new(fields.into_iter().collect::<Fields>());
        demo.augmented = augmented;
        demo
    })
}

fn any_prompt() -> impl Strategy<Value = Prompt> {
    (any::<String>(), proptest::collection::vec(any_demo(), 0..4))
        .prop_map(|(instruction, demos)| Prompt::new(instruction).with_demos(demos))
}

/// A program of one to four predictors, each plain or with reasoning, at paths of every form.
fn any_program() -> impl Strategy<Value = (Layout, Prompts)> {
    let path =
        prop_oneof!["[a-z]{1,4}", "[a-z]{1,3}\\.[a-z]{1,3}", "xs\\[[0-9]\\]", "d\\['[a-z .\"ß]{0,4}'\\]"]
            .prop_filter("reserved", |path| path != "metadata" && path != LONE);
    proptest::collection::btree_map(path, (any::<bool>(), any_prompt()), 1..5).prop_map(|predictors| {
        let text = |reasons: bool| if reasons { "q -> reasoning, a" } else { "q -> a" };
        let signatures =
            predictors.iter().map(|(path, (reasons, _))| (path.as_str(), signature(text(*reasons))));
        let prompts = predictors.iter().map(|(path, (_, prompt))| (path.as_str(), prompt.clone()));
        (Layout::new(signatures), prompts.collect())
    })
}

proptest! {
    #[test]
    fn prompts_survive_a_state((layout, prompts) in any_program()) {
        let program = DspyProgram::from_prompts(&prompts, &layout, &Versions::default()).unwrap();
        prop_assert_eq!(program.versions(), Some(Versions::default()));
        let written = program.to_json();
        let read = DspyProgram::read(&written).unwrap();
        prop_assert_eq!(&read, &program);
        prop_assert_eq!(read.prompts(&layout).unwrap(), prompts);
        prop_assert_eq!(read.to_json(), written);
    }

    #[test]
    fn unknown_keys_survive(
        (layout, prompts) in any_program(),
        (key, value) in ("x_[a-z]{1,5}", any_json()),
        prompt in any_prompt(),
    ) {
        let is_predictor = value.get("demos").is_some() || value.get("signature").is_some();
        prop_assume!(!is_predictor);
        let program = DspyProgram::from_prompts(&prompts, &layout, &Versions::default()).unwrap();
        let mut state: Value = serde_json::from_str(&program.to_json()).unwrap();
        let pointer = match program.paths()[0] {
            LONE => String::new(),
            path => format!("/{path}"),
        };
        for object in [String::new(), pointer, "/metadata".to_owned()] {
            state.pointer_mut(&object).unwrap()[&key] = value.clone();
        }
        let text = format!("{state:#}\n");
        let mut read = DspyProgram::read(&text).unwrap();
        prop_assert_eq!(read.to_json(), text);

        let (path, _) = prompts.iter().next().unwrap();
        let mut others = prompts.clone();
        others.insert(path, prompt);
        read.update(&others, &layout).unwrap();
        prop_assert_eq!(read.prompts(&layout).unwrap(), others);
        read.update(&prompts, &layout).unwrap();
        prop_assert_eq!(read.prompts(&layout).unwrap(), prompts);
        let kept = read.to_json().matches(&format!("\"{key}\": ")).count();
        let places = if read.paths()[0] == LONE { 2 } else { 3 };
        prop_assert!(kept >= places, "{} of {}", kept, places);
    }

    #[test]
    fn arbitrary_json_never_panics(text in any::<String>(), value in any_json(), path in "[a-z'.\\[\\]0-9]{0,6}") {
        let _ = DspyProgram::read(&text);
        let layout = Layout::new([(path.as_str(), signature("q -> a")), ("b", signature("q -> a"))]);
        let _ = DspyProgram::from_prompts(&Prompts::new(), &layout, &Versions::default());
        for pointer in ["/demos", "/demos/0", "/signature", "/signature/fields", "/signature/fields/0", "/metadata"] {
            if let Ok(program) = DspyProgram::read(&changed(pointer, value.clone())) {
                let _ = program.prompts(&question());
                let _ = program.versions();
            }
        }
    }
}

/// A `ChainOfThought` as DSPy 2.5 saves it: its optimizers write to `extended_signature`, which is what it runs on.
fn of_2_5() -> Value {
    let signature = |instructions: &str| {
        json!({"instructions": instructions, "fields": [
            {"prefix": "Question:", "description": "${question}"},
            {"prefix": "Reasoning: Let's think step by step in order to", "description": "${reasoning}"},
            {"prefix": "Answer:", "description": "${answer}"},
        ]})
    };
    json!({
        "lm": null, "traces": [], "train": [],
        "demos": [{"augmented": true, "question": "q", "reasoning": "r", "answer": "a"}],
        "signature": signature("OLD"), "extended_signature": signature("OPTIMIZED"),
    })
}

/// The same as DSPy 2.4 saves it.
fn of_2_4() -> Value {
    json!({
        "lm": null, "traces": [], "train": [],
        "demos": [{"augmented": true, "question": "q", "rationale": "r", "answer": "a"}, {"question": "q2", "answer": "a2"}],
        "signature_instructions": "OLD", "signature_prefix": "Answer:",
        "extended_signature_instructions": "OPTIMIZED", "extended_signature_prefix": "Answer:",
    })
}

fn thinking() -> Layout {
    layout([("qa", "question -> reasoning, answer")])
}

#[test]
fn states_of_older_versions_are_read_as_they_are_in_force() {
    for state in [of_2_5(), of_2_4()] {
        // Alone, as it is called by hand, in the attribute of a module, and flat.
        for file in [
            json!({"self": state}),
            json!({"_predict": state}),
            json!({"qa": state}),
            json!({"qa._predict": state}),
            state.clone(),
        ] {
            let program = DspyProgram::read(&file.to_string()).unwrap();
            let prompts = program.prompts(&thinking()).unwrap();
            let prompt = prompts.get("qa").unwrap();
            assert_eq!(prompt.instruction, "OPTIMIZED", "{file:#}");
            assert!(prompt.demos[0].augmented);
            assert_eq!(
                Value::Object(prompt.demos[0].fields.clone()),
                json!({"question": "q", "reasoning": "r", "answer": "a"})
            );
        }
    }
    // Without the one of a `ChainOfThought` the plain one is in force.
    for (mut state, key) in [(of_2_5(), "extended_signature"), (of_2_4(), "extended_signature_instructions")]
    {
        state.as_object_mut().unwrap().shift_remove(key);
        let program = DspyProgram::read(&json!({"qa": state}).to_string()).unwrap();
        assert_eq!(program.prompts(&thinking()).unwrap().get("qa").unwrap().instruction, "OLD");
    }
    let mut broken = of_2_5();
    broken["extended_signature"] = json!("text");
    let error = reason(&json!({"qa": broken}).to_string(), &thinking());
    assert!(error.contains("the key `extended_signature` of the predictor `qa` is a text"), "{error}");
}

/// Each was saved by that version itself, after its optimizer's place for an instruction was set.
#[test]
fn what_older_versions_saved_themselves_is_read() {
    for file in [include_str!("fixtures/saved_by_2.4.17.json"), include_str!("fixtures/saved_by_2.5.43.json")]
    {
        let prompts = DspyProgram::read(file).unwrap().prompts(&thinking()).unwrap();
        let prompt = prompts.get("qa").unwrap();
        assert_eq!(prompt.instruction, "Answer in one word.");
        assert_eq!(prompt.demos[0].fields.get("reasoning"), Some(&json!("It says so.")));
    }
}

#[test]
fn an_update_of_an_older_state_is_in_force_in_its_version() {
    for (state, places) in [
        (of_2_5(), ["/self/signature/instructions", "/self/extended_signature/instructions"]),
        (of_2_4(), ["/self/signature_instructions", "/self/extended_signature_instructions"]),
    ] {
        let file = json!({ "self": state });
        let mut program = DspyProgram::read(&file.to_string()).unwrap();
        let same = program.prompts(&thinking()).unwrap();
        program.update(&same, &thinking()).unwrap();
        let mut expected = file.clone();
        for place in places {
            *expected.pointer_mut(place).unwrap() = json!("OPTIMIZED");
        }
        assert_eq!(program.to_json(), format!("{expected:#}\n"));
        let demos = vec![demo(json!({"question": "n", "reasoning": "because", "answer": "m"})).augmented()];
        let prompts = [("qa", Prompt::new("NEW").with_demos(demos))].into_iter().collect();
        program.update(&prompts, &thinking()).unwrap();
        let written: Value = serde_json::from_str(&program.to_json()).unwrap();
        for place in places {
            assert_eq!(written.pointer(place), Some(&json!("NEW")));
        }
        let name = if file.pointer("/self/demos/0/rationale").is_some() { "rationale" } else { "reasoning" };
        assert_eq!(
            written["self"]["demos"],
            json!([{"augmented": true, "question": "n", name: "because", "answer": "m"}])
        );
    }
}

#[test]
fn fields_may_have_the_names_of_marks() {
    let layout = layout([("qa", "augmented, promptopt_source: bool -> metadata, demos: int")]);
    let fields = json!({"augmented": "text", "promptopt_source": true, "metadata": "m", "demos": 3});
    let prompts: Prompts =
        [("qa", Prompt::new("Do.").with_demos(vec![demo(fields.clone())]))].into_iter().collect();
    let program = DspyProgram::from_prompts(&prompts, &layout, &Versions::default()).unwrap();
    let back = DspyProgram::read(&program.to_json()).unwrap();
    assert_eq!(back.prompts(&layout).unwrap(), prompts);
    // A demo that a run made loses its mark where a field has that name, and nothing else.
    let ran = [("qa", Prompt::new("Do.").with_demos(vec![demo(fields).augmented()]))].into_iter().collect();
    let program = DspyProgram::from_prompts(&ran, &layout, &Versions::default()).unwrap();
    assert_eq!(program.prompts(&layout).unwrap(), prompts);
}

#[test]
fn values_of_demos_are_read_by_their_types() {
    let described = |demos: Value| {
        let mut state: Value = serde_json::from_str(PREDICT).unwrap();
        state["demos"] = demos;
        state["signature"]["fields"] = json!([{"prefix": "Q:", "description": "the question"}, {"prefix": "A:", "description": "the answer"}]);
        state.to_string()
    };
    let rated = layout([("qa", "question -> stars: enum[1, 2, 3]")]);
    let numbers = described(json!([{"question": "q", "stars": 3}, {"question": 7, "stars": "2.0"}]));
    let program = DspyProgram::read(&numbers).unwrap();
    let prompts = program.prompts(&rated).unwrap();
    let read: Vec<&Value> =
        prompts.get("qa").unwrap().demos.iter().map(|demo| &demo.fields["stars"]).collect();
    assert_eq!(read, ["3", "2"]);
    // What means the same stays as it is in the file.
    let mut updated = program.clone();
    updated.update(&prompts, &rated).unwrap();
    assert_eq!(updated, program);
    let error = reason(&described(json!([{"question": "q", "stars": 4}])), &rated);
    assert!(error.contains("demo 1 of the predictor `qa` has a number in the field `stars`, whose type is enum[1, 2, 3]: it holds `4`"), "{error}");
}
