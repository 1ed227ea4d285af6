//! An agent with the tools of an MCP server keeps what every task is promised.

use std::path::Path;

use crate::crash::crash;
use crate::harness::{Harness, check_books, kill, promptopt, said, start, wait_until};
use crate::{OPTIMIZERS, check_concurrency};

const OPTIMIZER: &str = "[optimizer]\nkind = \"gepa\"\nconcurrency = 8\nmax_calls = 150";

#[test]
fn a_killed_run_with_a_server_pays_no_call_twice() {
    let harness = Harness::of_mcp();
    let figures = crash(&harness, &harness.task("", OPTIMIZER), 2, 11);
    assert_eq!((figures.repeated, figures.different), (0, 0), "{figures:?}");
}

#[test]
fn an_agent_with_a_server_has_the_books_of_its_model_and_is_the_same_at_any_concurrency() {
    let harness = Harness::of_mcp();
    check_books(&harness, "gepa", &[["--max-calls", "150"]]);
    for kind in OPTIMIZERS {
        check_concurrency(&harness, kind);
    }
}

#[test]
fn commands_and_servers_give_the_same_tools() {
    let shown = |harness: Harness| {
        let task = harness.task("", OPTIMIZER).replace("improve_tools = true\n", "");
        said(&promptopt(harness.folder(&task).path(), &["eval", "task.toml", "-q", "--json"]))
    };
    let (commands, server) = (shown(Harness::of_agent()), shown(Harness::of_mcp()));
    let score = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        (value["test"]["mean"].clone(), value["usage"]["calls"].clone())
    };
    assert!(score(&commands).0.is_f64(), "{commands}");
    assert_eq!(score(&commands), score(&server), "{commands}\n{server}");
}

#[test]
fn tools_that_changed_since_the_start_are_named_and_nothing_is_asked() {
    let harness = Harness::of_mcp();
    let folder = harness.folder(&harness.task("", OPTIMIZER));
    let mut child = start(folder.path(), &["optimize", "task.toml"]);
    wait_until("some replies", || harness.requests() > 30);
    kill(&mut child);
    let (before, server) = (harness.requests(), folder.path().join("drawers.py"));
    let good = std::fs::read_to_string(&server).unwrap();
    std::fs::write(&server, good.replace("Opens a drawer.", "Opens one drawer.")).unwrap();
    let output = promptopt(folder.path(), &["resume", "route.run"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("/program: "), "{}", said(&output));
    assert_eq!(harness.requests(), before);
    std::fs::write(&server, good).unwrap();
    let output = promptopt(folder.path(), &["resume", "route.run"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn an_optimized_program_is_exported_and_compared_without_its_server() {
    let harness = Harness::of_mcp();
    let folder = harness.folder(&harness.task("", OPTIMIZER));
    let prints = |arguments: &[&str]| {
        let output = promptopt(folder.path(), arguments);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    assert!(prints(&["show", "task.toml"]).contains("--- tools\nlist_drawers: Lists all drawers.\n"));
    assert!(prints(&["estimate", "task.toml"]).contains("calls"));
    assert_eq!(harness.requests(), 0);
    prints(&["optimize", "task.toml", "-q", "--run", "route.run"]);
    prints(&["eval", "task.toml", "-q", "--program", "route.optimized.json"]);
    std::fs::remove_file(folder.path().join("drawers.py")).unwrap();
    let exported = prints(&["export", "route.optimized.json"]);
    assert!(exported.contains("--- tools\nlist_drawers: "), "{exported}");
    let dspy = prints(&["export", "route.optimized.json", "--format", "dspy"]);
    assert!(dspy.contains("list_drawers"), "{dspy}");
    assert!(prints(&["diff", "route.optimized.json"]).contains("predictor `route.tools.open_drawer`"));
}

#[test]
fn mistakes_in_a_server_are_named_before_anything_is_asked() {
    let harness = Harness::of_mcp();
    let good = harness.task("", OPTIMIZER);
    let check = |behind: &str, text: &str, parts: &[&str]| {
        let folder = harness.folder(&good.replacen(behind, &format!("{behind}\n{text}"), 1));
        let output = promptopt(folder.path(), &["optimize", "task.toml"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        for part in parts {
            assert!(said(&output).contains(part), "`{part}` is not in {}", said(&output));
        }
    };
    let server = "name = \"drawers\"";
    check(
        server,
        "tools = [\"open_draw\"]",
        &["it has `list_drawers`, `open_drawer`; did you mean `open_drawer`?"],
    );
    check(server, "tool = []", &["unknown field `tool`", "did you mean `tools`?"]);
    check(server, "tools = []", &["in the MCP server `drawers`", "`tools` names none"]);
    check(server, "prefix = \"my.\"", &["`prefix` is `my.`: use letters, digits, _ and -"]);
    check(server, "timeout = 0", &["`timeout` must be a number of seconds above 0"]);
    check(server, "env = [\"NO_SUCH_VARIABLE\"]", &["NO_SUCH_VARIABLE, which is not set"]);
    let other = |name: &str| {
        format!("[[program.mcp]]\nname = \"{name}\"\ncommand = [\"python3\", \"drawers.py\", \"drawers\"]\n")
    };
    check(
        "max_turns = 4\nimprove_tools = true",
        &other("drawers"),
        &["two MCP servers are called `drawers`"],
    );
    check(
        "max_turns = 4\nimprove_tools = true",
        &other("desk"),
        &["both the MCP server `desk` and the MCP server `drawers` have a tool `list_drawers`", "a `prefix`"],
    );
    let command = "[[program.tools]]\nname = \"open_drawer\"\ncommand = [\"true\"]\n";
    check(
        "max_turns = 4\nimprove_tools = true",
        command,
        &["both the tools that are commands and the MCP server", "have a tool `open_drawer`"],
    );
    assert_eq!(harness.requests(), 0);
}

#[test]
fn a_predictor_of_a_chain_has_servers_of_its_own() {
    let harness = Harness::of_mcp();
    let task = harness.task("", OPTIMIZER);
    let chain = "[[program.predictors]]\nname = \"desk\"\nsignature = \"question -> notes\"\n[[program.predictors.mcp]]\n\
                 name = \"drawers\"\nprefix = \"my_\"\ncommand = [\"python3\", \"drawers.py\"]\ntools = [\"open_drawer\"]\n\
                 [[program.predictors]]\nname = \"answer\"\nsignature = \"notes -> answer\"\n";
    let (_, model) = task.split_once("[model]").unwrap();
    let folder = harness.folder(&format!("[program]\nname = \"route\"\n{chain}[model]{model}"));
    let shown = said(&promptopt(Path::new(folder.path()), &["show", "task.toml", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["predictors"][0]["tools"][0]["function"]["name"], "my_open_drawer");
    assert!(shown["predictors"][1].get("tools").is_none());
}
