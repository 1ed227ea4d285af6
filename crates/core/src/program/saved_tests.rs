//! Saved programs: what is drift and what is none.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::data::{Fields, Prediction};
use crate::program::{CallContext, LivePrompts, ModuleExt as _, Predictor};
use crate::prompt::{Demo, Prompt};
use crate::signature::{Field, FieldType, Signature};

#[derive(Clone)]
struct Part(String, Signature, Prompt);

impl Predictor for Part {
    fn path(&self) -> &str {
        &self.0
    }

    fn signature(&self) -> &Signature {
        &self.1
    }

    fn prompt(&self) -> &Prompt {
        &self.2
    }

    fn set_prompt(&mut self, prompt: Prompt) {
        self.2 = prompt;
    }
}

#[derive(Clone)]
struct Parts(Vec<Part>);

#[async_trait]
impl Module for Parts {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        self.0.iter().map(|part| part as &dyn Predictor).collect()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        self.0.iter_mut().map(|part| part as &mut dyn Predictor).collect()
    }

    async fn run(&self, _: &CallContext, _: &Fields) -> anyhow::Result<Prediction> {
        Ok(Prediction::default())
    }
}

fn parts(signatures: &[(&str, &str)]) -> Parts {
    let part = |(path, text): &(&str, &str)| {
        let signature = Signature::parse(text).unwrap();
        Part((*path).to_owned(), signature, Prompt::new("Do it."))
    };
    Parts(signatures.iter().map(part).collect())
}

/// A program that was saved with one instruction for each predictor, as a file has it.
fn saved(signatures: &[(&str, &str)]) -> Program {
    let mut module = parts(signatures);
    module.0.iter_mut().for_each(|part| part.2 = Prompt::new(format!("Optimized {}.", part.0)));
    let text = serde_json::to_string(&Program::of(&module)).unwrap();
    Program::parse(&text).unwrap()
}

fn check(was: &[(&str, &str)], is: &[(&str, &str)], says: &[&str]) {
    let mut module = parts(is);
    let result = module.install_checked(&saved(was));
    let is_installed = module.0.iter().all(|part| part.2.instruction.starts_with("Optimized"));
    match result {
        Ok(()) => assert!(says.is_empty() && is_installed, "{was:?} fits {is:?}"),
        Err(error) => {
            let text = error.to_string();
            assert!(!says.is_empty() && says.iter().all(|part| text.contains(part)), "{text}");
            assert!(text.contains("Optimize the program again"), "{text}");
            assert!(module.0.iter().all(|part| part.2.instruction == "Do it."), "something was installed");
        }
    }
}

#[test]
fn whatever_changes_the_meaning_is_drift_and_is_named_with_both_sides() {
    let was = &[("route", "ticket, priority: int -> department: enum[billing, sales]")];
    check(was, was, &[]);
    check(was, &[("route", "priority: int, ticket -> department: enum[sales, billing]")], &[]);
    check(
        was,
        &[("route", "ticket, priority: int -> team: enum[billing, sales]")],
        &["predictor `route`: the field `department` of the file is `team` in the program"],
    );
    check(
        was,
        &[("route", "ticket, priority: int -> department: enum[billing, sales, returns]")],
        &[
            "`department` is enum[billing, sales] in the file and enum[billing, sales, returns] in the program",
        ],
    );
    check(
        was,
        &[("route", "ticket, priority: str -> department: enum[billing, sales]")],
        &["`priority` is int in the file and str in the program"],
    );
    check(
        was,
        &[("route", "ticket -> department: enum[billing, sales], priority: int")],
        &["the file has the input `priority: int`", "the program has the output `priority: int`"],
    );
    check(
        was,
        &[("route", "ticket, priority: int, seen: bool? -> department: enum[billing, sales]")],
        &["the program has the input `seen: optional[bool]`, which the file does not have"],
    );
    check(
        was,
        &[("send", "ticket, priority: int -> department: enum[billing, sales]")],
        &["the file has the predictor `route`", "the program has the predictor `send`"],
    );
    check(was, &[was[0], ("check", "department -> ok: bool")], &["the program has the predictor `check`"]);
    check(&[was[0], ("check", "a -> b")], was, &["the file has the predictor `check`"]);
}

#[test]
fn words_for_people_are_no_drift_and_schemas_are_compared() {
    let object = |schema: Value| {
        let field = Field::new("out").typed(FieldType::list(FieldType::Object(schema))).described("x");
        Parts(vec![Part(
            "p".into(),
            Signature::new([Field::new("a").described("words")], [field], "Say.").unwrap(),
            Prompt::new("x"),
        )])
    };
    let schema = |kind: &str, words: &str| {
        json!({"type": "object", "description": words, "required": ["a", "b"],
               "properties": {"a": {"type": kind, "title": words}, "description": {"type": "string"}}})
    };
    let file = Program::of(&object(schema("string", "one")));
    let mut reordered = schema("string", "two");
    reordered["required"] = json!(["b", "a"]);
    assert_eq!(file.drifts(&object(reordered)), []);
    let error = file.fitted_to(&object(schema("integer", "one"))).unwrap_err().to_string();
    assert!(error.contains("`out` is list[object] with the schema") && error.contains("integer"), "{error}");
}

#[test]
fn older_files_are_checked_as_far_as_that_goes() {
    let mut file = json!({"promptopt": "0.1.0", "task": "t", "model": "m", "outcome": {"much": "more"},
                      "prompts": {"route": {"instruction": "Optimized.", "demos": [{"ticket": "a", "department": "x"}]}}});
    let load = |file: &Value| Program::parse(&file.to_string()).unwrap();
    let mut module = parts(&[("route", "ticket -> department")]);
    module.install_checked(&load(&file)).unwrap();
    assert_eq!(module.0[0].2.demos.len(), 1);
    let mut renamed = parts(&[("route", "ticket -> team")]);
    let error = renamed.install_checked(&load(&file)).unwrap_err().to_string();
    assert!(
        error.contains("`route`") && error.contains("`team`") && error.contains("`department`"),
        "{error}"
    );
    let mut more = parts(&[("route", "ticket -> department"), ("check", "a -> b")]);
    assert!(matches!(more.install_checked(&load(&file)), Err(Error::Drift { .. })));
    file["format"] = 99.into();
    let error = Program::parse(&file.to_string()).unwrap_err();
    assert!(error.contains("the format 99") && error.contains("update"), "{error}");
}

#[test]
fn what_is_no_program_is_said() {
    let folder = std::env::temp_dir().join(format!("promptopt-core-saved-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("program.json");
    let load = || Program::load(&path).unwrap_err().to_string();
    assert!(load().contains("program.json"), "{}", load());
    fs::write(&path, r#"{"route": {"instruction": "x"}}"#).unwrap();
    assert!(load().contains("missing field `prompts`") && load().contains("plain prompts"), "{}", load());
    let module = parts(&[("route", "ticket -> department: enum[a, b]")]);
    module.save(&path).unwrap();
    assert_eq!(Program::load(&path).unwrap(), Program::of(&module));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
    let by_hand = fs::read_to_string(&path).unwrap().replace("department", "team");
    fs::write(&path, by_hand).unwrap();
    assert!(load().contains("the signature of `route`") && load().contains("by hand"), "{}", load());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_reload_that_does_not_fit_leaves_the_prompts_in_force() {
    let module = parts(&[("route", "ticket -> department")]);
    let live = LivePrompts::new(module.candidate().prompts);
    assert!(live.reload(&module, &saved(&[("route", "ticket -> team")])).is_err());
    assert_eq!(live.current().get("route").unwrap().instruction, "Do it.");
    let before = live.reload(&module, &saved(&[("route", "ticket -> department")])).unwrap();
    assert_eq!(before.get("route").unwrap().instruction, "Do it.");
    assert_eq!(live.current().get("route").unwrap().instruction, "Optimized route.");
}

#[test]
fn demos_keep_their_types() {
    let mut module = parts(&[("p", "a -> n: int")]);
    let demo = Demo::new(json!({"a": "x", "n": "7"}).as_object().unwrap().clone());
    module.0[0].2 = Prompt::new("x").with_demos(vec![demo]);
    let file = Program::of(&module);
    module.install_checked(&file).unwrap();
    assert_eq!(module.0[0].2.demos[0].fields["n"], 7);
}
