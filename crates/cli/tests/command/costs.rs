//! What a run is said to cost, and what its caps hold.

use serde_json::Value;

use super::{TASK, folder, promptopt};

fn json(folder: &std::path::Path, arguments: &[&str]) -> Value {
    let output = promptopt(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn between(figures: &Value, real: u64) -> bool {
    figures["low"].as_u64().unwrap() <= real && real <= figures["high"].as_u64().unwrap()
}

#[test]
fn an_estimate_calls_nobody_and_holds_what_the_run_then_takes() {
    let folder = folder(TASK);
    for optimizer in ["miprov2", "copro", "gepa"] {
        let asked = ["estimate", "task.toml", "--json", "--optimizer", optimizer, "--max-calls", "200"];
        let estimate = json(folder.path(), &asked);
        assert!(estimate["estimate"]["stages"].as_array().unwrap().len() >= 2);
        let dry =
            ["optimize", "task.toml", "--dry-run", "--json", "--optimizer", optimizer, "--max-calls", "200"];
        assert_eq!(json(folder.path(), &dry), estimate);
        assert!(!folder.path().join("route.run").exists(), "nothing is begun");
        let run =
            ["optimize", "task.toml", "--no-run", "--json", "--optimizer", optimizer, "--max-calls", "200"];
        let run = json(folder.path(), &run);
        assert_eq!(run["estimate"], estimate["estimate"]);
        let calls = ["task", "prompt"].map(|role| run["spending"][role]["calls"].as_u64().unwrap());
        assert!(
            between(&run["estimate"]["optimization"]["calls"], calls.iter().sum()),
            "{optimizer}: {run:#}"
        );
        assert!(between(
            &run["estimate"]["sealed_test"]["calls"],
            run["test_usage"]["calls"].as_u64().unwrap()
        ));
    }
}

#[test]
fn an_estimate_says_what_is_not_known() {
    let task = TASK.replace("name = \"sim\"", "name = \"my-model\"\nbase_url = \"http://localhost:1/v1\"");
    let folder = folder(&task);
    let said = |arguments: &[&str]| String::from_utf8(promptopt(folder.path(), arguments).stdout).unwrap();
    let text = said(&["estimate", "task.toml"]);
    for part in ["unknown", "no price is known for localhost:1/v1 my-model", "[prices]", "no cap is set"] {
        assert!(text.contains(part), "{text}");
    }
    let priced = format!("{task}\n[prices]\n\"my-model\" = {{ prompt = 1, completion = 2 }}\n");
    std::fs::write(folder.path().join("task.toml"), priced).unwrap();
    let text = said(&["estimate", "task.toml", "--max-cost", "2", "--max-time", "15m"]);
    for part in ["$0.0", "it ends at the latest at: $2.00, 15 min", "prices: those of `[prices]`"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_cap_holds_for_the_sealed_test_as_well() {
    let folder = folder(TASK);
    let total = |run: &Value| -> u64 {
        let parts = [&run["spending"]["task"], &run["spending"]["prompt"], &run["test_usage"]];
        parts
            .iter()
            .flat_map(|usage| {
                ["prompt_tokens", "completion_tokens"].map(|kind| usage[kind].as_u64().unwrap())
            })
            .sum()
    };
    let mut cut_short = Vec::new();
    for (cap, test) in [(60_000, "8"), (30_000, "8"), (60_000, "32"), (30_000, "32"), (9_000, "32")] {
        let run = json(
            folder.path(),
            &[
                "optimize",
                "task.toml",
                "--no-run",
                "--json",
                "--max-tokens",
                &cap.to_string(),
                "--train",
                "4",
                "--selection",
                "4",
                "--test",
                test,
            ],
        );
        assert!(total(&run) <= cap, "{} of {cap}", total(&run));
        let rows = run["test"]["optimized"]["n"].as_u64().unwrap();
        let is_cut_short = rows < test.parse().unwrap();
        let note = format!("the first {rows} of the {test} rows of the sealed test");
        assert_eq!(run["notes"].to_string().contains(&note), is_cut_short, "{}", run["notes"]);
        assert_eq!(run["test"]["baseline"]["n"], rows, "both programs have the same rows");
        cut_short.push(is_cut_short);
    }
    // A test is cut short only where the cap does not last for it beside the original's evaluation.
    assert_eq!(cut_short, [false, false, false, false, true]);
}
