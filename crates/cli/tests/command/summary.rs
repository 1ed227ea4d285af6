//! What stands on the screen at the end of a run.

use serde_json::Value;

use super::{TASK, folder, promptopt};

#[test]
fn the_final_summary() {
    let folder = tempfile::tempdir().unwrap();
    promptopt(folder.path(), &["init"]);
    let output =
        promptopt(folder.path(), &["optimize", "task.toml", "--lm", "sim", "--no-run", "--max-calls", "300"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // How long it took is another number every time.
    let took = text.lines().find(|line| line.starts_with("optimized in ")).unwrap();
    let text = text.replace(took, "optimized in … s; written to route.optimized.json");
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("final_summary", text);
    });
}

#[test]
fn what_is_to_stay_and_how_long_it_may_be_is_said_in_the_task_file() {
    let optimize = |options: &str| {
        let folder = folder(&format!("{TASK}\n[optimizer]\nkind = \"gepa\"\nmax_calls = 400\n{options}\n"));
        let output = promptopt(folder.path(), &["optimize", "task.toml", "--no-run", "--json", "--quiet"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let program = std::fs::read_to_string(folder.path().join("route.optimized.json")).unwrap_or_default();
        (found, program)
    };
    let (found, program) =
        optimize("keep = [\"Route the ticket.\"]\nmax_length = 400\nlength_penalty = 0.01");
    assert_eq!(found["improved"], true, "{found:#}");
    assert!(program.contains("Route the ticket."), "{program}");
    let rules = found["rules"]["rules"].as_array().unwrap();
    assert!(!rules.is_empty() && rules.iter().all(|rule| rule["rule"].is_string()), "{found:#}");

    for (options, said) in [
        ("keep = [\"Be kind.\"]", "`keep`"),
        ("keep = [\" \"]", "`keep`"),
        ("keep = [\"Route the ticket.\"]\nmax_length = 5", "`max_length`"),
        ("max_length = 0", "`max_length`"),
        ("length_penalty = -1.0", "`length_penalty`"),
    ] {
        let (found, _) = optimize(options);
        let error = found["error"].as_str().unwrap();
        assert!(error.contains(said) && found["exit_code"] == 2, "{found:#}");
    }
}
