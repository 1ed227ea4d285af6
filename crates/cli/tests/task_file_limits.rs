//! Task files that are deeper or larger than anybody writes on purpose.

use promptopt_cli::check_task_file;

const TASK: &str = "[program]\nsignature = \"q -> a\"\n[model]\nname = \"m\"\n[data]\npath = \"x.jsonl\"\n";

fn check_refused(what: &str, text: &str) {
    let error = check_task_file(text).err().map(|error| format!("{error:#}"));
    assert!(error.is_some_and(|error| !error.is_empty()), "{what}");
}

#[test]
fn a_task_file_is_a_task_file() {
    check_task_file(TASK).unwrap();
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    for depth in [200, 10_000] {
        let [open, close] = ["[", "]"].map(|bracket| bracket.repeat(depth));
        check_refused("a list", &format!("x = {open}{close}\n{TASK}"));
        check_refused("half a list", &format!("x = {open}\n{TASK}"));
        let (open, close) = ("{ a = ".repeat(depth), "}".repeat(depth));
        check_refused("a table", &format!("x = {open}1{close}\n{TASK}"));
        check_refused("half a table", &format!("x = {open}\n{TASK}"));
        check_refused("a dotted key", &format!("x{} = 1\n{TASK}", ".a".repeat(depth)));
        check_refused("a section", &format!("{TASK}\n[x{}]\n", ".a".repeat(depth)));
        check_refused("a list of sections", &format!("{TASK}\n[[x{}]]\n", ".a".repeat(depth)));
        check_refused("a section of a section", &format!("{TASK}\n[metric{}]\n", ".a".repeat(depth)));
    }
}

#[test]
fn a_type_that_is_nested_too_deep_is_refused() {
    for depth in [200, 10_000] {
        let kind = "list[".repeat(depth) + "int" + &"]".repeat(depth);
        check_refused("a signature", &TASK.replace("-> a", &format!("-> a: {kind}")));
        check_refused("half a signature", &TASK.replace("-> a", &format!("-> a: {}", "list[".repeat(depth))));
    }
}

#[test]
fn what_is_large_is_read_or_refused() {
    let long = "x".repeat(1_000_000);
    check_task_file(&TASK.replace("[model]", &format!("instruction = \"{long}\"\n[model]"))).unwrap();
    let many: String = (0..20_000).map(|n| format!("f{n}, ")).collect();
    check_task_file(&TASK.replace("q ->", &format!("{many} q ->"))).unwrap();
    for wrong in [
        TASK.replace("[model]", &format!("{long} = 1\n[model]")),
        TASK.replace("\"q -> a\"", &format!("\"q -> a: {long}\"")),
        TASK.replace("[data]", &format!("[optimizer]\nkind = \"{long}\"\n[data]")),
    ] {
        check_refused("a long name", &wrong);
    }
}
