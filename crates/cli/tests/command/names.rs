//! Fields with the names of our own words: no file and no door may take one for the other.

use std::path::Path;

use serde_json::{Map, Value};

use super::{folder, prints, promptopt};

/// Words that stand in our files and in those of others beside fields, or in their place. `completed` is reserved.
const NAMES: [&str; 44] = [
    "augmented",
    "promptopt_source",
    "promptopt_fields",
    "source",
    "fields",
    "demos",
    "instruction",
    "instructions",
    "rationale",
    "reasoning",
    "score",
    "feedback",
    "id",
    "inputs",
    "outputs",
    "expected",
    "prediction",
    "example",
    "error",
    "errors",
    "metadata",
    "signature",
    "extended_signature",
    "lm",
    "traces",
    "train",
    "prompts",
    "predictor",
    "items",
    "keys",
    "values",
    "name",
    "role",
    "content",
    "type",
    "description",
    "task_input",
    "answer",
    "field",
    "column_1",
    "promptopt",
    "self",
    "system",
    "user",
];

/// Scores an answer by whether it is the label, in a program that is asked in JSON lines.
const METRIC: &str = r#"
[metric]
kind = "command"
command = ["sh", "-c", "while read -r line; do id=${line#*:}; id=${id%%,*}; echo \"{\\\"id\\\": $id, \\\"score\\\": 0.5}\"; done"]
"#;

/// A task with some of the names as inputs and some as outputs.
fn task(inputs: &[&str], outputs: &[&str]) -> tempfile::TempDir {
    let typed: Vec<String> = outputs.iter().map(|name| format!("{name}: enum[billing, sales]")).collect();
    let text = format!(
        "[program]\nname = \"route\"\nsignature = \"{} -> {}\"\n[model]\nname = \"sim\"\n[data]\npath = \"rows.jsonl\"\n",
        inputs.join(", "),
        typed.join(", ")
    );
    let folder = folder(&text);
    std::fs::write(folder.path().join("command.toml"), text + METRIC).unwrap();
    let row = |n: usize| {
        let input = |name: &&str| ((*name).to_owned(), format!("{name} number {n}").into());
        let output = |name: &&str| ((*name).to_owned(), ["billing", "sales"][n % 2].into());
        Value::Object(inputs.iter().map(input).chain(outputs.iter().map(output)).collect())
    };
    let rows: String = (0..40).map(|n| format!("{}\n", row(n))).collect();
    std::fs::write(folder.path().join("rows.jsonl"), rows).unwrap();
    folder
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The fields of the demos in a program of ours.
fn demos(program: &Value) -> Vec<Map<String, Value>> {
    let demos = program["prompts"]["route"]["demos"].as_array().unwrap();
    demos
        .iter()
        .map(|demo| demo.get("promptopt_fields").unwrap_or(demo).as_object().unwrap().clone())
        .collect()
}

fn walk(inputs: &[&str], outputs: &[&str]) {
    let folder = task(inputs, outputs);
    let at = |name: &str| folder.path().join(name);
    let score = |task: &str, program: &str| {
        let said = prints(folder.path(), &["eval", task, "--json", "--program", program]);
        serde_json::from_str::<Value>(&said).unwrap()["test"].clone()
    };
    for optimizer in ["copro", "gepa", "miprov2", "simba", "random_search"] {
        let optimize = [
            "optimize",
            "task.toml",
            "-q",
            "--optimizer",
            optimizer,
            "--max-calls",
            "150",
            "--out",
            "best.json",
        ];
        prints(folder.path(), &[&optimize[..], &["--run", &format!("{optimizer}.run")]].concat());
        let saved = read(&at("best.json"));
        assert_eq!(score("task.toml", "best.json"), saved["test"]["optimized"], "{optimizer}");
        std::fs::remove_file(at(&format!("{optimizer}.run/program.json"))).unwrap();
        prints(folder.path(), &["resume", &format!("{optimizer}.run"), "-q"]);
        assert_eq!(read(&at("best.json"))["prompts"], saved["prompts"], "{optimizer}");
    }
    // The last one learns by demos alone.
    let shown = demos(&read(&at("best.json")));
    assert!(!shown.is_empty());
    for demo in &shown {
        for name in inputs {
            assert!(
                demo[*name].as_str().is_some_and(|text| text.starts_with(&format!("{name} number"))),
                "{name}"
            );
        }
        for name in outputs {
            assert!(["billing", "sales"].contains(&demo[*name].as_str().unwrap()), "{name}");
        }
    }
    let export = |format: &str, out: &str| {
        prints(folder.path(), &["export", "best.json", "--format", format, "--out", out]);
    };
    export("text", "chat.txt");
    export("markdown", "chat.md");
    export("messages", "chat.json");
    export("dspy", "state.json");
    for name in inputs.iter().chain(outputs) {
        for file in ["chat.txt", "chat.md"] {
            assert!(
                std::fs::read_to_string(at(file)).unwrap().contains(&format!("[[ ## {name} ## ]]")),
                "{name}"
            );
        }
    }
    assert_eq!(read(&at("chat.json"))["predictors"][0]["inputs"].as_array().unwrap().len(), inputs.len());
    prints(folder.path(), &["import", "state.json", "--task", "task.toml", "--out", "back.json"]);
    let bare = |program: &str| {
        demos(&read(&at(program)))
            .into_iter()
            .map(|demo| {
                let is_field = |name: &String| inputs.iter().chain(outputs).any(|field| field == name);
                demo.into_iter().filter(|(name, _)| is_field(name)).collect::<Map<_, _>>()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(bare("back.json"), bare("best.json"));
    prints(
        folder.path(),
        &["export", "best.json", "--format", "dspy", "--into", "state.json", "--out", "again.json"],
    );
    assert_eq!(read(&at("again.json")), read(&at("state.json")));
    assert_eq!(score("task.toml", "state.json"), score("task.toml", "best.json"));
    assert_eq!(score("command.toml", "best.json")["mean"], 0.5);
    prints(folder.path(), &["diff", "best.json", "back.json", "--task", "task.toml"]);
    prints(folder.path(), &["show", "task.toml", "--program", "best.json"]);
    prints(folder.path(), &["report", "best.json"]);
    let again = promptopt(
        folder.path(),
        &["optimize", "task.toml", "-q", "--no-run", "--from", "best.json", "--max-calls", "60"],
    );
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn fields_with_names_of_ours_go_through_every_door() {
    let (some, others) = NAMES.split_at(NAMES.len() / 2);
    walk(some, others);
    walk(others, some);
}
