//! What the command says about mistakes that people make in their first task file.

use super::promptopt;

/// What is wrong, and what is replaced in the file that `init` writes.
const MISTAKES: [(&str, &str, &str); 22] = [
    ("a misspelt key", "signature =", "sigature ="),
    ("a type that is none", "enum[billing, shipping, technical]", "choice[a, b]"),
    ("no arrow", "ticket -> department", "ticket department"),
    ("a description of no field", "ticket = \"what", "tickets = \"what"),
    ("a misspelt section", "[data]", "[dta]"),
    ("a section that is missing", "[data]\npath = \"tickets.jsonl\"\n", ""),
    ("the optimizer's name in a section", "test = 0.4 ", "optimizer = \"gepa\"\ntest = 0.4 "),
    ("a text for a number", "max_calls = 500", "max_calls = \"500\""),
    ("a text without quotes", "kind = \"miprov2\"", "kind = miprov2"),
    ("an option of another optimizer", "max_calls = 500", "breadth = 5"),
    ("a misspelt option", "max_calls = 500", "max_cals = 500"),
    ("an optimizer that is none", "kind = \"miprov2\"", "kind = \"mipro\""),
    ("a metric that is none", "kind = \"exact\"", "kind = \"accuracy\""),
    ("a metric without what it needs", "kind = \"exact\"", "kind = \"judge\""),
    ("a metric of no output", "field = \"department\"", "field = \"label\""),
    ("a file that is not there", "tickets.jsonl\"", "ticket.jsonl\""),
    ("a column under another name", "\"ticket -> department", "\"text -> department"),
    ("parts that are too large", "train = 0.3", "train = 0.9"),
    ("an empty test", "test = 0.4 ", "# "),
    ("a budget that is too small", "max_calls = 500", "max_calls = 5"),
    ("a value out of range", "max_calls = 500", "temperature = 20"),
    ("a file of another program", "[program]", "[tool.poetry]"),
];

#[test]
fn mistakes_in_a_first_task_file_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    promptopt(folder.path(), &["init"]);
    let good = std::fs::read_to_string(folder.path().join("task.toml")).unwrap();
    let mut all = String::new();
    for (what, from, to) in MISTAKES {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        std::fs::write(folder.path().join("task.toml"), bad).unwrap();
        let output = promptopt(folder.path(), &["optimize", "task.toml", "--lm", "sim", "-q"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code().unwrap();
        all.push_str(&format!("== {what} ({code})\n{said}\n"));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn help_says_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["--help", "optimize --help", "compare --help"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let output = promptopt(folder.path(), &arguments);
        insta::assert_snapshot!(
            command.replace(" --help", "").replace("--", ""),
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
