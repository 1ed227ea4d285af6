//! Prompts that go elsewhere and come back.

use std::path::Path;

use async_trait::async_trait;
use promptopt_core::data::{Fields, Prediction};
use promptopt_core::program::{CallContext, Module, ModuleExt as _, Predictor, Program};
use promptopt_core::signature::Signature;
use promptopt_predict::{ChainOfThought, Predict};
use serde_json::Value;

use super::{TASK, folder, promptopt, refused};

fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = promptopt(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(folder, arguments)).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

const CHAIN: &str = r#"
[program]
name = "desk"
[[program.predictors]]
name = "classify"
signature = "ticket -> topic"
reasoning = true
[[program.predictors]]
name = "route"
signature = "ticket, topic -> department: enum[billing, sales]"
instruction = "Route it."

[model]
name = "sim"

[data]
path = "tickets.jsonl"
"#;

#[test]
fn an_optimized_program_goes_to_dspy_and_comes_back() {
    for task in [TASK, CHAIN] {
        let folder = folder(task);
        let at = |name: &str| folder.path().join(name);
        said(folder.path(), &["optimize", "task.toml", "-q", "--max-calls", "200", "--out", "best.json"]);
        said(folder.path(), &["export", "best.run", "--format", "dspy", "--out", "state.json"]);
        said(folder.path(), &["import", "state.json", "--task", "task.toml", "--out", "back.json"]);
        let prompts = |name: &str| read(&at(name))["prompts"].clone();
        let bare = |prompts: Value| -> Vec<(String, Value, usize)> {
            let prompts = prompts.as_object().unwrap().clone();
            prompts
                .into_iter()
                .map(|(path, prompt)| {
                    (path, prompt["instruction"].clone(), prompt["demos"].as_array().map_or(0, Vec::len))
                })
                .collect()
        };
        assert_eq!(bare(prompts("back.json")), bare(prompts("best.json")));
        // What DSPy saved is taken wherever a program is.
        let show = |program: &str| said(folder.path(), &["show", "task.toml", "--program", program]);
        assert_eq!(show("state.json"), show("best.json"));
        assert_eq!(show("best.run"), show("best.json"));
        let score = |program: &str| {
            json(folder.path(), &["eval", "task.toml", "--json", "--program", program])["test"].clone()
        };
        assert_eq!(score("state.json"), score("best.json"));
        let goes_on = json(
            folder.path(),
            &["optimize", "task.toml", "--json", "--no-run", "--max-calls", "200", "--from", "state.json"],
        );
        assert_eq!(goes_on["test"]["baseline"], score("best.json"), "it begins where the other ended");
        // Into a file that DSPy saved, all else stays.
        let mut older = read(&at("state.json"));
        older["metadata"]["note"] = "mine".into();
        std::fs::write(at("older.json"), older.to_string()).unwrap();
        said(
            folder.path(),
            &["export", "task.toml", "--format", "dspy", "--into", "older.json", "--out", "newer.json"],
        );
        assert_eq!(read(&at("newer.json"))["metadata"]["note"], "mine");
        let diff = json(folder.path(), &["diff", "newer.json", "task.toml", "--task", "task.toml", "--json"]);
        assert_eq!(diff["same"], true, "{diff:#}");
    }
}

#[test]
fn a_service_in_rust_loads_what_was_optimized_and_the_command_what_it_saved() {
    let folder = folder(CHAIN);
    let at = |name: &str| folder.path().join(name);
    said(folder.path(), &["optimize", "task.toml", "-q", "--max-calls", "200", "--out", "best.json"]);
    let saved = Program::load(at("best.json")).unwrap();
    let outputs = |predictor: &str| -> Vec<String> {
        saved.signatures[predictor]
            .outputs
            .iter()
            .map(|field| format!("{}: {}", field.name, field.kind))
            .collect()
    };
    assert_eq!(saved.format, Program::FORMAT);
    assert_eq!(outputs("classify"), ["reasoning: str", "topic: str"]);
    assert_eq!(outputs("route"), ["department: enum[billing, sales]"]);
    let own = |department: &str| {
        let classify = ChainOfThought::new("classify", Signature::parse("ticket -> topic").unwrap()).unwrap();
        let route =
            Signature::parse(&format!("ticket, topic -> {department}: enum[sales, billing]")).unwrap();
        Desk(classify, Predict::new("route", route))
    };
    let mut desk = own("department");
    desk.install_checked(&saved).unwrap();
    assert_eq!(desk.1.prompt(), saved.prompts.get("route").unwrap());
    let error = own("team").install_checked(&saved).unwrap_err().to_string();
    assert!(error.contains("predictor `route`: the field `department` of the file is `team`"), "{error}");
    // And the other way round.
    let mut prompt = desk.1.prompt().clone();
    prompt.instruction = "Say what department it is.".to_owned();
    desk.1.set_prompt(prompt);
    desk.save(at("rust.json")).unwrap();
    let shown = said(folder.path(), &["show", "task.toml", "--program", "rust.json"]);
    assert!(shown.contains("Say what department it is."), "{shown}");
    own("team").save(at("other.json")).unwrap();
    let says = "the field `team` of the file is `department` in the program";
    refused(folder.path(), &["show", "task.toml", "--program", "other.json"], &[says]);
}

/// The program of `CHAIN` in Rust.
struct Desk(ChainOfThought, Predict);

#[async_trait]
impl Module for Desk {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        vec![&self.0, &self.1]
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        vec![&mut self.0, &mut self.1]
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        Ok(self.1.call(context, inputs).await?)
    }
}

#[test]
fn an_agent_is_a_react_in_dspy() {
    let tool = "[[program.tools]]\nname = \"search\"\ndescription = \"Searches.\"\narguments = [\"query\"]\n\
                command = [\"true\"]\n";
    let alone = TASK.replace("[model]", &format!("{tool}\n[model]"));
    let tool = tool.replace("program.tools", "program.predictors.tools");
    let after =
        CHAIN.replace("instruction = \"Route it.\"\n", &format!("instruction = \"Route it.\"\n{tool}"));
    let demo = serde_json::json!({
        "ticket": "I paid twice.", "topic": "money", "department": "billing",
        "trajectory": [{"thought": "Look.", "calls": [{"tool": "search", "arguments": {"query": "twice"}, "result": "paid"}]}],
    });
    for (task, prefix) in [(alone, ""), (after, "route.")] {
        let folder = folder(&task);
        let at = |name: &str| folder.path().join(name);
        said(folder.path(), &["export", "task.toml", "--format", "dspy", "--out", "first.json"]);
        said(folder.path(), &["import", "first.json", "--task", "task.toml", "--out", "best.json"]);
        let mut program = read(&at("best.json"));
        program["prompts"]["route"]["instruction"] = "Route it well.".into();
        program["prompts"]["route"]["demos"] = serde_json::json!([demo]);
        std::fs::write(at("best.json"), program.to_string()).unwrap();

        // Into a state that DSPy saved, or into one of its own, comes the same.
        let export = ["export", "best.json", "--format", "dspy", "--out", "state.json"];
        said(folder.path(), &export);
        said(folder.path(), &[&export[..5], &["other.json", "--into", "first.json"]].concat());
        assert_eq!(read(&at("other.json")), read(&at("state.json")));
        let state = read(&at("state.json"));
        let [react, extract] =
            ["react", "extract.predict"].map(|name| state.get(format!("{prefix}{name}")).unwrap().clone());
        let instruction = react["signature"]["instructions"].as_str().unwrap();
        assert!(instruction.starts_with("Route it well.\n\nYou are an Agent."), "{instruction}");
        assert!(
            instruction
                .contains("(1) search, whose description is <desc>Searches.</desc>. It takes arguments")
        );
        let steps: Vec<&Value> = react["demos"].as_array().unwrap().iter().collect();
        let names: Vec<&str> = steps.iter().map(|step| step["next_tool_name"].as_str().unwrap()).collect();
        assert_eq!(names, ["search", "finish"]);
        assert_eq!(
            (steps[0]["trajectory"].as_str(), steps[0]["next_thought"].as_str()),
            (Some(""), Some("Look."))
        );
        let told = "[[ ## thought_0 ## ]]\nLook.\n\n[[ ## tool_name_0 ## ]]\nsearch\n\n[[ ## tool_args_0 ## ]]\n\
                    {\"query\": \"twice\"}\n\n[[ ## observation_0 ## ]]\npaid";
        assert_eq!(extract["demos"][0]["trajectory"], told);
        assert_eq!(
            (&extract["demos"][0]["department"], &steps[1]["trajectory"]),
            (&"billing".into(), &told.into())
        );

        said(folder.path(), &["import", "state.json", "--task", "task.toml", "--out", "back.json"]);
        let back = read(&at("back.json"))["prompts"]["route"].clone();
        assert_eq!(back["instruction"], "Route it well.");
        assert_eq!(
            (&back["demos"][0]["department"], &back["demos"][0]["trajectory"]),
            (&"billing".into(), &Value::Null)
        );
    }
}

#[test]
fn a_prompt_is_written_for_programs_in_any_language() {
    let folder = folder(TASK);
    let text = said(folder.path(), &["export", "task.toml", "--format", "text"]);
    assert!(text.starts_with("--- system\n") && text.contains("{{ticket}}"), "{text}");
    let page = said(folder.path(), &["export", "task.toml"]);
    for part in
        ["# route", "| `department` | output | enum[billing, sales] |", "```text\nRoute the ticket.\n```"]
    {
        assert!(page.contains(part), "{page}");
    }
    said(folder.path(), &["export", "task.toml", "--format", "messages", "--out", "chat.json"]);
    let chat = read(&folder.path().join("chat.json"));
    let one = &chat["predictors"][0];
    assert_eq!((one["inputs"][0].as_str(), one["outputs"][0].as_str()), (Some("ticket"), Some("department")));
    assert_eq!(one["messages"][0]["role"], "system");
    assert!(one["messages"][1]["content"].as_str().unwrap().contains("{{ticket}}"));
}

#[test]
fn what_cannot_be_taken_over_is_explained() {
    let folder = folder(TASK);
    let at = |name: &str| folder.path().join(name);
    said(folder.path(), &["export", "task.toml", "--format", "dspy", "--out", "state.json"]);
    refused(folder.path(), &["export", "state.json"], &["saved by DSPy", "--task"]);
    refused(folder.path(), &["import", "task.toml", "--task", "task.toml"], &["was not saved by DSPy"]);
    refused(folder.path(), &["export", "task.toml", "--map", "a=b"], &["--format dspy"]);
    refused(
        folder.path(),
        &["export", "task.toml", "--format", "dspy", "--map", "root=x"],
        &["`root`", "the program has route"],
    );
    refused(folder.path(), &["report", "nowhere"], &["nowhere", "is the path right?"]);
    std::fs::write(at("other.json"), "{\"a\": 1}").unwrap();
    refused(
        folder.path(),
        &["eval", "task.toml", "--program", "other.json"],
        &["other.json", "neither", "no predictor was found"],
    );
    std::fs::write(at("fields.toml"), TASK.replace("ticket ->", "ticket, customer ->")).unwrap();
    refused(
        folder.path(),
        &["import", "state.json", "--task", "fields.toml"],
        &["state.json", "2 fields", "3 in the program"],
    );
}

#[test]
fn what_is_imported_holds_no_secret() {
    let task = CHAIN
        .replace("reasoning = true\n", "reasoning = true\nmodel = { name = \"m@http://ann:canary-one@localhost:1/v1\", headers = { authorization = \"Bearer canary-two\" } }\n")
        .replace("name = \"sim\"", "name = \"m@http://ann:canary-three@localhost:1/v1\"");
    let folder = folder(&task);
    said(folder.path(), &["export", "task.toml", "--format", "dspy", "--out", "state.json"]);
    said(folder.path(), &["import", "state.json", "--task", "task.toml", "--out", "back.json"]);
    for name in ["state.json", "back.json"] {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(!text.contains("canary"), "{name}: {text}");
    }
    assert!(said(folder.path(), &["export", "back.json"]).contains("# desk"));
}

/// A task whose program is in `best.json`, with these demos.
fn with_demos(task: &str, demos: &Value) -> tempfile::TempDir {
    let folder = folder(task);
    said(folder.path(), &["export", "task.toml", "--format", "dspy", "--out", "state.json"]);
    said(folder.path(), &["import", "state.json", "--task", "task.toml", "--out", "best.json"]);
    let mut program = read(&folder.path().join("best.json"));
    program["prompts"]["route"]["demos"] = demos.clone();
    std::fs::write(folder.path().join("best.json"), program.to_string()).unwrap();
    folder
}

#[test]
fn nothing_in_a_prompt_can_pose_as_a_placeholder() {
    let demos = serde_json::json!([
        {"ticket": "{{ticket}} and {{{ticket}}}", "department": "sales"},
        {"ticket": "<<ticket>>", "department": "sales"},
    ]);
    let folder = with_demos(TASK, &demos);
    let count = |text: &str, part: &str| text.matches(part).count();
    let text = said(folder.path(), &["export", "best.json", "--format", "text"]);
    assert!(text.starts_with("=== <<<field>>> stands where an input goes\n\n--- system\n"), "{text}");
    assert_eq!((count(&text, "<<<ticket>>>"), count(&text, "{{ticket}} and {{{ticket}}}")), (1, 1), "{text}");
    let chat = json(folder.path(), &["export", "best.json", "--format", "messages"]);
    let one = &chat["predictors"][0];
    assert_eq!(one["placeholders"], serde_json::json!({"ticket": "<<<ticket>>>"}));
    assert_eq!(count(&one["messages"].to_string(), "<<<ticket>>>"), 1, "{one:#}");
    let page = said(folder.path(), &["export", "best.json"]);
    assert!(page.contains("`<<<field>>>` stands where an input goes"), "{page}");
    // An instruction may hold one, too.
    let named = TASK.replace("Route the ticket.", "Put {{ticket}} in its place.");
    let text = said(super::folder(&named).path(), &["export", "task.toml", "--format", "text"]);
    assert_eq!((count(&text, "{{ticket}}"), count(&text, "<<ticket>>")), (1, 1), "{text}");
}

#[test]
fn demos_of_renamed_fields_are_refused_wherever_a_program_is_taken() {
    let demos = serde_json::json!([
        {"ticket": "a", "team": "sales", "augmented": true},
        {"ticket": "b", "team": "sales"},
        {"ticket": "c", "department": "sales"},
    ]);
    let folder = with_demos(TASK, &demos);
    let says = [
        "best.json",
        "predictor `route`",
        "2 of 3 demos lack `department` and have `team`: rename the fields",
    ];
    let state = serde_json::json!({
        "traces": [], "train": [], "demos": demos, "lm": null,
        "signature": {"instructions": "Route.", "fields": [
            {"prefix": "Ticket:", "description": "what they wrote"}, {"prefix": "Team:", "description": "who answers"},
        ]},
    });
    std::fs::write(folder.path().join("state.json"), state.to_string()).unwrap();
    for program in ["best.json", "state.json"] {
        let says = [program, says[1], says[2]];
        for command in [
            &["eval", "task.toml", "--program", program][..],
            &["show", "task.toml", "--program", program],
            &["optimize", "task.toml", "--no-run", "--from", program],
            &["estimate", "task.toml", "--from", program],
            &["export", program, "--task", "task.toml"],
        ] {
            refused(folder.path(), command, &says);
        }
    }
    refused(
        folder.path(),
        &["import", "state.json", "--task", "task.toml"],
        &["state.json", says[1], says[2]],
    );
    assert!(!folder.path().join("route.imported.json").exists());
}

#[test]
fn values_of_demos_are_read_by_their_types() {
    let rated = TASK.replace("department: enum[billing, sales]", "stars: enum[1, 2, 3]");
    let folder =
        with_demos(&rated, &serde_json::json!([{"ticket": 7, "stars": 3}, {"ticket": "x", "stars": "2.0"}]));
    let chat = json(folder.path(), &["export", "best.json", "--format", "messages"]);
    let messages = chat["predictors"][0]["messages"].to_string();
    for part in ["[[ ## stars ## ]]\\n3\\n", "[[ ## stars ## ]]\\n2\\n", "[[ ## ticket ## ]]\\n7"] {
        assert!(messages.contains(part), "{messages}");
    }
    let folder = with_demos(&rated, &serde_json::json!([{"ticket": "x", "stars": 4}]));
    refused(
        folder.path(),
        &["export", "best.json"],
        &[
            "best.json",
            "predictor `route`",
            "demo 1 has `4` in the field `stars`, whose type is enum[1, 2, 3]",
        ],
    );
}
