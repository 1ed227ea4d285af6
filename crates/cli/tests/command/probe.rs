//! What the probe for headroom says, takes and ends with.

use serde_json::Value;

use super::{TASK, ends, folder, promptopt};

fn said(folder: &std::path::Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = promptopt(folder, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn a_probe_says_what_is_to_be_gained_and_leaves_the_test_sealed() {
    let folder = folder(TASK);
    let (out, aside, code) = said(folder.path(), &["probe", "task.toml"]);
    assert_eq!(code, Some(0), "{aside}");
    for part in ["prompt", "original", "strict", "demos", "long", "there is headroom", "rows would show"] {
        assert!(out.contains(part), "no `{part}` in: {out}");
    }
    assert!(aside.contains("the probe takes") && aside.contains("the sealed test stays sealed"), "{aside}");
    assert!(out.lines().filter(|line| line.contains('[')).all(|line| line.chars().count() <= 110), "{out}");
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.contains("route")), "a probe writes nothing: {names:?}");

    let (out, _, _) = said(folder.path(), &["probe", "task.toml", "--json", "--quiet"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&found["command"], &found["has_headroom"]), (&"probe".into(), &true.into()));
    assert!(found["expected_gain"]["expected"].as_f64().unwrap() > 0.05, "{found:#}");
    assert_eq!(found["finding"]["prompts"][0]["name"], "original");
    // Selection and training part together; the sealed test has the other sixteen.
    assert_eq!(found["finding"]["headroom"]["rows"], 24);
    let again = said(folder.path(), &["probe", "task.toml", "--json", "--quiet", "--concurrency", "1"]).0;
    assert_eq!(again, out);
}

#[test]
fn a_probe_keeps_to_a_cap_and_takes_fewer_rows() {
    let folder = folder(TASK);
    let calls = |arguments: &[&str]| {
        let all = [&["probe", "task.toml", "--json", "--quiet"], arguments].concat();
        let found: Value = serde_json::from_str(&said(folder.path(), &all).0).unwrap();
        (found["usage"]["calls"].as_u64().unwrap(), found["finding"]["headroom"]["rows"].as_u64().unwrap())
    };
    let (all, rows) = calls(&[]);
    let (fewer, fewer_rows) = calls(&["--max-calls", "200"]);
    assert!(
        fewer <= 200 && fewer < all && fewer_rows < rows,
        "{fewer} of {all}, {fewer_rows} of {rows} rows"
    );
    assert_eq!(calls(&["--rows", "12"]).1, 12);
    ends(
        folder.path(),
        &["probe", "task.toml", "--max-calls", "20"],
        4,
        &["budget is too small", "max_calls"],
    );
}

#[test]
fn a_script_can_ask_for_a_gain() {
    let folder = folder(TASK);
    ends(folder.path(), &["probe", "task.toml", "--fail-under", "0.99"], 5, &["below --fail-under 0.99"]);
    let (_, aside, code) = said(folder.path(), &["probe", "task.toml", "--fail-under", "0.01"]);
    assert_eq!(code, Some(0), "{aside}");
    ends(folder.path(), &["probe", "task.toml", "--rows", "3"], 2, &["--rows"]);
}

#[test]
fn a_run_that_asks_for_headroom_ends_where_there_is_too_little() {
    let task = TASK.replace("[data]\n", "[data]\ntrain = 8\nselection = 24\ntest = 8\n");
    let folder = folder(&format!("{task}\n[optimizer]\nmin_headroom = 0.9\n"));
    let (out, aside, code) = said(folder.path(), &["optimize", "task.toml", "--no-run"]);
    assert_eq!(code, Some(0), "{aside}");
    for part in [
        "nothing was searched, so the original stays",
        "less than `min_headroom` = 0.9",
        "probe before the search",
    ] {
        assert!(out.contains(part), "no `{part}` in: {out}");
    }
    let page = std::fs::read_to_string(folder.path().join("route.optimized.html")).unwrap();
    assert!(
        page.contains("<h2>Headroom</h2>") && page.contains("asks for nothing but the outputs"),
        "no section"
    );
    ends(
        folder.path(),
        &["optimize", "task.toml", "--no-run", "--max-calls", "10"],
        4,
        &["budget is too small for one evaluation of the 24 selection examples"],
    );
}
