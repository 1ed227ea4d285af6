//! Servers that behave, die, hang, lie and flood.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the lints know tests inside a crate, not files of tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use promptopt_core::lm::{LmReply, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::{CallContext, Unavailable};
use promptopt_mcp::{CommandLine, Error, McpServer, McpTool};
use promptopt_predict::Tool as _;
use serde_json::{Map, Value, json};

fn server(modes: &[&str]) -> McpServer {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server.py");
    let arguments = std::iter::once(script.to_str().unwrap()).chain(modes.iter().copied());
    let command = CommandLine::new("python3", arguments.map(str::to_owned));
    McpServer::new("desk", command).with_timeout(Duration::from_secs(20))
}

/// A server that writes a line into a file at each start.
fn counted(starts: &Path, limit: u64) -> McpServer {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server.py");
    let line = format!("STARTS='{}' exec python3 '{}'", starts.display(), script.display());
    let command = CommandLine::new("sh", ["-c".to_owned(), line]);
    McpServer::new("desk", command).with_timeout(Duration::from_secs(limit))
}

fn starts(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap().lines().count()
}

async fn call(tools: &[McpTool], name: &str, arguments: Value) -> Result<Value, String> {
    let model = lm_fn("none", |_| async { Ok(LmReply::text("", Usage::default())) });
    let context = CallContext::new(Arc::new(model));
    let tool = tools.iter().find(|tool| tool.definition().name == name).unwrap();
    let arguments: Map<String, Value> = arguments.as_object().unwrap().clone();
    tool.call(&context, arguments).await.map_err(|error| format!("{error:#}"))
}

fn names(tools: &[McpTool]) -> Vec<String> {
    tools.iter().map(|tool| tool.definition().name).collect()
}

async fn refused(server: McpServer) -> String {
    match server.tools().await {
        Ok(tools) => format!("{:?}", names(&tools)),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn tools_are_the_same_in_whatever_order_and_on_however_many_pages_they_come() {
    let all =
        ["admin_die", "child", "echo", "list_drawers", "long", "open_drawer", "sleep", "stick", "variable"];
    for modes in [&[][..], &["shuffled"], &["pages", "shuffled"]] {
        let tools = server(modes).tools().await.unwrap();
        assert_eq!(names(&tools), all, "{modes:?}");
        let definition = tools[5].definition();
        assert_eq!(definition.description, "Opens a drawer.");
        assert_eq!(definition.parameters["required"], json!(["drawer"]));
    }
    let chosen = ["open_drawer", "admin.die"].map(str::to_owned);
    let tools = server(&["shuffled"]).only(chosen).with_prefix("desk_").tools().await.unwrap();
    assert_eq!(names(&tools), ["desk_open_drawer", "desk_admin_die"]);
    assert_eq!(call(&tools, "desk_open_drawer", json!({"drawer": "K4"})).await, Ok(json!("saffron")));
}

#[tokio::test]
async fn results_and_errors_are_told() {
    let tools = server(&[]).tools().await.unwrap();
    assert_eq!(call(&tools, "open_drawer", json!({"drawer": "K4"})).await, Ok(json!("saffron")));
    let missing = call(&tools, "open_drawer", json!({"drawer": "X1"})).await.unwrap_err();
    assert_eq!(missing, "there is no such drawer: X1");
    let refused = call(&tools, "echo", json!({})).await.unwrap_err();
    // The model is not told where the server is.
    assert_eq!(refused, "the MCP server `desk`: 'words'");
    assert_eq!(call(&tools, "echo", json!({"words": "tea"})).await, Ok(json!("said\n{\"words\":\"tea\"}")));
}

#[tokio::test]
async fn many_calls_share_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("starts");
    let tools = counted(&path, 20).tools().await.unwrap();
    let tools = &tools;
    let calls = (0..32).map(|number| async move {
        let words = format!("late {number}");
        let said = call(tools, "echo", json!({"words": words})).await.unwrap();
        assert_eq!(said, format!("said\n{{\"words\":\"{words}\"}}"));
    });
    join_all(calls).await;
    assert_eq!(starts(&path), 1);
}

#[tokio::test]
async fn a_call_that_ends_the_server_takes_no_other_one_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("starts");
    let tools = counted(&path, 20).tools().await.unwrap();
    let calls = (0..32).map(|number| {
        let (name, arguments) = match number {
            7 => ("admin_die", json!({})),
            _ => ("echo", json!({"words": format!("late {number}")})),
        };
        call(&tools, name, arguments)
    });
    for (number, said) in join_all(calls).await.into_iter().enumerate() {
        match number {
            7 => {
                let said = said.unwrap_err();
                assert!(said.contains("`desk`") && said.contains("it said: the floor gave way"), "{said}");
            }
            _ => assert_eq!(said.unwrap(), format!("said\n{{\"words\":\"late {number}\"}}")),
        }
    }
    // The process that the call found, perhaps one of another call, the one that it had to itself, and one for those behind
    // it.
    assert!((2..=4).contains(&starts(&path)), "{}", starts(&path));
    assert_eq!(call(&tools, "open_drawer", json!({"drawer": "M7"})).await, Ok(json!("copper")));
}

#[tokio::test]
async fn a_server_that_cannot_be_started_any_more_is_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("server.py");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server.py"), &script).unwrap();
    let command = CommandLine::new("python3", [script.to_str().unwrap().to_owned()]);
    let tools = McpServer::new("desk", command).with_timeout(Duration::from_secs(20)).tools().await.unwrap();
    assert!(call(&tools, "echo", json!({"words": "hi"})).await.is_ok());
    std::fs::remove_file(&script).unwrap();
    // The call that ends it is made again, with a process that no longer comes up.
    let model = lm_fn("none", |_| async { Ok(LmReply::text("", Usage::default())) });
    let context = CallContext::new(Arc::new(model));
    let die = tools.iter().find(|tool| tool.definition().name == "admin_die").unwrap();
    let error = die.call(&context, Map::new()).await.unwrap_err();
    assert!(error.is::<Unavailable>(), "{error:#}");
    assert!(error.to_string().contains("`desk`"), "{error:#}");
}

#[tokio::test]
async fn a_call_that_is_late_is_given_up_and_a_server_that_is_stuck_is_started_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("starts");
    let tools = counted(&path, 3).tools().await.unwrap();
    let late = call(&tools, "sleep", json!({})).await.unwrap_err();
    assert!(late.contains("`desk`") && late.contains("no result within 3 s"), "{late}");
    assert_eq!(starts(&path), 1);
    let other = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        call(&tools, "open_drawer", json!({"drawer": "P2"})).await
    };
    let (stuck, other) = futures_util::join!(call(&tools, "stick", json!({})), other);
    assert!(stuck.unwrap_err().contains("answered nothing within 3 s"));
    assert_eq!((other, starts(&path)), (Ok(json!("linen")), 3));
}

#[tokio::test]
async fn a_server_that_cannot_work_is_named_with_what_it_says() {
    let check = |modes: &'static [&'static str], limit: u64, parts: &'static [&'static str]| async move {
        let started = Instant::now();
        let error = refused(server(modes).with_timeout(Duration::from_secs(limit))).await;
        for part in parts.iter().chain(&["the MCP server `desk` (`python3 "]) {
            assert!(error.contains(part), "{modes:?}: {error}");
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{modes:?}");
    };
    check(&["silent"], 1, &["did not answer the request to initialize within 1 s"]).await;
    check(&["junk"], 1, &["begins with `Server ready on stdio!`, which is no message of MCP"]).await;
    check(&["flood"], 60, &["more than 64 MiB without an answer"]).await;
    check(&["empty"], 20, &["lists no tools"]).await;
    check(&["endless"], 20, &["pages of tools without end"]).await;
    check(&["refusing"], 20, &["did not list its tools: the drawers are locked"]).await;
    let script =
        |line: &str| McpServer::new("desk", CommandLine::new("sh", ["-c".to_owned(), line.to_owned()]));
    let key = "k".repeat(40);
    let ended = refused(script(&format!("echo 'no index; sk-{key}' >&2; exit 4"))).await;
    assert!(ended.contains("ended with exit status: 4 before it answered"), "{ended}");
    assert!(ended.contains("it said: no index") && !ended.contains(&key), "{ended}");
    let missing = McpServer::new("desk", CommandLine::new("no-such-program", [])).tools().await;
    assert!(matches!(missing.err().unwrap(), Error::Start { .. }));
}

#[tokio::test]
async fn tools_that_no_model_can_be_told_of_are_named() {
    let unknown = refused(server(&[]).only(["open_draw".to_owned()])).await;
    assert!(
        unknown.starts_with("the MCP server `desk` has no tool `open_draw`; it has `admin.die`, "),
        "{unknown}"
    );
    let long = refused(server(&[]).with_prefix("x".repeat(60))).await;
    assert!(long.contains("needs a name of 1 to 64 characters"), "{long}");
    let twice = refused(server(&[]).only(["echo", "echo"].map(str::to_owned))).await;
    assert!(twice.contains("has the name `echo`, which its tool `echo` has, too"), "{twice}");
}

#[tokio::test]
async fn a_result_without_end_is_an_error_of_its_call() {
    let tools = server(&[]).tools().await.unwrap();
    let long = call(&tools, "long", json!({})).await.unwrap_err();
    assert!(long.contains("it wrote a message of more than 16 MiB"), "{long}");
    assert_eq!(call(&tools, "open_drawer", json!({"drawer": "R9"})).await, Ok(json!("walnut")));
}

#[tokio::test]
async fn a_server_gets_few_variables_and_takes_along_what_it_started() {
    let tools = server(&[]).tools().await.unwrap();
    let value = |name: &'static str| call(&tools, "variable", json!({"name": name}));
    assert_ne!(value("PATH").await, Ok(json!("not set")));
    // What cargo sets is no usual variable.
    assert_eq!(value("CARGO_MANIFEST_DIR").await, Ok(json!("not set")));
    let command = |names: &[&str]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server.py");
        let line = CommandLine::new("python3", [script.to_str().unwrap().to_owned()]);
        line.handing_on(names.iter().map(|name| (*name).to_owned()))
    };
    let given = McpServer::new("desk", command(&["CARGO_MANIFEST_DIR"])).tools().await.unwrap();
    let value = call(&given, "variable", json!({"name": "CARGO_MANIFEST_DIR"})).await;
    assert_eq!(value, Ok(json!(env!("CARGO_MANIFEST_DIR"))));

    let child = call(&tools, "child", json!({})).await.unwrap();
    let lives = || {
        let status =
            std::process::Command::new("ps").args(["-o", "stat=", "-p", child.as_str().unwrap()]).output();
        let state = String::from_utf8(status.unwrap().stdout).unwrap();
        !state.trim().is_empty() && !state.starts_with('Z')
    };
    assert!(lives());
    drop(tools);
    let ended = Instant::now();
    while lives() {
        assert!(ended.elapsed() < Duration::from_secs(10), "it lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
